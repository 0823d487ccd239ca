"""Real applications as real processes: Starlette, FastAPI and Django, in each of the ways."""

import contextlib
import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ..conftest import PATIENCE, Service, wait_until

HERE = Path(__file__).parent
WAYS = {
    "uvloop": ["--loop", "uvloop"],
    "asyncio": ["--loop", "asyncio"],
    "two workers": ["--workers", "2"],
}
SIZE = 20 << 20


class Site:
    """A service, and clients for it."""

    def __init__(self, app: str, options: list[str]) -> None:
        command = [sys.executable, "-m", "yolanda", "serve", app, "--port", "0"]
        self.service = Service([*command, "--app-dir", str(HERE), *options])
        self.port = self.service.address
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: httpx.Client  # of one test, and mostly one connection

    @contextlib.contextmanager
    def with_client(self) -> Iterator["Site"]:
        with httpx.Client(base_url=self.url, timeout=PATIENCE) as self.client:
            yield self

    def close(self) -> None:
        try:
            assert self.service.stop() == 0
        finally:
            self.service.close()


@pytest.fixture(scope="module", params=list(WAYS))
def sites(request: pytest.FixtureRequest) -> Iterator[dict[str, Site]]:
    """The applications, each served once for all tests of the module, in each of the ways."""
    with contextlib.ExitStack() as stack:
        sites = {}
        for app in ("starlette_app:app", "fastapi_app:app", "django_app"):
            sites[app.partition("_")[0]] = site = Site(app, WAYS[request.param])
            stack.callback(site.close)
        yield sites


@pytest.fixture
def starlette(sites: dict[str, Site]) -> Iterator[Site]:
    with sites["starlette"].with_client() as site:
        yield site


@pytest.fixture
def fastapi(sites: dict[str, Site]) -> Iterator[Site]:
    with sites["fastapi"].with_client() as site:
        yield site


@pytest.fixture
def django(sites: dict[str, Site]) -> Iterator[Site]:
    with sites["django"].with_client() as site:
        yield site


# ---- Starlette -----------------------------------------------------------------------------


def test_starlette_pages(starlette: Site) -> None:
    client = starlette.client
    answer = client.get("/pages/漢 字")
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.startswith("<h1>漢 字</h1>")
    assert client.get("/pages").status_code == 404
    assert client.post("/pages/x").status_code == 405
    assert client.head("/pages/x").content == b""
    answer = client.get("/redirect", follow_redirects=True)
    assert answer.text.startswith("<h1>target</h1>")
    assert answer.url == f"{starlette.url}/pages/target"
    assert client.get("/static/static.txt").text == "static"
    assert client.get("/raw/below").text == "/raw/below"
    assert client.get("/timeout").text == "in time"


def test_starlette_context_variables(starlette: Site) -> None:
    for number in range(5):
        name = f"user {number}"
        for path in ("/who", "/who?wait=1"):
            answer = starlette.client.get(path, headers={"x-user": name}).json()
            assert answer["user"] == name
            assert answer["state"] == "open"
            assert answer["url"] == f"{starlette.url}{path}"
        assert starlette.client.get("/in-thread", headers={"x-user": name}).text == name
        assert starlette.client.get("/who").json()["user"] == "nobody"


def test_starlette_upload(starlette: Site) -> None:
    data = bytes(i * 31 & 255 for i in range(1 << 20)) * (SIZE >> 20)
    expected = {"size": SIZE, "digest": hashlib.sha256(data).hexdigest()}
    assert starlette.client.post("/upload", content=data).json() == expected
    pieces = (data[i : i + 99_999] for i in range(0, SIZE, 99_999))
    assert starlette.client.post("/upload", content=pieces).json() == expected
    assert starlette.client.post("/upload").json()["size"] == 0
    answer = starlette.client.post("/form", files={"file": ("f.bin", data)}, data={"of": "me"})
    assert answer.json() == {"name": "f.bin", "size": SIZE, "of": "me"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_starlette_upload_by_curl(starlette: Site, tmp_path: Path) -> None:
    """It asks before it sends so much: Expect: 100-continue."""
    data = bytes(range(256)) * 20_000
    file = tmp_path / "upload"
    file.write_bytes(data)
    command = ["curl", "-sS", "-v", "--data-binary", f"@{file}", f"{starlette.url}/upload"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert json.loads(answer.stdout)["digest"] == hashlib.sha256(data).hexdigest()
    assert "100 Continue" in answer.stderr


def test_starlette_streams(starlette: Site) -> None:
    client = starlette.client
    for path, count in (
        ("/stream", 10),
        ("/stream?count=5000", 5000),
        ("/stream-of-a-thread", 100),
    ):
        answer = client.get(path)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.text == "".join(f"{n}\n" for n in range(count))


def test_starlette_stream_whose_client_goes(starlette: Site) -> None:
    with httpx.stream("GET", f"{starlette.url}/endless", timeout=PATIENCE) as answer:
        assert len(next(answer.iter_raw(10_000))) == 10_000
    starlette.service.expect("the endless one has ended in")


def test_starlette_client_that_goes(starlette: Site) -> None:
    with socket.create_connection(("127.0.0.1", starlette.port), PATIENCE) as client:
        client.sendall(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
    starlette.service.expect("gone in")


def test_starlette_file(starlette: Site) -> None:
    content = (HERE / "starlette_app.py").read_bytes()
    client = starlette.client
    for _ in range(2):
        answer = client.get("/file")
        assert answer.content == content
    part = client.get("/file", headers={"Range": "bytes=10-19", "Accept-Encoding": "identity"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert client.head("/file").content == b""


def test_starlette_background(starlette: Site) -> None:
    assert starlette.client.get("/background").text == "begun"
    starlette.service.expect("worked in")


def test_starlette_error(starlette: Site) -> None:
    answer = starlette.client.get("/failing")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    starlette.service.expect("LookupError: nothing there")
    assert starlette.client.get("/who").status_code == 200


def test_starlette_websocket(starlette: Site) -> None:
    url = starlette.url.replace("http", "ws") + "/chat"
    with connect(url, subprotocols=["chat"]) as websocket:  # type: ignore[list-item]
        assert websocket.subprotocol == "chat"
        for text in ("hello", "漢字", "x" * 100_000):
            websocket.send(text)
            assert json.loads(websocket.recv(PATIENCE)) == {"echo": text, "state": "open"}
        websocket.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "bye, too")
    with connect(url) as websocket:
        websocket.close(4321)
    starlette.service.expect("closed with 4321")
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}?token=wrong"):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body) == {"error": "token"}
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/nowhere"):
        pass
    assert refused.value.response.status_code in (403, 404)


# ---- FastAPI -------------------------------------------------------------------------------


def test_fastapi_json(fastapi: Site) -> None:
    client = fastapi.client
    assert client.get("/items/7?q=x").json() == {"number": 7, "q": "x", "ready": True}
    item = {"name": "漢字", "price": 1.5}
    answer = client.post("/items", json=item)
    assert (answer.status_code, answer.json()) == (201, item)
    assert client.get("/thread").json() == {"thread": True}
    assert "paths" in client.get("/openapi.json").json()
    assert "swagger" in client.get("/docs").text


def test_fastapi_validation(fastapi: Site) -> None:
    assert fastapi.client.get("/items/x").status_code == 422
    answer = fastapi.client.post("/items", json={"name": 5})
    assert answer.status_code == 422
    assert [error["loc"][-1] for error in answer.json()["detail"]] == ["name", "price"]
    answer = fastapi.client.post(
        "/items", content=b"{", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422


def test_fastapi_dependency_that_is_closed(fastapi: Site) -> None:
    client = fastapi.client
    for path, status in (("/session", 200), ("/session/failing", 409)) * 3:
        assert client.get(path).status_code == status
    # On the connection of the client, and so in one process; its last one may still be closing.
    wait_until(lambda: client.get("/events").json() == ["opened", "closed"] * 6)


def test_fastapi_upload(fastapi: Site) -> None:
    files = [("files", ("one", b"1" * 3_000_000)), ("files", ("two", b"22"))]
    answer = fastapi.client.post("/files", files=files, data={"note": "two of them"})
    assert answer.json() == {"note": "two of them", "sizes": {"one": 3_000_000, "two": 2}}


def test_fastapi_events(fastapi: Site) -> None:
    with fastapi.client.stream("GET", "/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert lines == [f"data: {n}" for n in range(5)]


def test_fastapi_websocket(fastapi: Site) -> None:
    with connect(fastapi.url.replace("http", "ws") + "/ws/kitchen") as websocket:
        for message in ({"a": 1}, [1, 2], "text"):
            websocket.send(json.dumps(message))
            answer = json.loads(websocket.recv(PATIENCE))
            assert answer == {"room": "kitchen", "message": message, "session": 1}


# ---- Django --------------------------------------------------------------------------------


def test_django_pages(django: Site) -> None:
    client = django.client
    assert client.get("/pages/漢").text == "<h1>漢</h1>"
    answer = client.get("/async?a=%20")
    assert answer.text == "GET /async?a=%20 http"
    assert answer.cookies["seen"] == "yes"
    assert client.head("/async").content == b""
    assert client.get("/nowhere").status_code == 404
    assert client.get("/async", headers={"Host": "evil"}).status_code == 400
    for _ in range(20):
        assert client.get("/async").status_code == 200


def test_django_upload(django: Site) -> None:
    data = bytes(range(256)) * 20_000
    answer = django.client.post("/upload", files={"file": ("a", data)}, data={"note": "n"})
    digest = hashlib.sha256(data).hexdigest()
    assert answer.json() == {"name": "a", "digest": digest, "note": "n"}
    assert django.client.post("/async").status_code == 403  # of its protection against forgery


def test_django_streams(django: Site) -> None:
    lines = "".join(f"{n}\n" for n in range(10))
    assert django.client.get("/stream").text == lines
    assert django.client.get("/sync-stream").text == lines


def test_django_error(django: Site) -> None:
    assert django.client.get("/failing").status_code == 500
    assert django.client.get("/async").status_code == 200


# ---- the end -------------------------------------------------------------------------------


@pytest.fixture
def starlette_alone() -> Iterator[Callable[..., Site]]:
    """A service of one test: ``starlette_alone("--timeout-graceful-shutdown", "0.1")``."""
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> Site:
            site = Site("starlette_app:app", list(options))
            stack.callback(site.service.close)
            return stack.enter_context(site.with_client())

        yield start


@pytest.mark.parametrize("way", list(WAYS))
def test_requests_in_flight_end_within_the_grace(
    starlette_alone: Callable[..., Site], way: str
) -> None:
    site = starlette_alone(*WAYS[way])
    with socket.create_connection(("127.0.0.1", site.port), PATIENCE) as client:
        client.sendall(b"GET /slow?seconds=0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
        site.service.expect("waiting in")
        site.service.send(signal.SIGTERM)
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"slow")
    assert site.service.wait() == 0


@pytest.mark.parametrize("way", list(WAYS))
def test_requests_that_outlast_the_grace_are_cut_off(
    starlette_alone: Callable[..., Site], way: str
) -> None:
    site = starlette_alone(*WAYS[way], "--timeout-graceful-shutdown", "0.2")
    with socket.create_connection(("127.0.0.1", site.port), PATIENCE) as client:
        client.sendall(b"GET /slow?seconds=100 HTTP/1.1\r\nHost: a\r\n\r\n")
        site.service.expect("waiting in")
        site.service.send(signal.SIGTERM)
        with client.makefile("rb") as file, contextlib.suppress(ConnectionResetError):
            assert file.read() == b""
    assert site.service.wait() == 0


def test_second_signal_ends_at_once(starlette_alone: Callable[..., Site]) -> None:
    site = starlette_alone("--timeout-graceful-shutdown", "100")
    with socket.create_connection(("127.0.0.1", site.port), PATIENCE) as client:
        client.sendall(b"GET /slow?seconds=100 HTTP/1.1\r\nHost: a\r\n\r\n")
        site.service.expect("waiting in")
        site.service.send(signal.SIGINT)
        wait_until(lambda: refuses(site.port))
        site.service.send(signal.SIGINT)
        assert site.service.wait() == 0


@pytest.mark.parametrize("way", list(WAYS))
def test_websockets_are_told_that_the_server_goes(
    starlette_alone: Callable[..., Site], way: str
) -> None:
    site = starlette_alone(*WAYS[way])
    with connect(site.url.replace("http", "ws") + "/chat") as websocket:
        websocket.send("hello")
        websocket.recv(PATIENCE)
        site.service.send(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert site.service.wait() == 0


def refuses(port: int) -> bool:
    """Whether there is nobody at ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False
