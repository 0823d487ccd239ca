"""Flask and Django behind ``yolanda serve``, asked by httpx and curl."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from .conftest import ServedCommand, Start

PATIENCE = 40.0
FRAMEWORKS = {"flask": "flask_app:app", "django": "django_app"}


class Site:
    """A framework's application that is being served."""

    def __init__(self, served: ServedCommand, file: Path) -> None:
        self.served = served
        self.file = file
        self.url = f"http://127.0.0.1:{served.port()}"
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE)


@pytest.fixture(params=FRAMEWORKS)
def site(request: pytest.FixtureRequest, command: Start, tmp_path: Path):  # type: ignore[no-untyped-def]
    file = tmp_path / "served.txt"
    file.write_bytes(b"".join(b"%07d\n" % number for number in range(100_000)))
    served = command(FRAMEWORKS[request.param], SERVED_FILE=str(file))
    site = Site(served, file)
    with site.client:
        yield site


def test_a_page(site: Site) -> None:
    answer = site.client.get("/", params={"name": "<café>"})
    assert answer.status_code == 200
    assert "hello, " in answer.text
    assert "café" in answer.text
    assert site.client.head("/").status_code == 200
    assert site.client.get("/nowhere").status_code == 404


@pytest.mark.parametrize("size", [10, 300_000, 5_000_000])
def test_an_upload(site: Site, size: int) -> None:
    data = os.urandom(size)
    expected = {
        "name": "data.bin",
        "size": size,
        "sha256": hashlib.sha256(data).hexdigest(),
        "note": "für später",
    }
    files = {"file": ("data.bin", data)}
    answer = site.client.post("/upload", files=files, data={"note": "für später"})
    assert answer.json() == expected


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("options", [[], ["-H", "Expect: 100-continue"]], ids=["", "expect"])
def test_an_upload_by_curl(site: Site, tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(os.urandom(3_000_000))
    command = ["curl", "-sS", "--max-time", "40", "-F", f"file=@{path}", "-F", "note=n"]
    done = subprocess.run(
        [*command, *options, f"{site.url}/upload"], capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_stream(site: Site) -> None:
    with site.client.stream("GET", "/stream") as answer:
        assert "".join(answer.iter_text()) == "".join(f"line {n}\n" for n in range(5))


def test_a_file(site: Site) -> None:
    answer = site.client.get("/file")
    assert answer.content == site.file.read_bytes()
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-type"].startswith("text/plain")


def test_what_the_application_raises_is_answered_and_told(site: Site) -> None:
    assert site.client.get("/fail").status_code == 500
    site.served.expect("RuntimeError: wrong in the application")
    assert site.client.get("/").status_code == 200


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_a_proxy_tells_is_believed(command: Start, framework: str) -> None:
    served = command(FRAMEWORKS[framework], "--root-path", "/app")
    fields = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "Host": "example.org"}
    answer = httpx.get(f"http://127.0.0.1:{served.port()}/address", headers=fields).json()
    assert answer == {
        "client": "1.2.3.4",
        "url": "https://example.org/app/address",
        "root": "/app",
    }


def test_flask_keeps_a_session_and_speaks_json_and_ranges(command: Start, tmp_path: Path) -> None:
    path = tmp_path / "served.txt"
    path.write_bytes(b"0123456789" * 100_000)
    served = command("flask_app:app", SERVED_FILE=str(path))
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port()}", timeout=PATIENCE) as client:
        assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]
        assert client.post("/json", json={"number": 21}).json() == {"twice": 42}
        answer = client.get("/file", headers={"Range": "bytes=5-12"})
        assert (answer.status_code, answer.content) == (206, b"56789012")
        etag = answer.headers["etag"]
        answer = client.get("/file", headers={"If-None-Match": etag})
        assert (answer.status_code, answer.content) == (304, b"")
