"""What the lab of select01 does not type into it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def port_of(listener: socket.socket) -> str:
    return str(listener.getsockname()[1])


def read_all(connection: socket.socket) -> bytes:
    connection.settimeout(30)
    with connection.makefile("rb") as stream:
        return stream.read()


def test_odd_lines_are_sent_without_their_ending(stage: Stage, listener: socket.socket) -> None:
    client = stage.start("select01", "--port", port_of(listener))
    server, _ = listener.accept()
    with server:
        client.type_bytes(b"\xff\xfe\r\n" + "你好\n".encode() + b"\n" + b"no end")
        client.end_input()
        assert read_all(server) == b"\xff\xfe" + "你好no end".encode()
    client.expect("send bytes: 2$")
    client.expect("now sending 你好")
    client.expect("send bytes: 6$")
    client.expect("send bytes: 0$")
    client.expect("send bytes: 6$")
    client.expect_exit(0)


def test_what_a_server_says_need_not_be_text(stage: Stage, listener: socket.socket) -> None:
    client = stage.start("select01", "--port", port_of(listener))
    server, _ = listener.accept()
    with server:
        server.sendall(b"\xff\xfe\x00 end")
        client.expect(" end$")
        client.type("still there")
        client.expect("send bytes: 11")


def test_a_line_that_is_too_long_is_refused(stage: Stage, listener: socket.socket) -> None:
    client = stage.start("select01", "--port", port_of(listener))
    server, _ = listener.accept()
    with server:
        client.type_bytes(b"x" * 5000)
        client.expect("^yolanda: error: standard input: a line is longer than 4096 bytes$")
        client.expect_exit(1)


def test_a_reset_is_reported(stage: Stage, listener: socket.socket) -> None:
    client = stage.start("select01", "--port", port_of(listener))
    server, _ = listener.accept()
    client.type("never read")
    client.expect("send bytes")
    stage.wait_until(lambda: server.recv(1, socket.MSG_PEEK), "the line")
    server.close()  # with a line unread: that is a reset
    client.expect(r"^yolanda: error: read error: .* \[ECONNRESET\]$")
    client.expect_exit(1)


@pytest.mark.parametrize("source", ["file", "nothing"])
def test_its_input_may_be_a_file(stage: Stage, listener: socket.socket, source: str) -> None:
    path = stage.folder / "lines"
    path.write_bytes(b"one\ntwo\n" * 1000)
    name = str(path) if source == "file" else os.devnull
    with open(name, "rb") as stdin:
        command = [sys.executable, "-m", "yolanda", "run", "select01", "--port", port_of(listener)]
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE)
        server, _ = listener.accept()
        with server:
            received = read_all(server)
        output, _ = process.communicate(timeout=30)
    assert received == (b"onetwo" * 1000 if source == "file" else b"")
    assert output.count(b"send bytes: 3") == (2000 if source == "file" else 0)
    assert process.returncode == 0


def test_ctrl_c_ends_it(stage: Stage, listener: socket.socket) -> None:
    client = stage.start("select01", "--port", port_of(listener))
    server, _ = listener.accept()
    with server:
        server.sendall(b"ready")
        client.expect("ready")
        client.interrupt()
        client.expect_exit(130)
    assert not client.said("Traceback")
