"""streamserver and streamclient: what the labs do not try."""

import socket
import struct
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn

RESET = struct.pack("ii", 1, 0)


def message(body: bytes, kind: int = 1) -> bytes:
    return struct.pack("!II", len(body), kind) + body


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server of the test's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def sent_by_client(stage: Stage, listener: socket.socket, typed: bytes, *options: str) -> bytes:
    """Return what streamclient sends for what is typed."""
    port = str(listener.getsockname()[1])
    client = stage.start("streamclient", "--port", port, *options)
    client.type_bytes(typed)
    client.end_input()
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        received = readn(connection, 10_000_000)
    client.expect_exit(0)
    return received


def assert_serves(stage: Stage, server: Actor, port: str) -> None:
    """The server serves one more client."""
    client = stage.connect(port)
    client.sendall(message("还好\n".encode()))
    client.close()
    server.expect("^received 7 bytes: 还好$")
    server.expect("^client closed$")


def test_length_and_type_are_in_network_order(stage: Stage, listener: socket.socket) -> None:
    sent = sent_by_client(stage, listener, b"network\n")
    assert sent == b"\0\0\0\x08\0\0\0\x01network\n"


def test_a_megabyte_a_last_line_without_end_and_bytes_that_are_no_text(
    stage: Stage, listener: socket.socket
) -> None:
    lines = [b"x" * 1_000_000 + b"\n", b"\xff\xfe\n", b"no end"]
    sent = sent_by_client(stage, listener, b"".join(lines), "--together", "--cut", "1000")
    assert sent == b"".join(message(line) for line in lines)


@pytest.mark.parametrize("way", [[], ["--together"], ["--cut", "3"]])
def test_no_input_is_no_message(stage: Stage, listener: socket.socket, way: list[str]) -> None:
    assert sent_by_client(stage, listener, b"", *way) == b""


def test_the_server_survives_what_clients_do(stage: Stage) -> None:
    server = stage.start("streamserver", "--port", "0", "--limit", "10")
    port = server.port()

    telnet = stage.connect(port)
    telnet.sendall(b"GET / HTTP/1.1\r\n")
    server.expect("error read message: a message of 1195725856 bytes is over the limit of 10")

    half = stage.connect(port)
    half.sendall(message(b"0123456789")[:5])
    half.close()
    server.expect("error read message: the stream ended after 5 of 8 header bytes")

    reset = stage.connect(port)
    reset.sendall(message(b"0123456789") + b"\0\0")
    server.expect("^received 10 bytes: 0123456789$")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset.close()
    server.expect(r"error read message: .* \[ECONNRESET\]")

    stranger = stage.connect(port)
    stranger.sendall(message(b"\xff\xfe") + message(b"") + message(b"little", 16777216))
    server.expect("^received 2 bytes: �+$")
    server.expect("^received 0 bytes: $")
    server.expect("^received 6 bytes of type 16777216: little$")
    stranger.close()
    server.expect("^client closed$")

    assert_serves(stage, server, port)
    server.interrupt()
    server.expect("^received 5 messages$")
    server.expect_exit(130)


def test_a_killed_client_is_an_end_of_the_stream(stage: Stage) -> None:
    server = stage.start("streamserver", "--port", "0")
    port = server.port()
    client = stage.start("streamclient", "--port", port)
    client.type("network")
    server.expect("received 8 bytes: network")
    client.kill()
    server.expect("client closed")
    assert_serves(stage, server, port)


def test_a_client_that_says_nothing_is_given_up(stage: Stage) -> None:
    server = stage.start("streamserver", "--port", "0", "--timeout", "0.2")
    port = server.port()
    liar = stage.connect(port)
    liar.sendall(struct.pack("!II", 100, 1) + b"just for fun")
    server.expect("^read timeout$")
    assert_serves(stage, server, port)


def test_a_server_that_hangs_up_is_reported_by_the_client(stage: Stage) -> None:
    server = stage.start("streamserver", "--port", "0", "--limit", "3")
    port = server.port()
    client = stage.start("streamclient", "--port", port)
    client.type("network")
    server.expect("over the limit")
    stage.wait_until(
        lambda: not any(row.state == "ESTABLISHED" for row in stage.sockets(port)), "the reset"
    )
    client.type("once more")
    client.expect(r"yolanda: error: send: .* \[(ECONNRESET|EPIPE)\]")
    client.expect_exit(1)
