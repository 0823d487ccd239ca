"""What the labs of chapter 22 leave out."""

import socket
import threading
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.blocking import readn
from yolanda.programs.chapter22.nonblockingserver import MAX_WAITING, Buffer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, its = socket.socketpair()
    with ours, its:
        ours.setblocking(False)
        yield ours, its


def test_nothing_is_sent_back_before_the_line_is_complete(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, its = pair
    buffer = Buffer()
    its.sendall(b"half")
    buffer.on_socket_read(ours)
    assert not buffer.readable
    its.sendall(b" a line\n")
    buffer.on_socket_read(ours)
    assert buffer.readable
    assert buffer.data == b"unys n yvar\n"
    buffer.on_socket_write(ours)
    assert its.recv(100) == b"unys n yvar\n"
    assert not buffer.readable
    assert not buffer.data


def test_a_buffer_does_not_grow_for_ever(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, its = pair
    buffer = Buffer()
    sender = threading.Thread(target=its.sendall, args=(b"x" * 3 * MAX_WAITING,))
    sender.start()
    while buffer.wants_more:
        buffer.on_socket_read(ours)
    assert MAX_WAITING <= len(buffer.data) < MAX_WAITING + 1024
    assert buffer.readable, "a line that is too long is sent in pieces"
    ours.setblocking(True)
    readn(ours, 3 * MAX_WAITING - len(buffer.data))
    sender.join()


def test_an_end_without_a_line_is_answered(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, its = pair
    buffer = Buffer()
    its.sendall(b"half")
    its.shutdown(socket.SHUT_WR)
    buffer.on_socket_read(ours)
    assert buffer.ended
    assert buffer.readable


def test_more_clients_than_were_allowed_are_sent_away(stage: Stage) -> None:
    server = stage.start("nonblockingserver", "--port", "0", "--pause", "0", "--clients", "1")
    port = server.port()
    first, second = stage.connect(port), stage.connect(port)
    server.expect("too many connections")
    assert second.recv(1) == b""
    first.sendall(b"abc\n")
    assert first.recv(100) == b"nop\n"


def test_the_client_resets(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = stage.start("nonblockingclient", "--port", str(listener.getsockname()[1]))
        client.expect_exit(0)
        listener.settimeout(stage.patience)
        server, _ = listener.accept()
        with server, pytest.raises(ConnectionResetError):
            server.recv(1)


def test_a_client_connects_without_waiting(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = stage.start("nonblockingconnect", "--port", str(port))
        client.expect(r"^connect: .* \[EINPROGRESS\]|^connect: done at once")
        client.expect(f"^connected: .* to 127.0.0.1:{port}$")
        client.expect_exit(0)


@pytest.mark.parametrize("options", [["--timeout", "-1"], ["--tick", "0"], ["--port", "0"]])
def test_bad_arguments(stage: Stage, options: list[str]) -> None:
    client = stage.start("nonblockingconnect", *options)
    client.expect_exit(2)
    assert not client.said("Traceback")
