"""The same folder behind nginx: the same requests get the same answers."""

import contextlib
import gzip
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from yolanda.http import StaticFiles

PATIENCE = 30
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx here")

OLD = 784111777
OLD_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"

CONFIGURATION = """
daemon off; master_process off; worker_processes 1; error_log stderr crit; pid {place}/pid;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; if_modified_since before; gzip_static on; gzip_vary on;
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
    uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
    server {{
        listen unix:{place}/s; root {folder}; absolute_redirect off;
        disable_symlinks on from={folder};
    }}
}}
"""


@dataclass
class Reply:
    """What can be compared of an answer."""

    status: int
    body: bytes
    fields: dict[str, str | None] = field(default_factory=dict)


# Not Accept-Ranges, which nginx leaves out of a 206.
COMPARED = ("Content-Length", "Content-Range", "Content-Encoding", "Last-Modified")


class Peer:
    """A server to be asked: where it is, and the tag that it gives each file."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self.connect = connect

    def raw(self, method: str, target: str, fields: list[str]) -> tuple[HTTPResponse, bytes]:
        with contextlib.closing(self.connect()) as sock:
            lines = [f"{method} {target} HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]
            sock.sendall("\r\n".join(lines).encode())
            answer = HTTPResponse(sock, method=method)
            answer.begin()
            return answer, answer.read()

    def ask(self, method: str, target: str, fields: list[str]) -> Reply:
        tag = ""
        if any("TAG" in each for each in fields):
            encoding = [each for each in fields if each.startswith("Accept-Encoding")]
            tag = self.raw("HEAD", target, encoding)[0].getheader("ETag") or ""
            assert tag
        answer, body = self.raw(method, target, [each.replace("TAG", tag) for each in fields])
        content_type = answer.getheader("Content-Type") or ""
        found = {name: answer.getheader(name) for name in COMPARED}
        if answer.status >= 300:  # what an error says is its own affair
            body = b""
            found = {"Content-Range": found["Content-Range"]}
        elif content_type.startswith("multipart/"):
            boundary = content_type.partition("boundary=")[2].encode()
            body = (b"\r\n" + body if body.startswith(b"--") else body).replace(boundary, b"B")
            body = re.sub(rb"; charset=[\w-]+", b"", body)
            found["Content-Length"] = None  # boundaries differ in length
        return Reply(answer.status, body, found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    (folder / "docs").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "index.html").write_text("<h1>home</h1>")
    (folder / "docs" / "index.html").write_text("<h1>docs</h1>")
    (folder / "hello.txt").write_text("0123456789" * 10)
    (folder / "hello.txt.gz").write_bytes(gzip.compress(b"packed"))
    (folder / "large.bin").write_bytes(bytes(range(256)) * 4000)
    (folder / "empty.txt").touch()
    (folder / "link.txt").symlink_to("../secret.txt")
    for path in folder.rglob("*.*"):
        os.utime(path, (OLD, OLD), follow_symlinks=False)
    return folder


@pytest.fixture
def nginx(folder: Path) -> Iterator[Peer]:
    assert NGINX is not None
    with tempfile.TemporaryDirectory(prefix="y") as place:
        file = Path(place, "conf")
        file.write_text(CONFIGURATION.format(place=place, folder=folder))
        if os.geteuid() == 0:
            file.write_text("user root;" + file.read_text())
        with subprocess.Popen([NGINX, "-c", str(file)], stderr=subprocess.PIPE) as process:

            def connect() -> socket.socket:
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(PATIENCE)
                try:
                    sock.connect(f"{place}/s")
                except BaseException:
                    sock.close()
                    raise
                return sock

            try:
                end = time.monotonic() + PATIENCE
                while True:
                    try:
                        connect().close()
                        break
                    except OSError:
                        assert process.poll() is None, process.communicate()[1]
                        assert time.monotonic() < end
                        time.sleep(0.01)
                yield Peer(connect)
            finally:
                process.terminate()
                process.wait(PATIENCE)


REQUESTS: list[tuple[str, str, list[str]]] = [
    *[
        (method, target, [])
        for method in ("GET", "HEAD")
        for target in (
            "/",
            "/hello.txt",
            "/hello.txt?a=b",
            "/large.bin",
            "/empty.txt",
            "/docs",
            "/docs/",
            "/docs/index.html",
            "/missing",
            "/missing/",
            "/hello.txt/",
            "/hello.txt/x",
            "/%68ello.txt",
        )
    ],
    *[
        ("GET", target, [f"Range: bytes={text}"])
        for target in ("/hello.txt", "/large.bin")
        for text in (
            "0-0", "5-9", "5-", "-5", "99-", "0-99999999", "-99999999", "99999999-", "-0",
            "0-4,10-14", "10-14,0-4", "0-4, 50-, 20-29", "0-4,99999999-", "-5,0-4",
        )
    ],
    *[
        (method, target, fields)
        for method in ("GET", "HEAD")
        for target in ("/hello.txt", "/large.bin")
        for fields in (
            ["If-None-Match: TAG"],
            ["If-None-Match: W/TAG"],
            ['If-None-Match: "x"'],
            ['If-None-Match: "x", TAG'],
            ["If-None-Match: *"],
            ["If-Match: TAG"],
            ['If-Match: "x", TAG'],
            ["If-Match: *"],
            ['If-Match: "x"'],
            ["If-Match: W/TAG"],
            [f"If-Modified-Since: {BEFORE}"],
            [f"If-Modified-Since: {OLD_DATE}"],
            [f"If-Modified-Since: {AFTER}"],
            ["If-Modified-Since: never"],
            [f"If-Unmodified-Since: {BEFORE}"],
            [f"If-Unmodified-Since: {OLD_DATE}"],
            [f"If-Unmodified-Since: {AFTER}"],
            ['If-None-Match: "x"', f"If-Modified-Since: {AFTER}"],
            ['If-Match: "x"', "If-None-Match: TAG"],
            ["If-Match: TAG", "If-None-Match: TAG"],
            [f"If-Unmodified-Since: {BEFORE}", "If-None-Match: TAG"],
        )
    ],
    *[
        ("GET", "/hello.txt", ["Range: bytes=5-9", condition])
        for condition in (
            "If-Range: TAG",
            'If-Range: "x"',
            "If-Range: W/TAG",
            f"If-Range: {OLD_DATE}",
            f"If-Range: {BEFORE}",
            f"If-Range: {AFTER}",
            "If-None-Match: TAG",
            'If-None-Match: "x"',
            'If-Match: "x"',
            "If-Match: TAG",
        )
    ],
    ("GET", "/hello.txt", ["Range: pages=1-2"]),
    ("HEAD", "/hello.txt", ["Range: bytes=99999999-", 'If-Match: "x"']),
    *[
        ("GET", "/hello.txt", [f"Accept-Encoding: {accepted}", *more])
        for accepted in ("gzip", "gzip, br", "gzip;q=0", "gzip;q=0.5", "identity", "br")
        for more in ([], ["If-None-Match: TAG"])  # nginx has no ranges of them
    ],
    *[(method, "/hello.txt", ["Content-Length: 0"]) for method in ("POST", "PUT", "DELETE")],
]  # fmt: skip


def test_the_same_requests_get_the_same_answers(
    serve: Callable[..., Any], folder: Path, nginx: Peer
) -> None:
    served = serve(StaticFiles(folder))
    address = served.address
    yolanda = Peer(lambda: socket.create_connection((address.host, address.port), PATIENCE))
    different = []
    for request in REQUESTS:
        theirs, ours = nginx.ask(*request), yolanda.ask(*request)
        if theirs != ours:
            different.append(f"{request}:\n  nginx   {_short(theirs)}\n  yolanda {_short(ours)}")
    assert not different, "\n" + "\n".join(different)


def test_neither_lets_anything_out(serve: Callable[..., Any], folder: Path, nginx: Peer) -> None:
    served = serve(StaticFiles(folder))
    address = served.address
    yolanda = Peer(lambda: socket.create_connection((address.host, address.port), PATIENCE))
    for target in ("/../secret.txt", "/%2e%2e/secret.txt", "/docs/../../secret.txt", "/link.txt"):
        for peer in (nginx, yolanda):
            answer, body = peer.raw("GET", target, [])
            assert answer.status in (400, 403, 404)
            assert b"secret" not in body


def _short(reply: Reply) -> str:
    return f"{reply.status} {reply.body[:60]!r} {reply.fields}"
