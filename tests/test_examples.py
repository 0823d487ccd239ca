"""The examples do what they say: each is compiled, and run as a program with a client."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

EXAMPLES = Path(__file__).parent.parent / "examples"
GENEROUS = 30  # seconds; only a test that fails waits for it


@contextlib.contextmanager
def running(name: str) -> Iterator[tuple[str, int]]:
    """Run an example at a port of the kernel's choice; where it serves."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            word, address = process.stdout.readline().split()
            assert word == "serving"
            host, port = address.split(":")
            yield host, int(port)
            process.send_signal(signal.SIGINT)
            assert process.wait(GENEROUS) == 0
        finally:
            process.kill()


def ask(address: tuple[str, int], path: str) -> tuple[bytes, bytes]:
    """One request on a connection of its own; the head and the body of the answer."""
    with socket.create_connection(address, GENEROUS) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        with client.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_compiles_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text()
    compile(text, str(path), "exec")
    assert f"$ python examples/{path.name}" in text


def test_rot13_server() -> None:
    with (
        running("rot13_server.py") as address,
        socket.create_connection(address, GENEROUS) as client,
        client.makefile("rb") as answer,
    ):
        client.sendall(b"Hello")
        client.shutdown(socket.SHUT_WR)
        assert answer.read() == b"Uryyb"


def test_http_hello() -> None:
    with running("http_hello.py") as address:
        assert ask(address, "/network")[1] == b"hello, network programming"
        assert ask(address, "/echo?a=1&b=2")[1] == (
            b'{"method": "GET", "query": [["a", "1"], ["b", "2"]]}'
        )
        assert ask(address, "/")[0].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("text", ["x", "31", "9" * 5000], ids=["no-number", "too-big", "long"])
def test_deferred_refuses(text: str) -> None:
    with running("deferred.py") as address:
        assert ask(address, f"/{text}")[0].startswith(b"HTTP/1.1 400 ")


def test_worker_processes() -> None:
    with running("worker_processes.py") as address:
        assert re.fullmatch(rb"process \d+\n", ask(address, "/")[1])


def test_deferred() -> None:
    with running("deferred.py") as address:
        assert ask(address, "/20")[1] == b"6765\n"


def test_embedded_in_asyncio() -> None:
    with running("embedded_in_asyncio.py") as address:
        assert ask(address, "/")[1] == b"asyncio has slept, the reactor has not\n"


def test_websocket_chat() -> None:
    with running("websocket_chat.py") as address:
        assert b"new WebSocket" in ask(address, "/")[1]
        room = "ws://{}:{}/room".format(*address)
        with connect(room) as first, connect(room) as second:
            assert first.recv().endswith("comes in, 1 here")
            assert first.recv() == second.recv()
            first.send("hello")
            assert first.recv() == second.recv()
            second.send(b"hello")
            assert first.recv().endswith("has left")
            with pytest.raises(ConnectionClosed, match="only text"):
                second.recv()
        with pytest.raises(InvalidStatus, match="403"):
            connect(room, origin="https://elsewhere.example")


def test_time_of_day_udp() -> None:
    with (
        running("time_of_day_udp.py") as address,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(GENEROUS)
        client.sendto(b"?", address)
        assert client.recv(100).count(b":") == 2


def test_line_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(GENEROUS)
        address = "{}:{}".format(*listener.getsockname())
        command = [sys.executable, "-W", "error", str(EXAMPLES / "line_client.py"), address]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                server, _ = listener.accept()
                with server, server.makefile("rb") as received:
                    server.sendall(b"hello\r\nagain\n")
                    assert process.stdin is not None
                    assert process.stdout is not None
                    assert process.stdout.readline() == b"hello\n"
                    assert process.stdout.readline() == b"again\n"
                    process.stdin.write(b"one line\n")
                    process.stdin.close()
                    assert received.read() == b"one line\n"
                assert process.wait(GENEROUS) == 0
            finally:
                process.kill()
