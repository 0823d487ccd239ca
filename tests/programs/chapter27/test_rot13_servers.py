"""The servers of chapters 25 to 29 answer in rot13: what the labs do not send them."""

import errno
import os
import select
import socket
import struct
import threading

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn, rot13

BLOCKING = ["fork01", "thread01", "thread02"]
REACTORS = [
    "poll-server-onethread",
    "poll-server-multithreads",
    "epoll-server-multithreads",
    "epoll-server-multithreads --edge",
]
SERVERS = BLOCKING + REACTORS

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


def parametrized(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "name",
        [pytest.param(n, marks=needs_epoll) if n.startswith("epoll") else n for n in names],
    )


def start(stage: Stage, name: str, *options: str) -> Actor:
    program, *mode = name.split()
    quiet = ["--no-trace"] if name in REACTORS else []
    return stage.start(program, "--port", "0", *mode, *quiet, *options)


def exchange(client: socket.socket, data: bytes) -> bytes:
    """Send all and receive as much, both at once: a server does not read whom it cannot answer."""
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    answer = readn(client, len(data))
    sender.join()
    return answer


@parametrized(SERVERS)
def test_odd_input(stage: Stage, name: str) -> None:
    port = start(stage, name).port()
    client = stage.connect(port)
    for line in (b"telnet sends CR LF\r\n", "Grüße, 你好\n".encode(), b"\xff\xfd\x03\x00\x1b[2J\n"):
        assert exchange(client, line) == rot13(line)
    client.sendall(b"half a li")
    client.sendall(b"ne\nand more\nand the re")
    client.sendall(b"st\n")
    whole = b"half a line\nand more\nand the rest\n"
    assert readn(client, len(whole)) == rot13(whole)


@parametrized(SERVERS)
def test_a_line_of_a_megabyte(stage: Stage, name: str) -> None:
    client = stage.connect(start(stage, name).port())
    line = b"Yolanda!" * (1 << 17) + b"\n"
    assert exchange(client, line) == rot13(line)


@parametrized(SERVERS)
def test_a_reset_ends_nobody_else(stage: Stage, name: str) -> None:
    server = start(stage, name)
    port = server.port()
    other, client = stage.connect(port), stage.connect(port)
    assert exchange(client, b"abc\n") == b"nop\n"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect("closed" if name in REACTORS else "ECONNRESET|reset")
    assert exchange(other, b"abc\n") == b"nop\n"
    assert exchange(stage.connect(port), b"abc\n") == b"nop\n"


@parametrized(SERVERS)
def test_a_used_port_is_named(stage: Stage, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start(stage, name, "--port", str(port))
        server.expect_exit(1)
    assert len(server.lines) == 1
    assert str(port) in server.lines[0]
    assert os.strerror(errno.EADDRINUSE) in server.lines[0]
    assert server.lines[0].endswith("[EADDRINUSE]")


@parametrized(SERVERS)
def test_ctrl_c_ends_it_though_a_client_is_there(stage: Stage, name: str) -> None:
    server = start(stage, name)
    client = stage.connect(server.port())
    assert exchange(client, b"abc\n") == b"nop\n"
    server.interrupt()
    if name == "fork01":  # the child serves on, and has the output too
        assert exchange(client, b"abc\n") == b"nop\n"
        client.close()
    server.expect_exit(0 if name in REACTORS else 130)
    assert not server.said("Traceback|Error")


@parametrized(["thread02", "poll-server-onethread"])
def test_listens_on_ipv6(stage: Stage, name: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = start(stage, name, "--bind", "::1")
    port = server.expect(r"listening on \[::1\]:(\d+)")[1]
    with socket.create_connection(("::1", int(port)), timeout=30) as client:
        assert exchange(client, b"abc\n") == b"nop\n"
