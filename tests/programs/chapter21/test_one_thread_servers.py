"""The servers of chapters 21 to 23, which have one thread: what the labs do not send them."""

import contextlib
import os
import resource
import select
import socket
import struct
import sys
import threading

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn, rot13

SERVERS = [
    "pollserver",
    "nonblockingserver --pause 0",
    pytest.param(
        "epoll01",
        marks=pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll"),
    ),
]
every_server = pytest.mark.parametrize("name", SERVERS)


def start(stage: Stage, name: str) -> Actor:
    program, *options = name.split()
    return stage.start(program, "--port", "0", *options)


def expected(name: str, data: bytes) -> bytes:
    return data if name == "pollserver" else rot13(data)


def exchange(client: socket.socket, data: bytes) -> bytes:
    """Send all and receive as much, both at once: a server does not read whom it cannot answer."""
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    answer = readn(client, len(data))
    sender.join()
    return answer


@every_server
def test_odd_input(stage: Stage, name: str) -> None:
    client = stage.connect(start(stage, name).port())
    for line in (b"CR LF\r\n", "Grüße, 你好\n".encode(), b"\xff\xfd\x03\x00\x1b[2J\n", b"\n"):
        assert exchange(client, line) == expected(name, line)
    for piece in (b"half a li", b"ne\nand more\nand the re", b"st\n"):
        client.sendall(piece)
    whole = b"half a line\nand more\nand the rest\n"
    assert readn(client, len(whole)) == expected(name, whole)


@every_server
def test_a_line_of_a_megabyte(stage: Stage, name: str) -> None:
    client = stage.connect(start(stage, name).port())
    line = b"Yolanda!" * (1 << 17) + b"\n"
    assert exchange(client, line) == expected(name, line)


@every_server
def test_who_has_sent_all_still_gets_all_answers(stage: Stage, name: str) -> None:
    server = start(stage, name)
    client = stage.connect(server.port())
    text = b"no line ends here " * 10_000
    sender = threading.Thread(target=client.sendall, args=(text,))
    sender.start()
    first = readn(client, 1000)
    sender.join()
    client.shutdown(socket.SHUT_WR)
    assert first + readn(client, len(text)) == expected(name, text)


@every_server
def test_a_reset_ends_nobody_else(stage: Stage, name: str) -> None:
    server = start(stage, name)
    port = server.port()
    other, client = stage.connect(port), stage.connect(port)
    for each in (other, client):
        assert exchange(each, b"abc\n") == expected(name, b"abc\n")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect(r"\[ECONNRESET\]")
    assert exchange(other, b"abc\n") == expected(name, b"abc\n")
    assert exchange(stage.connect(port), b"abc\n") == expected(name, b"abc\n")


@every_server
def test_who_is_reset_with_answers_on_the_way_ends_nobody_else(stage: Stage, name: str) -> None:
    server = start(stage, name)
    port = server.port()
    deaf = stage.connect(port)
    deaf.settimeout(0.3)  # nothing taken for so long is enough to call all buffers full
    with contextlib.suppress(TimeoutError):
        while True:
            deaf.sendall(b"x" * 65535 + b"\n")
    deaf.close()  # unread answers make it a reset
    server.expect(r"\[(ECONNRESET|EPIPE)\]")
    assert exchange(stage.connect(port), b"abc\n") == expected(name, b"abc\n")


@every_server
@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limit")
def test_a_full_descriptor_table_is_survived(stage: Stage, name: str) -> None:
    server = start(stage, name)
    port = server.port()
    first = stage.connect(port)
    assert exchange(first, b"abc\n") == expected(name, b"abc\n")
    last = max(int(fd) for fd in os.listdir(f"/proc/{server.pid}/fd"))
    _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (last + 1, most))

    second = stage.connect(port)
    second.sendall(b"patience\n")
    server.expect(r"\[EMFILE\]$")
    assert exchange(first, b"abc\n") == expected(name, b"abc\n")
    first.close()
    assert readn(second, 9) == expected(name, b"patience\n")
    # Once each time that the table is full: epoll01 asks for one more than there are, and Linux
    # looks for a descriptor before it looks for a connection.
    assert sum("EMFILE" in line for line in server.lines) <= 2
