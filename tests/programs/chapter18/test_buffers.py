"""The programs of chapter 18: what the labs do not try."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter18.samplebuffer01 import WAYS

RESET = struct.pack("ii", 1, 0)
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        yield one, other


@every_way
def test_a_read_takes_what_is_there(way: str, pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.sendall(b"x" * 200)
    assert WAYS[way](other, 128, 30) == b"x" * 128
    assert WAYS[way](other, 128, 30) == b"x" * 72
    one.close()
    assert WAYS[way](other, 128, 30) == b""


@every_way
@pytest.mark.parametrize("timeout", [1e-9, 0.05])
def test_a_read_ends_without_data(
    way: str, timeout: float, pair: tuple[socket.socket, socket.socket]
) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        WAYS[way](pair[1], 128, timeout)
    assert time.monotonic() - began >= timeout


@every_way
def test_a_reset_is_no_timeout(way: str, pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()
    with pytest.raises(ConnectionResetError):
        WAYS[way](other, 128, 30)


@every_way
def test_the_server_survives_its_clients(stage: Stage, way: str) -> None:
    server = stage.start("samplebuffer01", "--port", "0", "--by", way, "--timeout", "30")
    port = server.port()
    reset = stage.connect(port)
    reset.sendall(b"\xff")
    server.expect("received 1 bytes: �")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset.close()
    server.expect(r"error read message: .* \[ECONNRESET\]")
    telnet = stage.connect(port)
    telnet.sendall(b"quit\r\n")
    assert telnet.recv(100) == b"COMMAND OK\n"
    telnet.close()
    server.expect("client closed")
    server.interrupt()
    server.expect_exit(130)


def test_a_recv_takes_no_more_than_the_buffer(stage: Stage) -> None:
    server = stage.start("samplebuffer01", "--port", "0", "--size", "16")
    client = stage.connect(server.port())
    client.sendall(b"x" * 16 + b"quit")
    server.expect("received 16 bytes: x{16}$")
    server.expect("received 4 bytes: quit$")
    server.expect("client quit")


def test_the_client_sends_pieces_and_prints_the_answer(stage: Stage) -> None:
    server = stage.start("samplebuffer01", "--port", "0", "--size", "11")
    port = server.port()
    client = stage.start("bufferclient", "--port", port)
    client.type("network programming")
    server.expect("received 11 bytes: network pro")
    server.expect("received 9 bytes: gramming")
    client.type("quit")
    server.expect("client quit")
    client.end_input()
    client.expect("^received 11 bytes: COMMAND OK$")
    client.expect_exit(0)


def test_the_liar_says_how_long_the_server_has_waited(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        liar = stage.start("samplebuffer02", "--port", port, "--wait", "0.1", "--text", "你好")
        liar.expect("^send 6 bytes, and say that they are 65535$")
        liar.expect(r"^the server has waited for 0\.\d+ seconds$")
        liar.expect_exit(0)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == b"\0\0\xff\xff\0\0\0\1" + "你好".encode()


def test_lines_of_any_kind(stage: Stage) -> None:
    server = stage.start("samplebuffer03", "--port", "0", "--limit", "6")
    port = server.port()
    reset = stage.connect(port)
    reset.sendall(b"\xff\r\n\r")
    server.expect("received 1 bytes: �")
    server.expect("received 0 bytes: $")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset.close()
    server.expect(r"error read message: .* \[ECONNRESET\]")
    client = stage.start("bufferclient", "--port", port)
    client.type("你好")
    client.type_bytes(b"no end")
    client.end_input()
    server.expect("^received 6 bytes: 你好$")
    server.expect("^received 6 bytes: no end$")
    server.expect("^client closed$")
    client.expect_exit(0)


def test_a_client_that_is_hung_up_on_says_so(stage: Stage) -> None:
    server = stage.start("samplebuffer03", "--port", "0", "--limit", "0")
    port = server.port()
    client = stage.start("bufferclient", "--port", port)
    client.type("too long")
    server.expect("longer than 0 bytes")
    stage.wait_until(
        lambda: not any(row.state == "ESTABLISHED" for row in stage.sockets(port)), "the hang-up"
    )
    client.type("first")  # answered with a reset
    client.type("second")
    client.end_input()
    client.expect(r"yolanda: error: (send failure|read failed): .* \[E[A-Z]+\]")
    client.expect_exit(1)
