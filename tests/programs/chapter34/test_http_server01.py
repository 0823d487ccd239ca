"""The example of the course's last chapters, as a process, and asked by curl."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest

from yolanda.programs.chapter34.http_server01 import PAGE, PHOTO

PATIENCE = 30.0
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Program:
    """``python -m yolanda http`` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "yolanda", "http", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors)
        self._reader.start()
        self.line = self.process.stdout.readline()
        match = re.match(r"serving (http://127\.0\.0\.1:([0-9]+))/", self.line)
        self.url = match[1] if match else ""
        self.port = int(match[2]) if match else 0

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; the exit status and what was written to the standard error."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return status, "".join(self._errors)


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(*arguments: str) -> Program:
        started.append(Program(*arguments))
        assert started[-1].port, started[-1].line
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)


def curl(*arguments: str, text: bool = True) -> Any:
    return subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--max-time", "20", *arguments],
        capture_output=True,
        text=text,
        check=True,
        timeout=PATIENCE,
    )


def received(errors: str) -> list[str]:
    """The head of the response in what ``curl -v`` writes."""
    return [line[2:].rstrip("\r") for line in errors.splitlines() if line.startswith("< ")]


def test_the_page_has_the_courses_length() -> None:
    assert len(PAGE) == 116


@needs_curl
@pytest.mark.parametrize("options", [(), ("--threads", "0"), ("--dispatcher", "poll")])
def test_curl_sees_what_the_course_shows(
    program: Callable[..., Program], options: tuple[str, ...]
) -> None:
    served = program(*options)
    result = curl("-v", served.url + "/")
    assert result.stdout == PAGE.decode()
    head = received(result.stderr)
    assert head[:3] == ["HTTP/1.1 200 OK", "Content-Length: 116", "Connection: Keep-Alive"]
    assert re.fullmatch(r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", head[3])
    assert head[4].startswith("Server: ")
    assert head[5] == "Content-Type: text/html"
    assert head[6:] in ([], [""])


@needs_curl
def test_the_other_paths(program: Callable[..., Program]) -> None:
    served = program()
    result = curl("-v", served.url + "/network")
    assert result.stdout == "hello, network programming"
    assert "Content-Type: text/plain" in received(result.stderr)
    assert curl("-v", served.url + "/network?the=query").stdout == "hello, network programming"
    assert curl("-v", served.url + "/?").stdout == PAGE.decode()

    photo = resources.files("yolanda.programs.chapter34").joinpath("photo.png").read_bytes()
    result = curl(served.url + "/photo", text=False)
    assert result.stdout == photo == PHOTO
    assert photo.startswith(b"\x89PNG\r\n")
    assert "Content-Type: image/png" in received(curl("-I", "-v", served.url + "/photo").stderr)


@needs_curl
@pytest.mark.parametrize("path", ["/nothing-here", "/network/", "/Photo", "//", "/index.html"])
def test_what_is_not_there(program: Callable[..., Program], path: str) -> None:
    served = program()
    result = curl("-v", "--path-as-is", served.url + path)
    head = received(result.stderr)
    assert head[0] == "HTTP/1.1 404 Not Found"
    assert "Connection: close" in head
    assert "404" in result.stdout
    assert path in result.stdout


@needs_curl
def test_curl_uses_one_connection_for_several_requests(program: Callable[..., Program]) -> None:
    served = program()
    result = curl("-v", served.url + "/", served.url + "/network", served.url + "/")
    assert result.stdout == PAGE.decode() + "hello, network programming" + PAGE.decode()
    assert result.stderr.count("Connected to") + result.stderr.count("Established conn") == 1


@needs_curl
def test_head_and_a_client_of_http_1_0(program: Callable[..., Program]) -> None:
    served = program()
    head = received(curl("-v", "-I", served.url + "/").stderr)
    assert "Content-Length: 116" in head
    head = received(curl("-v", "-0", served.url + "/").stderr)
    assert head[0] == "HTTP/1.1 200 OK"
    assert "Connection: close" in head


def test_the_course_is_served_without_curl_too(program: Callable[..., Program]) -> None:
    served = program()
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as client:
        client.sendall(b"GET /network?a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert reply.endswith(b"\r\n\r\nhello, network programming")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("threads", ["0", "2"])
def test_a_signal_ends_it(
    program: Callable[..., Program], number: signal.Signals, threads: str
) -> None:
    served = program("--threads", threads)
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        status, errors = served.end(number)
        assert status == 0
        assert errors == ""
        assert client.recv(65536) == b""


def test_a_port_in_use(program: Callable[..., Program]) -> None:
    served = program()
    result = subprocess.run(
        [sys.executable, "-m", "yolanda", "http", f"127.0.0.1:{served.port}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "EADDRINUSE" in result.stderr


def test_trace_shows_what_the_reactors_do(program: Callable[..., Program]) -> None:
    served = program("--trace")
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200 OK")
    status, text = served.end()
    assert status == 0
    assert all(line.startswith("[msg] ") for line in text.splitlines()), text
    for pattern in (
        r"set \w+ as dispatcher, main thread",
        r"set \w+ as dispatcher, Thread-1",
        r"set \w+ as dispatcher, Thread-2",
        r"add channel fd == \d+, main thread",
        r"add channel fd == \d+, Thread-[12]",
        r"\w+ wakeup, main thread",
        r"\w+ wakeup, Thread-[12]",
    ):
        assert re.search(rf"^\[msg\] {pattern}$", text, re.MULTILINE), (pattern, text)
