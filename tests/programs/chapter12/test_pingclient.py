"""pingclient: what the labs do not try."""

import socket
import struct
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn

PING, PONG, TYPE1, TYPE2 = 1, 2, 11, 21


def message(kind: int) -> bytes:
    return struct.pack("!I1024s", kind, b"")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def start(stage: Stage, listener: socket.socket, *options: str) -> tuple[Actor, socket.socket]:
    client = stage.start("pingclient", "--port", str(listener.getsockname()[1]), *options)
    connection, _ = listener.accept()
    connection.settimeout(30)
    return client, connection


def test_messages_that_it_is_told_to_send_come_first(stage: Stage, listener: socket.socket) -> None:
    _, connection = start(stage, listener, "--send", "type2", "--send", "type1", "--time", "0.05")
    with connection:
        assert readn(connection, 3 * 1028) == message(TYPE2) + message(TYPE1) + message(PING)


def test_answers_are_counted_by_message_and_not_by_read(
    stage: Stage, listener: socket.socket
) -> None:
    client, connection = start(stage, listener, "--time", "100")
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = 3 * message(PONG)
        connection.sendall(answers[:1500])
        client.expect("received heartbeat")
        connection.sendall(answers[1500:])
        client.expect("received heartbeat")
        client.expect("received heartbeat")
    client.expect("server terminated")
    client.expect_exit(1)
    assert sum(line.startswith("received heartbeat") for line in client.lines) == 3


def test_half_an_answer_is_no_sign_of_life(stage: Stage, listener: socket.socket) -> None:
    client, connection = start(
        stage, listener, "--time", "0.3", "--interval", "0.3", "--probes", "2"
    )
    with connection:
        client.expect("sending heartbeat #1")
        connection.sendall(message(PONG)[:-1])
        client.expect("sending heartbeat #2")
        client.expect("connection dead")
        client.expect_exit(1)


def test_a_type_that_is_not_known_is_named(stage: Stage, listener: socket.socket) -> None:
    client, connection = start(stage, listener)
    with connection:
        connection.sendall(message(PONG << 24))
        client.expect(r"yolanda: error: unknown message type \(33554432\)")
        client.expect_exit(1)
