"""tcpserver and tcpclient: what the labs do not try."""

import errno
import os
import signal
import socket
import struct

import pytest

from yolanda.labs.stage import Stage


def test_serves_the_next_client_after_a_reset(stage: Stage) -> None:
    server = stage.start("tcpserver", "--port", "0", "--pause", "0")
    port = server.port()
    client = stage.connect(port)
    client.sendall(b"a" * 100)
    server.expect("block in read")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect(r"read from 127\.0\.0\.1:\d+: Connection reset by peer \[ECONNRESET\]")
    stage.start("tcpclient", "--port", port, "--size", "3000").expect_exit(0)
    server.expect("1K read for 3")  # the last of them is not a whole one
    server.expect("connection closed by other end")
    server.interrupt()
    server.expect_exit(130)


def test_a_killed_client_is_an_end_of_the_stream(stage: Stage) -> None:
    server = stage.start("tcpserver", "--port", "0", "--pause", "0.01")
    client = stage.start("tcpclient", "--port", server.port(), "--size", "1000000000")
    server.expect("1K read for 5$")
    client.kill()
    server.expect("connection closed by other end|ECONNRESET")
    assert server.running


def test_a_killed_server_ends_the_client(stage: Stage) -> None:
    server = stage.start("tcpserver", "--port", "0")
    client = stage.start("tcpclient", "--port", server.port(), "--size", "1000000000")
    server.expect("1K read for 5$")
    server.kill()
    client.expect(r"yolanda: error: send: .* \[(ECONNRESET|EPIPE)\]")
    client.expect_exit(1)


def test_a_used_port_is_named(stage: Stage) -> None:
    port = stage.start("tcpserver", "--port", "0").port()
    second = stage.start("tcpserver", "--port", port)
    second.expect_exit(1)
    assert second.lines == [
        f"yolanda: error: bind 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)} [EADDRINUSE]"
    ]


def test_a_refused_connection_is_named(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        client = stage.start("tcpclient", "--port", str(port))
        client.expect_exit(1)
    assert client.lines == [
        f"yolanda: error: connect 127.0.0.1:{port}: Connection refused [ECONNREFUSED]"
    ]


def test_listens_on_ipv6(stage: Stage) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = stage.start("tcpserver", "--bind", "::1", "--port", "0", "--pause", "0")
    port = server.expect(r"listening on \[::1\]:(\d+)")[1]
    stage.start("tcpclient", "::1", "--port", port, "--size", "10").expect_exit(0)
    server.expect("1K read for 1")


def test_sigterm_ends_it(stage: Stage) -> None:
    server = stage.start("tcpserver", "--port", "0")
    server.port()
    server.terminate()
    server.expect_exit(128 + signal.SIGTERM)
