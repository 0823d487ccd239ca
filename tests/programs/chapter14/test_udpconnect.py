"""The programs of connected UDP: what the labs do not try."""

import os
import socket
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that receives and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        yield server


def client_of(stage: Stage) -> socket.socket:
    """A client of the test's own."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(stage.patience)
    return client


@pytest.mark.parametrize("program", ["udpconnectclient", "udpconnectclient2"])
def test_a_client_gives_up_after_the_time_it_was_given(
    stage: Stage, silent: socket.socket, program: str
) -> None:
    port = str(silent.getsockname()[1])
    client = stage.start(program, "--port", port, "--timeout", "0.05")
    client.type("g1")
    client.expect_exit(1)
    assert "[ETIMEDOUT]" in client.lines[-1]
    assert silent.recv(100) == b"g1"


@pytest.mark.parametrize("program", ["udpconnectclient", "udpconnectclient2"])
def test_a_client_sends_and_prints_whatever_bytes_there_are(
    stage: Stage, silent: socket.socket, program: str
) -> None:
    client = stage.start(program, "--port", str(silent.getsockname()[1]))
    for typed, sent, answer, shown in (
        ("网络\n".encode(), "网络".encode(), "你好".encode(), "你好"),
        (b"a\xff\r\n", b"a\xff", b"\xfe\x00b", "\ufffd\\x00b"),
        (b"\n", b"", b"", ""),
    ):
        client.type_bytes(typed)
        received, address = silent.recvfrom(100)
        assert received == sent
        client.expect(f"send bytes: {len(sent)}$")
        silent.sendto(answer, address)
        assert client.expect("").string == shown
    client.end_input()
    client.expect_exit(0)


def test_a_line_too_long_for_a_datagram_is_one_clear_line(
    stage: Stage, silent: socket.socket
) -> None:
    client = stage.start("udpconnectclient2", "--port", str(silent.getsockname()[1]))
    client.type("x" * 1_000_000)
    client.expect_exit(1)
    assert client.lines[-1] == "yolanda: error: send failed: Message too long [EMSGSIZE]"


def test_the_server_answers_nobody_elses_datagram(stage: Stage) -> None:
    server = stage.start("udpconnectserver", "--port", "0")
    address = ("127.0.0.1", int(server.port()))
    with client_of(stage) as first, client_of(stage) as second:
        server.pause()  # both datagrams are in its queue before it connects
        first.sendto(b"g1", address)
        second.sendto(b"g2", address)
        server.resume()
        assert first.recv(100) == b"Hi, g1"
        here = f"127.0.0.1:{second.getsockname()[1]}"
        server.expect(f"dropped 2 bytes from {here}: sent before the connect")
        first.sendto(b"goodbye", address)
        server.expect("received 7 bytes: goodbye")
        server.expect_exit(0)


def test_the_server_counts_its_datagrams_on_ctrl_c(stage: Stage) -> None:
    server = stage.start("udpconnectserver", "--port", "0")
    with client_of(stage) as client:
        client.connect(("127.0.0.1", int(server.port())))
        for _ in range(3):
            client.send(b"g")
            assert client.recv(100) == b"Hi, g"
        server.interrupt()
        server.expect("received 3 datagrams")
        server.expect_exit(130)


def test_the_server_takes_odd_datagrams(stage: Stage) -> None:
    server = stage.start("udpconnectserver", "--port", "0")
    with client_of(stage) as client:
        client.connect(("127.0.0.1", int(server.port())))
        for datagram in (b"", b"\xff\x00", "网络".encode(), b"x" * 60_000):
            client.send(datagram)
            assert client.recv(65535) == b"Hi, " + datagram
        client.send(b"goodbye, and more\r\n")
        server.expect_exit(0)


def test_an_answer_too_long_for_a_datagram_does_not_end_the_server(stage: Stage) -> None:
    server = stage.start("udpconnectserver", "--port", "0")
    with client_of(stage) as client:
        client.connect(("127.0.0.1", int(server.port())))
        client.send(b"x" * 65507)  # the most that a datagram holds, and the greeting comes on top
        server.expect(r"send failed: Message too long \[EMSGSIZE\]")
        client.send(b"g")
        assert client.recv(100) == b"Hi, g"


def test_a_server_hears_that_its_client_is_gone_when_it_answers(stage: Stage) -> None:
    server = stage.start("udpconnectserver", "--port", "0")
    port = server.port()
    with client_of(stage) as client:
        server.pause()
        client.sendto(b"g1", ("127.0.0.1", int(port)))
    server.resume()
    server.expect_exit(1)
    assert server.said(r"failed: Connection refused \[ECONNREFUSED\]")
    assert stage.start("udpconnectserver", "--port", port).port() == port


def test_a_used_port_is_named(stage: Stage, silent: socket.socket) -> None:
    port = str(silent.getsockname()[1])
    for program in ("udpconnectserver", "udpreconnect"):
        second = stage.start(program, "--port", port)
        second.expect_exit(1)
        assert second.lines == [
            f"yolanda: error: bind 127.0.0.1:{port}: Address already in use [EADDRINUSE]"
        ]


@pytest.mark.skipif(not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"), reason="IPv6")
def test_ipv6(stage: Stage) -> None:
    server = stage.start("udpconnectserver", "--bind", "::1", "--port", "0")
    client = stage.start("udpconnectclient", "::1", "--port", server.port())
    client.type("g1")
    client.expect("Hi, g1")
