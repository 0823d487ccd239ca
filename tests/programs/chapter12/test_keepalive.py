"""keepalive: what the lab does not try."""

import socket
import sys
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn
from yolanda.programs.chapter12.keepalive import observe

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


@linux
def test_another_connection_from_the_same_port_is_not_taken_for_this_one(
    listener: socket.socket,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other_listener,
        socket.socket() as one,
        socket.socket() as other,
    ):
        port = 0
        for connection, to in ((one, listener), (other, other_listener)):
            # The kernel gives a port out twice if the peers differ; unasked, when few are left.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind(("127.0.0.1", port))
            port = connection.getsockname()[1]
            connection.connect(to.getsockname())
        for connection in (one, other):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert "timer: keepalive in" in observe(connection, (0, 0, 0))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            assert "timer: off" in observe(connection, (0, 0, 0))


@pytest.mark.parametrize("option", ["--time", "--interval", "--probes"])
def test_the_kernel_does_not_count_by_zero(stage: Stage, option: str) -> None:
    client = stage.start("keepalive", option, "0")
    client.expect(f"yolanda: error: .*{option}")
    client.expect_exit(2)
