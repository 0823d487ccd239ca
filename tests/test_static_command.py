"""``yolanda static``: its options, its errors, and what it costs to serve what is large."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

PATIENCE = 60  # seconds after which a process that should have answered has failed
COMMAND = [sys.executable, "-m", "yolanda", "static"]
GIGABYTE = 1 << 30

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")


@contextlib.contextmanager
def serving(*arguments: str | Path, address: str = "127.0.0.1:0") -> Iterator["Server"]:
    """Run ``yolanda static`` until it has been looked at."""
    folder, *options = map(str, arguments)
    with subprocess.Popen(
        [*COMMAND, folder, address, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Server(process)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, errors
            assert "Traceback" not in errors
        finally:
            process.kill()


class Server:
    """The process, and where it serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.pid = process.pid
        self.line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.line)
        self.port = int(found[1]) if found else 0

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def get(self, target: str, **fields: str) -> tuple[int, bytes]:
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", target, headers=fields)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def peak(self) -> int:
        """The most memory that the process has had so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "index.html").write_text("home")
    (folder / "hello.txt").write_text("hello")
    (folder / ".hidden").write_text("hidden")
    (folder / "link.txt").symlink_to("hello.txt")
    (folder / "docs").mkdir()
    return folder


def test_it_serves_a_folder_and_says_where(folder: Path) -> None:
    with serving(folder) as server:
        assert server.line == (
            f"serving {folder} at http://127.0.0.1:{server.port}/ (Ctrl+C stops it)\n"
        )
        assert server.get("/") == (200, b"home")
        assert server.get("/hello.txt") == (200, b"hello")
        for target in ("/docs/", "/link.txt", "/.hidden", "/route"):
            assert server.get(target)[0] == 404


def test_its_options(folder: Path) -> None:
    options = ["--listing", "--follow-links", "--hidden", "--index", "hello.txt", "--threads", "2"]
    with serving(folder, *options, "--cache-control", "max-age=5") as server:
        assert server.get("/") == (200, b"hello")
        assert server.get("/link.txt") == (200, b"hello")
        assert server.get("/.hidden") == (200, b"hidden")
        assert b"../" in server.get("/docs/")[1]
        with contextlib.closing(server.connect()) as connection:
            connection.request("GET", "/hello.txt")
            assert connection.getresponse().getheader("Cache-Control") == "max-age=5"
    with serving(folder, "--single-page-app", "--cache-control", "") as server:
        assert server.get("/route/of/the/page") == (200, b"home")
        assert server.get("/missing.js")[0] == 404
        with contextlib.closing(server.connect()) as connection:
            connection.request("GET", "/hello.txt")
            assert connection.getresponse().getheader("Cache-Control") is None


def test_on_a_local_socket(folder: Path, tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)  # its path may be too long
    try:
        with serving(folder, address="unix:s") as server, socket.socket(socket.AF_UNIX) as client:
            assert "unix:s" in server.line
            client.settimeout(PATIENCE)
            client.connect("s")
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with client.makefile("rb") as answer:
                assert answer.read().endswith(b"home")
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["missing"], 1, "missing: No such file or directory"),
        (["file"], 1, "file: Not a directory"),
        ([".", "127.0.0.1"], 2, "'127.0.0.1'"),
        ([".", "0", "--single-page-app", "--index", ""], 2, "--single-page-app"),
        ([".", "0", "--index", "a/b"], 2, "'a/b'"),
        ([".", "0", "--cache-control", "a\nb"], 2, "Cache-Control"),
        ([".", "0", "--threads", "x"], 2, "--threads"),
        ([".", "0", "more"], 2, "more"),
    ],
)
def test_its_errors_are_one_line(
    tmp_path: Path, arguments: list[str], status: int, named: str
) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert line.startswith("yolanda: error: ")
    assert named in line


# ---- what is large -------------------------------------------------------------------------------


@linux
def test_a_gigabyte_takes_no_memory(folder: Path) -> None:
    with (folder / "large.bin").open("wb") as file:
        file.truncate(GIGABYTE)  # sparse
        file.seek(GIGABYTE - 1)
        file.write(b"x")
    buffer = bytearray(1 << 20)
    with serving(folder) as server:
        assert server.get("/hello.txt") == (200, b"hello")
        before, descriptors = server.peak(), server.descriptors()
        parts = f"bytes=-{GIGABYTE // 8},5-9,20-{GIGABYTE // 8}"
        for fields, expected in (({}, GIGABYTE), ({"Range": parts}, GIGABYTE // 4)):
            with contextlib.closing(server.connect()) as connection:
                connection.request("GET", "/large.bin", headers=fields)
                answer = connection.getresponse()
                assert answer.status == (206 if fields else 200)
                length = int(answer.getheader("Content-Length") or 0)
                assert abs(length - expected) < 1000
                received = 0
                while count := answer.readinto(buffer):
                    received += count
                assert received == length
        # One that leaves in the middle.
        with contextlib.closing(server.connect()) as connection:
            connection.request("GET", "/large.bin")
            assert connection.getresponse().read(100_000)
        assert server.peak() - before < 16 << 20
        assert server.get("/hello.txt") == (200, b"hello")
        while server.descriptors() > descriptors:
            assert server.get("/hello.txt") == (200, b"hello")  # its turn comes


@linux
def test_without_descriptors_it_is_busy_and_recovers(folder: Path) -> None:
    (folder / "large.bin").write_bytes(b"x" * 1_000_000)
    with serving(folder) as server, contextlib.closing(server.connect()) as connection:

        def ask(target: str) -> int:
            connection.request("GET", target)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert ask("/hello.txt") == 200
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, hard))
        for target in ("/hello.txt", "/large.bin", "/docs/", "/docs"):
            assert ask(target) == 503
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert ask("/hello.txt") == 200
        assert ask("/large.bin") == 200
