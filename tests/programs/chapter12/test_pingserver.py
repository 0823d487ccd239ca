"""pingserver: what the labs do not try."""

import socket
import struct

from yolanda.labs.stage import Stage
from yolanda.programs.blocking import readn

PING, PONG, TYPE1, TYPE2 = 1, 2, 11, 21


def message(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("!I", kind) + data.ljust(1024, b"\0")


def test_pong_is_in_network_order_and_gives_the_data_back(stage: Stage) -> None:
    server = stage.start("pingserver", "0", "--port", "0")
    client = stage.connect(server.port())
    client.sendall(message(PING, b"\xffdata"))
    assert readn(client, 1028) == message(PONG, b"\xffdata")


def test_a_read_is_not_a_message(stage: Stage) -> None:
    server = stage.start("pingserver", "0", "--port", "0")
    client = stage.connect(server.port())
    sent = message(TYPE1) + message(TYPE2) + message(PING)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(sent[:1500])  # one and a half
    server.expect("process MSG_TYPE1")
    client.sendall(sent[1500:])
    server.expect("process MSG_TYPE2")
    assert readn(client, 1028) == message(PONG)
    assert server.lines.count("received 1028 bytes") == 3


def test_what_is_no_message_costs_the_connection_alone(stage: Stage) -> None:
    server = stage.start("pingserver", "0", "--port", "0")
    port = server.port()
    client = stage.connect(port)
    client.sendall(message(PONG << 24))  # as the course sends it, in the host's order
    server.expect(r"unknown message type \(33554432\)")
    assert client.recv(1) == b""

    client = stage.connect(port)
    client.sendall(b"GET / HTTP/1.1\r\n")
    client.shutdown(socket.SHUT_WR)
    server.expect("received 16 bytes")
    server.expect("client closed")

    client = stage.connect(port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect(r"127\.0\.0\.1:\d+: Connection reset by peer \[ECONNRESET\]")

    client = stage.connect(port)
    client.sendall(message(PING))
    assert readn(client, 1028) == message(PONG)
    server.interrupt()
    server.expect_exit(130)


def test_a_nap_is_a_number(stage: Stage) -> None:
    server = stage.start("pingserver", "long")
    server.expect("yolanda: error: .*'long'")
    server.expect_exit(2)
