"""read_line: the readers one by one, and a server that survives its clients."""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter16.read_line import READERS, Watched, bytewise_lines, read_lines


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Watched]]:
    """A socket to write to, and the other end as a reader gets it."""
    one, other = socket.socketpair()
    with one, other:
        other.settimeout(0.05)
        yield one, Watched(other, 4096)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_the_right_readers_know_three_endings(
    pair: tuple[socket.socket, Watched], ending: bytes
) -> None:
    one, watched = pair
    one.sendall(ending.join([b"a", b"", b"b"]))
    one.shutdown(socket.SHUT_WR)
    assert list(read_lines(watched)) == [b"a", b"", b"b"]


def test_byte_by_byte_a_line_ended_by_cr_is_held_back(pair: tuple[socket.socket, Watched]) -> None:
    one, watched = pair
    one.sendall(b"good\r")
    with pytest.raises(TimeoutError):
        next(bytewise_lines(watched))


def test_ours_does_not_hold_it_back(pair: tuple[socket.socket, Watched]) -> None:
    one, watched = pair
    one.sendall(b"good\r")
    assert next(read_lines(watched)) == b"good"


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_survives_its_clients(stage: Stage, reader: str) -> None:
    server = stage.start("read_line", "--port", "0", "--reader", reader)
    port = server.port()
    reset = stage.connect(port)
    reset.sendall(b"\xff\r\n")
    server.expect("received")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.close()
    server.expect(r"error read line: .* \[ECONNRESET\]")
    following = stage.connect(port)
    following.sendall("你好\n".encode())
    following.close()
    server.expect("^received 6 bytes: 你好$")
    server.expect(r"^client closed, \d+ calls of recv$")
    server.interrupt()
    server.expect_exit(130)


def test_a_megabyte_without_an_end_is_refused(stage: Stage) -> None:
    server = stage.start("read_line", "--port", "0", "--size", "3000")
    port = server.port()
    flood = stage.connect(port)
    with contextlib.suppress(ConnectionError):  # the server hangs up while it comes
        flood.sendall(b"x" * 1_000_000)
    server.expect("error read line: a line is longer than 4096 bytes")
    telnet = stage.connect(port)
    telnet.sendall(b"quit\r\n")
    server.expect("^received 4 bytes: quit$")
