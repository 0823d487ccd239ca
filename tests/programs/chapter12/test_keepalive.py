"""keepalive: what the lab does not try."""

import socket
import sys
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows and filters")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def start(stage: Stage, listener: socket.socket, *options: str) -> tuple[Actor, socket.socket]:
    client = stage.start("keepalive", "--port", str(listener.getsockname()[1]), *options)
    connection, _ = listener.accept()
    connection.settimeout(30)
    return client, connection


def test_what_is_typed_is_sent_and_what_comes_is_counted(
    stage: Stage, listener: socket.socket
) -> None:
    client, connection = start(stage, listener)
    with connection:
        client.type_bytes(b"hello\r\nplugs\n")
        client.expect("send bytes: 5")
        client.expect("send bytes: 5")
        assert readn(connection, 10) == b"helloplugs"
        connection.sendall(b"\xff" * 3)
        client.expect("received 3 bytes")
        client.end_input()
    client.expect("server terminated")
    client.expect_exit(1)


@linux
def test_nothing_arrives_while_the_cable_is_out(stage: Stage, listener: socket.socket) -> None:
    client, connection = start(stage, listener, "--report", "0.1")
    with connection:
        client.type("plug")
        client.expect(r"plug: .*\[ENOENT\]")  # the kernel's word for: it is not out
        client.type("unplug")
        client.expect("unplugged")
        connection.sendall(b"lost on the way")
        client.expect("s: segments sent ")
        client.expect("s: segments sent ")
        assert not client.said("received 15 bytes")
        client.type("plug")
        client.expect("^plugged")
        client.expect("received 15 bytes")  # TCP has sent it again


@pytest.mark.parametrize("option", ["--time", "--interval", "--probes"])
def test_the_kernel_does_not_count_by_zero(stage: Stage, option: str) -> None:
    client = stage.start("keepalive", option, "0")
    client.expect(f"yolanda: error: .*{option}")
    client.expect_exit(2)
