"""udpserver and udpclient: what the labs do not try."""

import os
import socket
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """A socket of the test's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(30)
        yield peer


def port_of(server: socket.socket) -> str:
    return str(server.getsockname()[1])


def test_the_server_answers_odd_datagrams(stage: Stage, peer: socket.socket) -> None:
    server = stage.start("udpserver", "--port", "0")
    address = ("127.0.0.1", int(server.port()))
    for datagram in (b"", b"\xff\x00", "网络".encode(), b"a\r\nb\n", b"x" * 65503):
        peer.sendto(datagram, address)
        assert peer.recvfrom(65535) == (b"Hi, " + datagram, address)
        server.expect(f"received {len(datagram)} bytes: ")
    server.interrupt()
    server.expect("received 5 datagrams")
    server.expect_exit(130)


def test_the_longest_datagram_leaves_no_room_for_the_greeting(
    stage: Stage, peer: socket.socket
) -> None:
    server = stage.start("udpserver", "--port", "0")
    address = ("127.0.0.1", int(server.port()))
    peer.sendto(b"x" * 65507, address)
    server.expect("received 65507 bytes")
    server.expect(rf"^sendto 127.0.0.1:{port_of(peer)} failed: Message too long \[EMSGSIZE\]$")
    peer.sendto(b"g1", address)
    assert peer.recv(100) == b"Hi, g1"


def test_a_client_that_was_killed_is_answered_all_the_same(
    stage: Stage, peer: socket.socket
) -> None:
    server = stage.start("udpserver", "--port", "0")
    address = ("127.0.0.1", int(server.port()))
    server.pause()
    client = stage.start("udpclient", "--port", str(address[1]))
    client.type("g1")
    client.expect("send bytes")
    client.kill()
    server.resume()
    server.expect("received 2 bytes: g1")
    peer.sendto(b"g2", address)
    assert peer.recv(100) == b"Hi, g2"
    assert not server.said("failed")


def test_the_client_sends_and_prints_whatever_bytes_there_are(
    stage: Stage, peer: socket.socket
) -> None:
    client = stage.start("udpclient", "--port", port_of(peer))
    for typed, sent, answer, shown in (
        ("网络\n".encode(), "网络".encode(), "你好".encode(), "你好"),
        (b"a\xff\r\n", b"a\xff", b"\xfe\x00b", "\ufffd\\x00b"),
        (b"\n", b"", b"", ""),
        (b"x" * 65507 + b"\n", b"x" * 65507, b"y" * 65507, "y" * 65507),
    ):
        client.type_bytes(typed)
        received, address = peer.recvfrom(65535)
        assert received == sent
        client.expect(f"send bytes: {len(sent)}$")
        peer.sendto(answer, address)
        assert client.expect("").string == shown
    client.type_bytes(b"no newline")
    client.end_input()
    received, address = peer.recvfrom(100)
    assert received == b"no newline"
    peer.sendto(b"the end", address)
    client.expect("the end")
    client.expect_exit(0)


@pytest.mark.parametrize("size", [65508, 1_000_000])
def test_a_line_too_long_for_a_datagram_is_one_clear_line(
    stage: Stage, peer: socket.socket, size: int
) -> None:
    client = stage.start("udpclient", "--port", port_of(peer))
    client.type("x" * size)
    client.expect_exit(1)
    assert client.lines[-1] == "yolanda: error: sendto failed: Message too long [EMSGSIZE]"


def test_the_client_drops_what_is_not_its_servers(stage: Stage, peer: socket.socket) -> None:
    client = stage.start("udpclient", "--port", port_of(peer))
    client.type("g1")
    _, address = peer.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.sendto(b"Hi!", address)
        client.expect(f"^dropped 3 bytes from 127.0.0.1:{port_of(stranger)}: not the server$")
    peer.sendto(b"Hi, g1", address)
    client.expect("^Hi, g1$")


def test_a_stranger_does_not_put_the_time_out_off(stage: Stage, peer: socket.socket) -> None:
    client = stage.start("udpclient", "--port", port_of(peer), "--timeout", "0.3")
    client.type("g1")
    _, address = peer.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        while not client.said("ETIMEDOUT"):
            stranger.sendto(b"Hi!", address)
            client.expect("^dropped 3 bytes .* not the server$|ETIMEDOUT")


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(
    stage: Stage, peer: socket.socket
) -> None:
    client = stage.start("udpclient", "--port", port_of(peer), "--timeout", "0.3")
    client.type("g1")
    _, address = peer.recvfrom(100)
    client.expect(r"^recvfrom failed: Connection timed out \[ETIMEDOUT\]$")
    peer.sendto(b"Hi, g1", address)
    client.type("g2")
    client.expect(f"^dropped 6 bytes from 127.0.0.1:{port_of(peer)}: too late$")
    received, address = peer.recvfrom(100)
    assert received == b"g2"
    client.end_input()
    client.expect_exit(1)


def test_an_address_that_cannot_be_reached_is_one_line(stage: Stage) -> None:
    client = stage.start("udpclient", "no such name", "--port", "9")
    client.expect_exit(1)
    assert len(client.lines) == 1
    assert client.lines[0].startswith("yolanda: error: no such name: ")


def test_ctrl_c_ends_a_client_that_waits(stage: Stage, peer: socket.socket) -> None:
    client = stage.start("udpclient", "--port", port_of(peer))
    client.type("g1")
    client.expect("send bytes")
    client.interrupt()
    client.expect_exit(130)
    assert client.lines[-1] in ("", "send bytes: 2")


@pytest.mark.skipif(not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"), reason="IPv6")
def test_ipv6(stage: Stage) -> None:
    server = stage.start("udpserver", "--bind", "::1", "--port", "0")
    assert server.expect(r"listening on \[::1\]:(\d+)$")
    port = server.lines[-1].rpartition(":")[2]
    client = stage.start("udpclient", "::1", "--port", port)
    client.type("网络")
    client.expect("^Hi, 网络$")


@pytest.mark.parametrize("timeout", ["-1", "1e300", "inf", "soon"])
def test_an_odd_time_out_is_one_line(stage: Stage, timeout: str) -> None:
    client = stage.start("udpclient", "--port", "9", f"--timeout={timeout}")
    client.end_input()
    client.expect_exit(2)
    assert len(client.lines) == 1
    assert "'--timeout'" in client.lines[0]
