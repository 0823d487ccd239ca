"""ASGI's HTTP: what an application is told, what it may send and when, and what becomes of it."""

import asyncio
import http.client
import socket
import threading
import time
from typing import Any

import pytest

from yolanda.apps.asgi.interface import BODY_HIGH_WATER, HIGH_WATER, ClientDisconnected
from yolanda.http import HttpLimits, TrustedProxies

PATIENCE = 20.0
START = {"type": "http.response.start", "status": 200, "headers": []}


def body(data: Any, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(body(b"hello"))


async def read(receive: Any) -> bytes:
    """The whole body."""
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    data = await read(receive)
    await send(START)
    await send(body(data))


def late(application: Any) -> Any:
    """The same, after having waited for something."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await application(scope, receive, send)

    return app


@pytest.fixture(params=["at once", "late"])
def when(request):
    """Whether the application has waited before it begins."""
    return late if request.param == "late" else lambda application: application


def responses_in(stream: bytes) -> list[tuple[int, bytes]]:
    """The responses of a stream that has ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        found = []
        file = ours.makefile("rb")
        while file.peek(1):
            response = http.client.HTTPResponse(_Stream(file))  # type: ignore[arg-type]
            response.begin()
            found.append((response.status, response.read()))
        file.close()
        return found


class _Stream:
    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        pass


# ---- the scope -----------------------------------------------------------------------------


def test_scope(serve):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await hello(scope, receive, send)

    served = serve(app, state={"pool": [1]}, root_path="/mounted")
    client = served.connect()
    assert client.get(
        "/a%20b/%E6%BC%A2?q=%20&r", "X-Twice: 1", "x-TWICE:  2\t", "Empty:", method="PUT"
    ) == (200, b"hello")
    assert scopes == [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "PUT",
            "scheme": "http",
            "path": "/mounted/a b/漢",
            "raw_path": b"/mounted/a%20b/%E6%BC%A2",
            "query_string": b"q=%20&r",
            "root_path": "/mounted",
            "headers": [
                (b"host", b"test"),
                (b"x-twice", b"1"),
                (b"x-twice", b"2"),
                (b"empty", b""),
            ],
            "client": client.socket.getsockname(),
            "server": ("127.0.0.1", served.port),
            "state": {"pool": [1]},
            "extensions": {"http.response.pathsend": {}, "http.response.trailers": {}},
        }
    ]


def test_scopes_are_not_shared(serve):
    states = []

    async def app(scope, receive, send):
        states.append(dict(scope["state"]))
        assert "mine" not in scope
        scope["mine"] = scope["state"]["mine"] = True
        scope["headers"].append((b"x-mine", b"1"))
        scope["path"] = "/elsewhere"
        await hello(scope, receive, send)

    shared = {"pool": []}
    client = serve(app, state=shared).connect()
    for _ in range(3):
        assert client.get("/") == (200, b"hello")
    assert states == [{"pool": []}] * 3
    assert "mine" not in shared


@pytest.mark.parametrize(
    ("trusted", "client", "scheme"),
    [(["127.0.0.1"], ("9.9.9.9", 0), "https"), (["10.0.0.0/8"], None, "http")],
)
def test_forwarded(serve, trusted, client, scheme):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await hello(scope, receive, send)

    connection = serve(app, proxies=TrustedProxies(trusted)).connect()
    connection.get("/", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https")
    connection.get("/")
    own = connection.socket.getsockname()
    assert (scopes[0]["client"], scopes[0]["scheme"]) == (client or own, scheme)
    assert (scopes[1]["client"], scopes[1]["scheme"]) == (own, "http")


def test_fields_that_each_response_gets(serve):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"x-own", b"1")]})
        await send(body(b""))

    client = serve(app, fields=[(b"X-Always", b"yes")]).connect()
    for _ in range(2):
        client.ask()
        response = client.begin()
        response.read()
        assert (response.headers["x-own"], response.headers["x-always"]) == ("1", "yes")


def test_an_application_that_is_no_coroutine_function(serve):
    """What it does before it returns what is to be awaited belongs to its request, too."""
    tasks = []

    def app(scope, receive, send):
        tasks.append(asyncio.current_task())
        return hello(scope, receive, send)

    assert serve(app).get() == (200, b"hello")
    assert tasks[0] is not None


# ---- requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 3_000_000])
def test_body(serve, when, size):
    data = bytes(i * 7 & 255 for i in range(size))
    client = serve(when(echo)).connect()
    for _ in range(2):
        assert client.get(method="POST", body=data) == (200, data)


def test_chunked_body_in_small_pieces(serve, when):
    client = serve(when(echo)).connect()
    client.ask("/", "Transfer-Encoding: chunked", method="POST")
    for number in range(10):
        client.send(b"5;ext=1\r\n%05d\r\n" % number)
        time.sleep(0.001)
    client.send(b"0\r\nX-Trailer: 1\r\n\r\n")
    assert client.read() == (200, b"".join(b"%05d" % n for n in range(10)))


def test_pieces_reach_the_application_as_they_come(serve, eventually):
    pieces = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            pieces.append(message)
            if not message["more_body"]:
                break
        await hello(scope, receive, send)

    client = serve(app).connect()
    client.ask("/", "Content-Length: 10", method="POST")
    client.send(b"12345")
    eventually(lambda: b"".join(p["body"] for p in pieces) == b"12345")
    assert all(piece["more_body"] for piece in pieces)
    client.send(b"67890")
    assert client.read() == (200, b"hello")
    assert b"".join(piece["body"] for piece in pieces) == b"1234567890"


def test_upload_is_no_faster_than_it_is_received(serve, eventually):
    begin = asyncio.Event()
    sizes = []

    async def app(scope, receive, send):
        await begin.wait()
        while True:
            message = await receive()
            sizes.append(len(message["body"]))
            if not message["more_body"]:
                break
        await send(START)
        await send(body(b"%d" % sum(sizes)))

    size = 64 << 20
    served = serve(app, limits=HttpLimits(body_size=size))
    client = served.connect()
    client.ask("/", f"Content-Length: {size}", method="POST")

    def upload() -> None:
        piece = bytes(1 << 20)
        for _ in range(size >> 20):
            client.send(piece)

    thread = threading.Thread(target=upload)
    thread.start()
    connection = served.the_connection()
    eventually(lambda: not connection.reading)
    served.call(begin.set)
    assert client.read() == (200, b"%d" % size)
    thread.join(PATIENCE)
    # One read of the connection may come above the mark.
    assert max(sizes) <= BODY_HIGH_WATER + 300_000


def test_100_continue(serve, when):
    client = serve(when(echo)).connect()
    client.ask("/", "Expect: 100-continue", "Content-Length: 5", method="POST")
    assert client.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert client.file.readline() == b"\r\n"
    client.send(b"12345")
    assert client.read() == (200, b"12345")
    assert client.get() == (200, b"")


def test_100_only_for_who_receives(serve):
    begun = threading.Event()
    go = asyncio.Event()

    async def app(scope, receive, send):
        begun.set()
        await go.wait()
        await (echo if scope["path"] == "/echo" else hello)(scope, receive, send)

    served = serve(app)
    for path, first in (("/echo", b"HTTP/1.1 100 Continue\r\n"), ("/", b"HTTP/1.1 200 OK\r\n")):
        client = served.connect()
        client.ask(path, "Expect: 100-continue", "Content-Length: 5", method="POST")
        assert begun.wait(PATIENCE)
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        client.socket.settimeout(PATIENCE)
        served.call(go.set)
        assert client.file.readline() == first
        begun.clear()
        served.call(go.clear)


def test_no_100_for_who_does_not_want_the_body(serve):
    client = serve(hello).connect()
    client.ask("/", "Expect: 100-continue", "Content-Length: 5", method="POST")
    assert client.read() == (200, b"hello")
    assert client.rest() == b""


@pytest.mark.parametrize("length", [5, 200_000])
def test_answer_before_the_body_was_read(serve, when, length):
    """A short rest is read and thrown away, and the connection goes on."""
    client = serve(when(hello)).connect()
    client.ask("/", f"Content-Length: {length}", method="POST")
    assert client.read() == (200, b"hello")
    client.send(b"x" * length)
    if length == 5:
        assert client.get() == (200, b"hello")


def test_receive_after_the_body(serve):
    """It waits for the client to go, or for the response to be complete."""
    messages = []
    done = threading.Event()

    async def app(scope, receive, send):
        messages.append(await receive())
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0.005)
        messages.append(waiting.done())
        await hello(scope, receive, send)
        messages.append(await waiting)
        messages.append(await receive())
        done.set()

    assert serve(app).connect().get() == (200, b"hello")
    assert done.wait(PATIENCE)
    assert messages == [
        {"type": "http.request", "body": b"", "more_body": False},
        False,
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


def test_two_receive_at_once(serve, eventually):
    """Both are woken, and one that is cancelled takes nothing from the other."""
    messages = []
    waiting = threading.Event()

    async def app(scope, receive, send):
        first = asyncio.ensure_future(receive())
        second = asyncio.ensure_future(receive())
        await asyncio.sleep(0.001)
        first.cancel()
        waiting.set()
        messages.append(await second)
        await hello(scope, receive, send)

    client = serve(app).connect()
    client.ask("/", "Content-Length: 1", method="POST")
    assert waiting.wait(PATIENCE)
    client.send(b"x")
    assert client.read() == (200, b"hello")
    assert messages == [{"type": "http.request", "body": b"x", "more_body": False}]


def test_what_is_left_of_a_body_when_the_next_request_is_served(serve, eventually):
    """An application that goes on receiving after its answer holds nobody back."""
    go = asyncio.Event()
    messages = []
    done = threading.Event()

    async def app(scope, receive, send):
        if scope["path"] != "/first":
            await echo(scope, receive, send)
            return
        await asyncio.sleep(0)
        await hello(scope, receive, send)
        await go.wait()
        while (message := await receive())["type"] == "http.request":
            messages.append(message)
        done.set()

    served = serve(app)
    client = served.connect()
    client.ask("/first", "Content-Length: 10", method="POST")
    assert client.read() == (200, b"hello")
    client.send(b"0123456789")
    data = bytes(300_000)
    assert client.get("/second", method="POST", body=data) == (200, data)
    served.call(go.set)
    assert done.wait(PATIENCE)
    assert client.get("/third", method="POST", body=data) == (200, data)


# ---- responses -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 299, 404, 418, 599])
def test_status(serve, status):
    async def app(scope, receive, send):
        await send({**START, "status": status})
        await send(body(b"x"))

    assert serve(app).get() == (status, b"x")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("pieces", [1, 3])
def test_body_of_other_types(serve, kind, pieces):
    async def app(scope, receive, send):
        await send(START)
        for left in range(pieces - 1, -1, -1):
            await send(body(kind(b"piece"), left > 0))

    assert serve(app).get() == (200, b"piece" * pieces)


def test_defaults_of_the_messages(serve):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    assert serve(app).get() == (200, b"")


@pytest.mark.parametrize("pieces", [[b"", b"a", b"", b"b", b""], [b"a" * 100_000] * 3, [b""]])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_stream(serve, when, pieces, version):
    async def app(scope, receive, send):
        await send(START)
        for piece in pieces:
            await send(body(piece, True))
        await send(body(b""))

    client = serve(when(app)).connect()
    client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    response = client.begin()
    assert response.headers["transfer-encoding"] == ("chunked" if version == "1.1" else None)
    assert response.read() == b"".join(pieces)


def test_pieces_reach_the_client_as_they_are_sent(serve):
    go = asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"first", True))
        await go.wait()
        await send(body(b"second"))

    served = serve(app)
    client = served.connect()
    client.ask()
    response = client.begin()
    assert response.read(5) == b"first"
    served.call(go.set)
    assert response.read() == b"second"


@pytest.mark.parametrize("size", [100, 10_000, 100_000])
def test_stream_is_no_faster_than_it_is_taken(serve, when, eventually, size):
    """Also where the application never waits for anything by itself."""
    sent = []
    count = (200 << 20) // size if size > 100 else 200_000

    async def app(scope, receive, send):
        await send(START)
        for _ in range(count):
            await send(body(bytes(size), True))
            sent.append(size)
        await send(body(b""))

    served = serve(when(app))
    client = served.connect(receive_buffer=4096)
    client.ask()
    connection = served.the_connection()
    eventually(lambda: connection.queued > HIGH_WATER)
    assert connection.queued <= HIGH_WATER + size + 1_200_000
    assert len(sent) < count
    client.reset()
    eventually(lambda: connection.closed)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize("pieces", [1, 2])
def test_no_body_where_there_may_be_none(serve, when, method, status, pieces):
    async def app(scope, receive, send):
        await send({**START, "status": status, "headers": [(b"content-length", b"10")]})
        for piece in range(pieces):
            part = b"0123456789"[piece * 10 // pieces : (piece + 1) * 10 // pieces]
            await send(body(part, piece < pieces - 1))

    client = serve(when(app)).connect()
    for _ in range(2):
        client.ask(method=method)
        response = client.begin(method)
        assert response.status == status
        has_body = (method, status) == ("GET", 200)
        assert response.read() == (b"0123456789" if has_body else b"")
        if status == 200:
            assert response.headers["content-length"] == "10"
        if status == 204:
            assert response.headers["content-length"] is None


def test_head_without_making_the_body(serve, when):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"Content-Length", b"12345")]})
        await send(body(b""))

    client = serve(when(app)).connect()
    client.ask(method="HEAD")
    response = client.begin("HEAD")
    assert response.headers["content-length"] == "12345"
    assert client.get(method="HEAD")[0] == 200


@pytest.mark.parametrize("pieces", [[b"12345"], [b"123", b"45"], [b"12", b"", b"345", b""]])
def test_content_length(serve, when, pieces):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"content-length", b"5")]})
        for left, piece in reversed(list(enumerate(reversed(pieces)))):
            await send(body(piece, left > 0))

    client = serve(when(app)).connect()
    for _ in range(2):
        client.ask()
        response = client.begin()
        assert response.headers["content-length"] == "5"
        assert response.headers["transfer-encoding"] is None
        assert response.read() == b"12345"


@pytest.mark.parametrize("pieces", [[b"1234"], [b"123456"]])
def test_whole_body_of_another_length(serve, logged, pieces):
    """Nothing of it is sent, and the client is told."""

    async def app(scope, receive, send):
        await send({**START, "headers": [(b"content-length", b"5")]})
        await send(body(pieces[0]))

    status, text = serve(app).get()
    assert status == 500
    assert b"Content-Length" not in text
    assert "the application raised for GET / HTTP/1.1" in logged()[0]


@pytest.mark.parametrize("pieces", [[b"12", b"34"], [b"123", b"456"], [b"123456", b""]])
def test_stream_of_another_length(serve, when, eventually, logged, pieces):
    """The client must not take it for the whole, nor more than that."""

    async def app(scope, receive, send):
        await send({**START, "headers": [(b"content-length", b"5")]})
        for left, piece in reversed(list(enumerate(reversed(pieces)))):
            await send(body(piece, left > 0))

    client = serve(when(app)).connect()
    client.ask()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        client.read()
    eventually(lambda: any("its Content-Length for GET /" in text for text in logged()))


def test_trailers(serve, when):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"trailer", b"x-sum, x-more")], "trailers": True})
        await send(body(b"12", True))
        await send(body(b"345"))
        await send(
            {
                "type": "http.response.trailers",
                "headers": [(b"x-sum", b"15")],
                "more_trailers": True,
            }
        )
        await send({"type": "http.response.trailers", "headers": [[b"x-more", b"1"]]})

    client = serve(when(app)).connect()
    client.ask("/", "TE: trailers", "Connection: close")
    answer = client.rest()
    assert answer.endswith(b"2\r\n12\r\n3\r\n345\r\n0\r\nx-sum: 15\r\nx-more: 1\r\n\r\n")


def test_trailers_that_cannot_be_sent(serve, when):
    async def app(scope, receive, send):
        await send({**START, "trailers": True})
        await send(body(b"12345"))
        await send({"type": "http.response.trailers", "headers": [(b"x", b"1\r\n\r\nHTTP/1.1")]})

    client = serve(when(app)).connect()
    client.ask()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        client.read()


def test_pathsend(serve, when, tmp_path):
    file = tmp_path / "file.txt"
    file.write_bytes(bytes(range(256)) * 4000)

    async def app(scope, receive, send):
        await send({**START, "headers": [(b"content-type", b"text/x-own"), (b"etag", b'"1"')]})
        await send({"type": "http.response.pathsend", "path": str(file)})

    client = serve(when(app)).connect()
    for method in ("GET", "HEAD", "GET"):
        client.ask(method=method)
        response = client.begin(method)
        assert response.headers["content-length"] == "1024000"
        assert response.headers.get_all("content-type") == ["text/x-own"]
        assert response.headers["etag"] == '"1"'
        assert response.read() == (b"" if method == "HEAD" else file.read_bytes())


def test_pathsend_of_what_is_not_there(serve, tmp_path, logged):
    async def app(scope, receive, send):
        await send(START)
        with pytest.raises(FileNotFoundError):
            await send({"type": "http.response.pathsend", "path": str(tmp_path / "missing")})
        with pytest.raises(IsADirectoryError):
            await send({"type": "http.response.pathsend", "path": str(tmp_path)})
        await send(body(b"instead"))

    assert serve(app).get() == (200, b"instead")


def test_close_asked_for_by_the_application(serve):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"connection", b"close")]})
        await send(body(b"bye"))

    client = serve(app).connect()
    client.ask()
    response = client.begin()
    assert response.headers["connection"] == "close"
    assert response.read() == b"bye"
    assert client.rest() == b""


# ---- what cannot be sent -------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"1\r\nSet-Cookie: a=b")],
        [(b"x", b"1\n2")],
        [(b"x", b"1\x002")],
        [(b"x y", b"1")],
        [(b"x:", b"1")],
        [(b"", b"1")],
        [(b"x\r\n", b"1")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [("text", "text")],
        [(b"x", "text")],
        [(b"x",)],
        [(b"x", b"1", b"2")],
        [5],
        5,
    ],
)
def test_headers_that_cannot_be_sent(serve, headers, logged):
    """Each gets the application an exception, and the client a 500 and nothing else."""
    errors = []

    async def app(scope, receive, send):
        try:
            await send({**START, "headers": headers})
        except (ValueError, TypeError) as error:
            errors.append(error)
            raise

    client = serve(app).connect()
    client.ask()
    stream = client.rest()
    assert [status for status, _ in responses_in(stream)] == [500]
    assert b"Set-Cookie" not in stream
    assert len(errors) == 1
    assert len(logged()) == 1


@pytest.mark.parametrize("wrong", [199, 100, 600, -1, "200", None, 200.5, True])
def test_status_that_cannot_be_sent(serve, wrong):
    async def app(scope, receive, send):
        await send({**START, "status": wrong})

    assert serve(app).get()[0] == 500


@pytest.mark.parametrize("wrong", ["text", 5, None, [b"x"], object()])
@pytest.mark.parametrize("more", [True, False])
def test_body_that_is_none(serve, wrong, more):
    async def app(scope, receive, send):
        await send(START)
        await send(body(wrong, more))

    assert serve(app).get()[0] == 500


ORDERS = {
    "body first": [body(b"x")],
    "trailers first": [{"type": "http.response.trailers", "headers": []}],
    "pathsend first": [{"type": "http.response.pathsend", "path": "/etc/hostname"}],
    "start twice": [START, START],
    "trailers that were not announced": [START, {"type": "http.response.trailers"}],
    "nothing known": [{"type": "http.response.push"}],
    "a WebSocket's": [{"type": "websocket.accept"}],
    "no type": [{}],
    "no status": [{"type": "http.response.start"}],
    "no path": [START, {"type": "http.response.pathsend"}],
    "pathsend and trailers": [
        {**START, "trailers": True},
        {"type": "http.response.pathsend", "path": "/etc/hostname"},
    ],
    "start alone": [START],
    "nothing": [],
}


@pytest.mark.parametrize("messages", ORDERS.values(), ids=ORDERS)
def test_messages_out_of_order_before_anything_is_sent(serve, when, messages, logged):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    client = serve(when(app)).connect()
    client.ask()
    assert [status for status, _ in responses_in(client.rest())] == [500]
    assert len(logged()) == 1


BROKEN = {
    "start again": [START],
    "pathsend": [{"type": "http.response.pathsend", "path": "/etc/hostname"}],
    "no end": [],
    "an exception": [None],
    "trailers": [{"type": "http.response.trailers"}],
    "a body that is none": [body("text", True)],
}


@pytest.mark.parametrize("messages", BROKEN.values(), ids=BROKEN)
def test_messages_out_of_order_when_the_response_has_begun(serve, when, messages, logged):
    """The client must not take what it has for the whole."""

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"begun", True))
        for message in messages:
            if message is None:
                raise LookupError
            await send(message)

    client = serve(when(app)).connect()
    client.ask()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        client.read()
    assert len(logged()) == 1


def test_messages_after_the_end(serve, when, eventually, logged):
    """The client has its response, and the connection goes on."""
    errors = []

    async def app(scope, receive, send):
        await hello(scope, receive, send)
        for message in (START, body(b"x"), {"type": "http.response.trailers"}):
            try:
                await send(message)
            except RuntimeError as error:
                errors.append(str(error))
        raise LookupError

    client = serve(when(app)).connect()
    assert client.get() == (200, b"hello")
    assert client.get() == (200, b"hello")
    eventually(lambda: len(logged()) == 2)
    assert errors[0] == "the application sent 'http.response.start' where nothing more was due"
    assert len(errors) == 6


# ---- exceptions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [LookupError("x"), asyncio.CancelledError(), ExceptionGroup("g", [LookupError()])]
)
@pytest.mark.parametrize("after_start", [False, True])
def test_exception_before_anything_is_sent(serve, error, after_start, logged):
    async def app(scope, receive, send):
        if scope["path"] == "/fine":
            await hello(scope, receive, send)
            return
        if after_start:
            await send({**START, "headers": [(b"x-secret", b"1")]})
        raise error

    served = serve(app)
    client = served.connect()
    client.ask()
    response = client.begin()
    assert response.status == 500
    assert response.headers["x-secret"] is None
    assert response.read() == b"500 Internal Server Error\n"
    assert served.get("/fine") == (200, b"hello")
    assert len(logged()) == (0 if isinstance(error, asyncio.CancelledError) else 1)


def test_exception_when_called(serve, logged):
    def app(scope, receive, send):
        raise LookupError

    assert serve(app).get()[0] == 500

    async def two_arguments(scope, receive):
        pass

    assert serve(two_arguments).get()[0] == 500
    assert len(logged()) == 2


def test_exception_while_the_body_is_coming(serve, when):
    async def app(scope, receive, send):
        await receive()
        raise LookupError

    client = serve(when(app)).connect()
    client.ask("/", "Content-Length: 1000000", method="POST")
    client.send(b"x")
    assert client.read()[0] == 500


# ---- disconnection -------------------------------------------------------------------------


def gone_at(point: str, notes: list[Any], begun: threading.Event, done: threading.Event) -> Any:
    """An application that finds out at ``point`` that its client is gone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            if point == "receiving the body":
                await receive()
                begun.set()
                while (message := await receive())["type"] == "http.request":
                    assert message["more_body"]
                notes.append(message["type"])
            elif point == "waiting":
                await receive()
                begun.set()
                notes.append((await receive())["type"])
                await send(START)
            elif point == "streaming":
                await send(START)
                while True:
                    await send(body(bytes(50_000), True))
                    begun.set()
            elif point == "between two pieces":
                await send(START)
                await send(body(b"x", True))
                begun.set()
                while (await receive())["type"] != "http.disconnect":
                    pass
                await send(body(b"y", True))
        except OSError as error:
            notes.append(error)
            raise
        finally:
            done.set()

    return app


@pytest.mark.parametrize(
    "point", ["receiving the body", "waiting", "streaming", "between two pieces"]
)
def test_client_goes(serve, point, logged):
    notes: list[Any] = []
    begun, done = threading.Event(), threading.Event()
    served = serve(gone_at(point, notes, begun, done))
    client = served.connect()
    if point == "receiving the body":
        client.ask("/", "Content-Length: 1000", method="POST")
        client.send(b"x")
    else:
        client.ask()
    assert begun.wait(PATIENCE)
    client.reset()
    assert done.wait(PATIENCE)
    if point == "receiving the body":
        assert notes == ["http.disconnect"]
    else:
        assert isinstance(notes[-1], ClientDisconnected)
    served.call(lambda: None)
    assert logged() == []  # it is nobody's mistake


def test_client_ends_its_side_and_waits(serve):
    """It may be gone, so the application is told; it may be waiting, so it is answered."""
    messages = []

    async def app(scope, receive, send):
        messages.append(await receive())
        messages.append(await receive())
        await hello(scope, receive, send)

    client = serve(app).connect()
    client.ask(method="POST", body=b"all")
    client.half_close()
    assert client.read() == (200, b"hello")
    assert client.rest() == b""
    assert messages == [
        {"type": "http.request", "body": b"all", "more_body": False},
        {"type": "http.disconnect"},
    ]


def test_client_ends_its_side_in_the_body(serve, eventually):
    messages = []

    async def app(scope, receive, send):
        while not messages or messages[-1]["type"] == "http.request":
            messages.append(await receive())

    client = serve(app).connect()
    client.ask("/", "Content-Length: 1000", method="POST")
    client.send(b"x")
    client.half_close()
    assert client.read()[0] == 400
    eventually(lambda: messages and messages[-1] == {"type": "http.disconnect"})


def test_body_that_comes_too_slowly(serve, eventually):
    messages = []

    async def app(scope, receive, send):
        while not messages or messages[-1]["type"] == "http.request":
            messages.append(await receive())

    client = serve(app, limits=HttpLimits(body_timeout=0.1)).connect()
    client.ask("/", "Content-Length: 1000", method="POST")
    client.send(b"x")
    assert client.read()[0] == 408
    eventually(lambda: messages and messages[-1] == {"type": "http.disconnect"})


# ---- one after the other -------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_their_order(serve):
    async def app(scope, receive, send):
        number = int(scope["path"][1:])
        data = await read(receive)
        for _ in range(number % 4):
            await asyncio.sleep(0)
        await send(START)
        if number % 3:
            await send(body(scope["path"].encode(), True))
            await send(body(b" " + data))
        else:
            await send(body(scope["path"].encode() + b" " + data))

    client = serve(app).connect()
    count = 60
    client.send(
        b"".join(
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d" % (n, n)
            for n in range(count)
        )
    )
    for number in range(count):
        assert client.read() == (200, b"/%d %03d" % (number, number))


def test_work_after_the_response(serve):
    """It holds up neither the client nor the next request of the same connection."""
    go = asyncio.Event()
    done = threading.Event()

    async def app(scope, receive, send):
        await hello(scope, receive, send)
        if scope["path"] == "/work":
            await go.wait()
            done.set()

    served = serve(app)
    client = served.connect()
    assert client.get("/work") == (200, b"hello")
    assert client.get() == (200, b"hello")
    assert served.runner.waiting == 1
    served.call(go.set)
    assert done.wait(PATIENCE)


def test_error_in_the_work_after_the_response(serve, when, logged, eventually):
    async def app(scope, receive, send):
        await hello(scope, receive, send)
        raise LookupError

    client = serve(when(app)).connect()
    for _ in range(3):
        assert client.get() == (200, b"hello")
    eventually(lambda: len(logged()) == 3)


def test_many_clients_at_once(serve):
    """Each gets its own answer, though some wait and some do not."""

    async def app(scope, receive, send):
        number = int(scope["path"][1:])
        if number % 3 == 0:
            await asyncio.sleep(0.001 * (number % 5))
        await send(START)
        await send(body(b"%d" % number))

    served = serve(app)
    clients = [served.connect() for _ in range(40)]
    for turn in range(5):
        for number, client in enumerate(clients):
            client.ask(f"/{number + turn * 100}")
        for number, client in enumerate(clients):
            assert client.read() == (200, b"%d" % (number + turn * 100))


def test_requests_that_do_not_wait_make_no_tasks(serve):
    tasks = set()

    async def app(scope, receive, send):
        tasks.add(id(asyncio.current_task()))
        await echo(scope, receive, send)

    client = serve(app).connect()
    for _ in range(20):
        assert client.get(method="POST", body=b"x") == (200, b"x")
    assert len(tasks) == 1


def test_debug_mode(serve):
    client = serve(late(echo), debug=True).connect()
    for _ in range(3):
        assert client.get(method="POST", body=b"x") == (200, b"x")


# ---- the end -------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
def test_cancelled(serve, begun, logged):
    waiting = threading.Event()
    ended = threading.Event()

    async def app(scope, receive, send):
        if begun:
            await send(START)
            await send(body(b"x", True))
        waiting.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    served = serve(app)
    client = served.connect()
    client.ask()
    assert waiting.wait(PATIENCE)
    served.call(served.runner.cancel)
    if begun:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            client.read()
    else:
        assert client.read()[0] == 500
    assert ended.is_set()
    assert logged() == []


def test_graceful_stop_lets_requests_end(serve):
    go = asyncio.Event()
    waiting = threading.Event()

    async def app(scope, receive, send):
        waiting.set()
        await go.wait()
        await hello(scope, receive, send)

    served = serve(app)
    client = served.connect()
    client.ask()
    assert waiting.wait(PATIENCE)
    served.stop_gracefully()
    served.call(go.set)
    response = client.begin()
    assert response.headers["connection"] == "close"
    assert response.read() == b"hello"
    assert served.stopped.wait(PATIENCE)
