"""graceclient: what the lab does not try."""

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Actor, Stage


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def start(stage: Stage, listener: socket.socket) -> Actor:
    port = listener.getsockname()[1]
    return stage.start("graceclient", "127.0.0.1", "--port", str(port), "--stay", "0")


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def accept(listener: socket.socket) -> socket.socket:
    connection, _ = listener.accept()
    connection.settimeout(30)
    return connection


def test_the_end_of_the_input_shuts_down(stage: Stage, listener: socket.socket) -> None:
    client = start(stage, listener)
    client.type_bytes(b"one\r\n\ntwo")  # an empty line, and a last one that nothing ends
    client.end_input()
    with accept(listener) as connection:
        assert read_to_end(connection) == b"onetwo"
        connection.sendall("最后\n".encode() + b"\xff")
    client.expect("server terminated")
    client.expect_exit(0)
    assert client.lines[-4:] == [
        "send bytes: 3",
        "最后",
        "\N{REPLACEMENT CHARACTER}",
        client.lines[-1],
    ]


def test_lines_typed_at_once_are_all_done(stage: Stage, listener: socket.socket) -> None:
    client = start(stage, listener)
    client.type_bytes(b"data1\ndata2\nclose\nnever sent\n")
    with accept(listener) as connection:
        assert read_to_end(connection) == b"data1data2"
    client.expect_exit(0)
    assert not client.said("never sent")


def test_a_long_line_is_sent_whole(stage: Stage, listener: socket.socket) -> None:
    client = start(stage, listener)
    client.type_bytes(b"a" * 1_000_000 + b"\nshutdown\n")
    with accept(listener) as connection:
        assert len(read_to_end(connection)) == 1_000_000
    client.expect_exit(0)


def test_a_server_that_leaves_first_is_an_error(stage: Stage, listener: socket.socket) -> None:
    client = start(stage, listener)
    accept(listener).close()
    client.expect("server terminated")
    client.expect_exit(1)


def test_the_null_device_for_input(stage: Stage, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    command = f'"{sys.executable}" -m yolanda run graceclient --port {port} < {os.devnull}'
    client = stage.start_command(["sh", "-c", command])
    with accept(listener) as connection:
        assert read_to_end(connection) == b""
    client.expect("server terminated")
    client.expect_exit(0)


def test_a_refused_connection_is_named(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        client = stage.start("graceclient", "--port", str(port))
        client.expect_exit(1)
    assert client.lines == [
        f"yolanda: error: connect 127.0.0.1:{port}: Connection refused [ECONNREFUSED]"
    ]
