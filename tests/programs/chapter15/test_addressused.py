"""addressused and addressused02: what the labs do not try."""

import socket
import struct
import sys

import pytest

from yolanda.labs.stage import Stage


@pytest.mark.parametrize("program", ["addressused", "addressused02"])
def test_it_prints_odd_and_long_input(stage: Stage, program: str) -> None:
    server = stage.start(program, "--port", "0")
    client = stage.connect(server.port())
    client.sendall("网络\r\n".encode())
    server.expect("received 8 bytes: 网络$")
    client.sendall(b"\xff\x00")
    server.expect("received 2 bytes: \ufffd")
    client.sendall(b"x" * 1_000_000)
    client.close()
    server.expect("client closed")
    server.expect_exit(0)
    sizes = [int(line.split()[1]) for line in server.lines if line.startswith("received")]
    assert sum(sizes) == 1_000_010
    assert max(sizes) <= 4096


@pytest.mark.parametrize("program", ["addressused", "addressused02"])
def test_ctrl_c_says_what_came(stage: Stage, program: str) -> None:
    server = stage.start(program, "--port", "0")
    client = stage.connect(server.port())
    for word in ("network", "good"):
        client.sendall(f"{word}\r\n".encode())
        server.expect(word)
    server.interrupt()
    server.expect("received 2 messages")
    server.expect_exit(130)


def test_ctrl_c_before_a_client_came(stage: Stage) -> None:
    server = stage.start("addressused", "--port", "0")
    server.port()
    server.interrupt()
    server.expect_exit(130)


def test_a_reset_is_reported(stage: Stage) -> None:
    server = stage.start("addressused02", "--port", "0")
    client = stage.connect(server.port())
    client.sendall(b"good\r\n")
    server.expect("received 6 bytes: good")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect_exit(1)
    assert server.lines[-1] == "yolanda: error: error read: Connection reset by peer [ECONNRESET]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="each system has its own rules")
def test_two_addresses_share_a_port_but_the_wildcard_does_not_join_them(stage: Stage) -> None:
    first = stage.start("addressused02", "--port", "0")
    port = first.port()
    second = stage.start("addressused02", "--bind", "127.0.0.2", "--port", port)
    assert second.port() == port
    third = stage.start("addressused02", "--bind", "0.0.0.0", "--port", port)
    third.expect_exit(1)
    assert third.lines[-1] == (
        f"yolanda: error: bind 0.0.0.0:{port} failed: Address already in use [EADDRINUSE]"
    )


def test_an_address_that_is_not_ours_is_named(stage: Stage) -> None:
    server = stage.start("addressused", "--bind", "192.0.2.1")
    server.expect_exit(1)
    assert "bind 192.0.2.1:9527 failed" in server.lines[-1]
    assert "[EADDRNOTAVAIL]" in server.lines[-1]
