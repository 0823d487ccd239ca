"""The programs of small packets: what the labs do not try."""

import os
import re
import socket
import struct

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter13.batchwrite import write_all
from yolanda.programs.chapter13.nagleserver import answer_lines

linux_only = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux only")


def test_an_answer_for_every_line_however_it_comes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for piece in (b"hel", b"lo\nand", b" again\r\n\n", b"a tail"):
            theirs.sendall(piece)
        theirs.shutdown(socket.SHUT_WR)
        answer_lines(ours, "kernel")
        ours.close()
        assert b"".join(iter(lambda: theirs.recv(100), b"")) == b"ok\n" * 3


@linux_only
def test_a_server_serves_on_after_a_reset(stage: Stage) -> None:
    server = stage.start("nagleserver", "--port", "0")
    port = server.port()
    client = stage.connect(port)
    client.sendall(b"half a line")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.expect(r"error with 127\.0\.0\.1:\d+: .*\[ECONNRESET\]")
    client = stage.connect(port)
    client.sendall(b"hello,\xff\n")
    assert client.recv(10) == b"ok\n"


@linux_only
def test_a_server_that_leaves_is_reported(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = stage.start("nagle", "--port", str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
    client.expect_exit(1)
    assert re.match("yolanda: error: .*(closed the connection|ECONNRESET|EPIPE)", client.lines[-1])


def test_nobody_there_is_one_clear_line(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        for program in ("nagle", "batchwrite"):
            client = stage.start(program, "--port", port)
            client.expect_exit(1)
            assert client.lines[-1] == (
                f"yolanda: error: connect 127.0.0.1:{port}: Connection refused [ECONNREFUSED]"
            )


def test_what_writev_does_not_take_at_once_is_sent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(os, "writev", lambda fd, buffers: os.write(fd, b"".join(buffers)[:8]))
    with ours, theirs:
        write_all(ours, [b"hello,", b"network\n"])
        ours.close()
        assert b"".join(iter(lambda: theirs.recv(100), b"")) == b"hello,network\n"


def test_a_megabyte_and_odd_bytes_arrive(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = stage.start("batchwrite", "--port", str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        with connection:
            client.type_bytes("网络\r\n".encode() + b"\xff\n" + b"x" * 1_000_000)
            client.end_input()
            received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received == (b"hello," + "网络\r\n".encode() + b"hello,\xff\nhello," + b"x" * 1_000_000)
    client.expect_exit(0)


def test_a_dead_server_ends_batchwrite(stage: Stage) -> None:
    server = stage.start("batchwriteserver", "--port", "0")
    client = stage.start("batchwrite", "--port", server.port())
    client.type("world")
    server.expect("received 12 bytes: hello,world")
    server.kill()
    client.type("one that is answered with RST")
    client.type_bytes(b"and more\n" * 1000)
    client.expect_exit(1)
    assert re.match(r"yolanda: error: writev failure: .* \[(EPIPE|ECONNRESET)\]", client.lines[-1])


def test_batchwriteserver_serves_the_next_client_and_ends_on_ctrl_c(stage: Stage) -> None:
    server = stage.start("batchwriteserver", "--port", "0")
    port = server.port()
    first = stage.start("batchwrite", "--port", port)
    first.type("网络")
    server.expect("received 13 bytes: hello,网络")
    first.kill()
    server.expect("client closed")
    client = stage.connect(port)
    client.sendall(b"\xff\r\n")
    server.expect("received 3 bytes: \ufffd$")
    server.interrupt()
    server.expect_exit(130)


def test_a_writev_takes_as_many_buffers_as_the_system_says(stage: Stage) -> None:
    most = os.sysconf("SC_IOV_MAX")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        client = stage.start("batchwrite", "--port", port, "--greetings", str(most - 1))
        connection, _ = listener.accept()
        with connection:
            client.type("world")
            client.end_input()
            client.expect_exit(0)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
            assert received == b"hello," * (most - 1) + b"world\n"
        client = stage.start("batchwrite", "--port", port, "--greetings", str(most))
        client.type("world")
        client.expect_exit(1)
    assert client.lines == ["yolanda: error: writev failure: Invalid argument [EINVAL]"]
