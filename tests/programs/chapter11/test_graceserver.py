"""graceserver: what the lab does not try."""

import signal
import socket
import struct
import sys

import pytest

from yolanda.labs.stage import Actor, Stage

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/net/tcp")


def leave_two_answers_under_way(stage: Stage, server: Actor) -> None:
    """Make the server's first answer meet an RST, and its second one EPIPE."""
    port = server.port()
    client = stage.connect(port)
    client.sendall(b"data1")
    server.expect("received 5 bytes: data1")
    server.pause()
    client.sendall(b"data2")
    client.close()
    stage.wait_until(
        lambda: "CLOSE_WAIT" in [row.state for row in stage.sockets(port)], "the client's FIN"
    )
    server.resume()
    server.expect("send bytes: 9")
    server.expect("received 5 bytes: data2")


@linux
def test_sigpipe_kills_without_a_word(stage: Stage) -> None:
    server = stage.start("graceserver", "--port", "0", "--work", "0.5", "--sigpipe", "default")
    leave_two_answers_under_way(stage, server)
    server.expect_exit(-signal.SIGPIPE)
    assert server.lines[-1] == "received 5 bytes: data2"


@linux
def test_a_handler_hears_of_sigpipe_and_the_server_goes_on(stage: Stage) -> None:
    server = stage.start("graceserver", "--port", "0", "--work", "0.5", "--sigpipe", "handler")
    leave_two_answers_under_way(stage, server)
    server.expect("received SIGPIPE")
    server.expect(r"error write: Broken pipe \[EPIPE\]")
    assert server.running


def test_serves_the_next_client_after_a_reset_and_counts(stage: Stage) -> None:
    server = stage.start("graceserver", "--port", "0", "--work", "0")
    port = server.port()
    client = stage.connect(port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect(r"error read: Connection reset by peer \[ECONNRESET\]")

    client = stage.connect(port)
    client.sendall(b"\xff\x00odd\r\n")
    assert client.recv(100) == b"Hi, \xff\x00odd\r\n"
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b""
    server.expect("client closed")
    server.interrupt()
    server.expect("received 1 datagrams")
    server.expect_exit(130)
