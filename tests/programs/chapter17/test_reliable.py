"""The programs of chapter 17: what the labs do not try."""

import socket
import struct

import pytest

from yolanda.labs.stage import Stage

RESET = struct.pack("ii", 1, 0)


def test_the_echo_comes_back_whole(stage: Stage) -> None:
    server = stage.start("reliable_server01", "--port", "0", "--pause", "0")
    client = stage.start("reliable_client01", "--port", server.port())
    long = "x" * 100_000
    for line in ("你好", long, ""):
        client.type(line)
        client.expect(f"^{line}$")
    client.type_bytes(b"\xff no end")
    client.end_input()
    client.expect("^� no end$")
    client.expect_exit(0)
    server.expect("^client closed$")


@pytest.mark.parametrize("name", ["reliable_server01", "reliable_server02"])
def test_the_servers_survive_their_clients(stage: Stage, name: str) -> None:
    server = stage.start(name, "--port", "0", "--pause", "0")
    port = server.port()
    reset = stage.connect(port)
    reset.sendall(b"reset")
    server.expect("read bytes: 5|1K read for 1 ")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset.close()
    server.expect(r"error with 127\.0\.0\.1:\d+: .* \[(ECONNRESET|EPIPE)\]")
    following = stage.connect(port)
    following.sendall(b"telnet\r\n")
    server.expect(r"read bytes: 8|1K read for 1 \(8 bytes\)")
    following.close()
    server.expect("client closed|error with")
    assert server.running


def test_a_client_that_left_while_the_server_rested_harms_nobody(stage: Stage) -> None:
    server = stage.start("reliable_server01", "--port", "0", "--pause", "0.2")
    port = server.port()
    client = stage.start("reliable_client01", "--port", port)
    client.type("good")
    server.expect("read bytes: 5")
    client.kill()
    following = stage.connect(port)
    following.sendall(b"next")
    server.expect("read bytes: 4")
    assert following.recv(10) == b"next"


def test_the_client_sends_as_often_as_it_is_told(stage: Stage) -> None:
    server = stage.start("reliable_server02", "--port", "0", "--pause", "0")
    client = stage.start("reliable_client02", "--port", server.port(), "--count", "3")
    client.expect_exit(0)
    assert client.lines == ["send into buffer 19"] * 3
    server.expect("client closed")
    sizes = [int(line.split("(")[1].split()[0]) for line in server.lines if "1K" in line]
    assert sum(sizes) == 3 * 19


def test_ctrl_c_ends_the_clients(stage: Stage) -> None:
    port = stage.start("reliable_server02", "--port", "0").port()
    sender = stage.start("reliable_client02", "--port", port, "--pause", "10")
    sender.expect("send into buffer 19")
    sender.interrupt()
    sender.expect_exit(130)
    port = stage.start("reliable_server01", "--port", "0").port()
    reader = stage.start("reliable_client01", "--port", port)
    reader.type("good")
    stage.wait_until(
        lambda: any(row.state == "ESTABLISHED" for row in stage.sockets(port)), "the connection"
    )
    reader.interrupt()
    reader.expect_exit(130)
