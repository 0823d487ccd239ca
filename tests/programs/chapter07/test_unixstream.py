"""unixstreamserver and unixstreamclient: what the labs do not try."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import LineReader, readn


def start_server(stage: Stage) -> tuple[Actor, str]:
    """A server that listens, and its path."""
    path = str(stage.folder / "sock")
    server = stage.start("unixstreamserver", path)
    server.expect("listening on ")
    return server, path


@contextlib.contextmanager
def connected(stage: Stage, path: str) -> Iterator[socket.socket]:
    """A client of the test's own."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(stage.patience)
        client.connect(path)
        yield client


@contextlib.contextmanager
def listening(stage: Stage) -> Iterator[tuple[socket.socket, str]]:
    """A server of the test's own, and its path."""
    path = str(stage.folder / "sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(stage.patience)
        server.bind(path)
        server.listen()
        yield server, path


def test_lines_are_answered_however_they_come(stage: Stage) -> None:
    server, path = start_server(stage)
    with connected(stage, path) as client:
        for piece in (b"g", b"1\r", b"\ng2\n\n\xe7", b"\xbd\x91\xe7\xbb\x9c\na\xff\x00b\rlast"):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        expected = b"Hi, g1\nHi, g2\nHi, \nHi, \xe7\xbd\x91\xe7\xbb\x9c\nHi, a\xff\x00b\nHi, last\n"
        assert readn(client, len(expected) + 1) == expected
    server.expect_exit(0)
    assert server.lines[1:] == [
        *("Receive: g1", "Receive: g2", "Receive: ", "Receive: 网络"),
        *("Receive: a\ufffd\\x00b", "Receive: last", "client quit"),
    ]
    assert not os.path.exists(path)


def test_a_line_of_a_megabyte_goes_there_and_back(stage: Stage) -> None:
    server, path = start_server(stage)
    client = stage.start("unixstreamclient", path)
    long = "网" * 333_333 + "!"
    client.type(long)
    client.expect(f"^Hi, {long}$")
    client.type("g2")
    client.expect("^Hi, g2$")
    client.end_input()
    client.expect_exit(0)
    server.expect("^client quit$")
    server.expect_exit(0)


def test_a_line_without_an_end_is_refused_in_one_line(stage: Stage) -> None:
    server, path = start_server(stage)
    with connected(stage, path) as client, contextlib.suppress(BrokenPipeError):
        client.sendall(b"x" * 2_000_000)
    server.expect_exit(1)
    assert server.lines[1:] == ["yolanda: error: read error: a line is longer than 1048576 bytes"]
    assert not os.path.exists(path)


def test_a_client_that_connects_and_leaves(stage: Stage) -> None:
    server, path = start_server(stage)
    with connected(stage, path):
        pass
    server.expect("^client quit$")
    server.expect_exit(0)


def test_a_client_killed_with_an_answer_unread_is_reported(stage: Stage) -> None:
    server, path = start_server(stage)
    client = stage.start("unixstreamclient", path)
    client.type("g1")
    client.expect("^Hi, g1$")
    client.pause()
    client.type("g2")
    server.pause()
    client.resume()
    client.kill()
    server.resume()
    # g2 was sent or was not, its answer was read or not: each time it is one line, and an end.
    server.expect_exit()
    assert server.lines[-1] == "client quit" or server.lines[-1].startswith(
        ("yolanda: error: read error: Connection reset", "yolanda: error: write error: Broken pipe")
    )
    assert not os.path.exists(path)


def test_an_answer_that_nobody_reads_resets_the_connection(stage: Stage) -> None:
    server, path = start_server(stage)
    with connected(stage, path) as client:
        client.sendall(b"g1\n")
        server.expect("^Receive: g1$")
        assert client.recv(1, socket.MSG_PEEK) == b"H"
    server.expect_exit(1)
    assert server.lines[-1] == "yolanda: error: read error: Connection reset by peer [ECONNRESET]"


def test_a_second_client_is_not_served(stage: Stage) -> None:
    server, path = start_server(stage)
    with connected(stage, path) as first:
        first.sendall(b"g1\n")
        assert first.recv(100) == b"Hi, g1\n"
        second = stage.start("unixstreamclient", path)
        second.type("g2")
    server.expect_exit(0)
    second.expect_exit(1)
    assert len(second.lines) == 1
    assert second.lines[0].startswith("yolanda: error: ")


def test_the_end_of_the_server_is_reported(stage: Stage) -> None:
    server, path = start_server(stage)
    client = stage.start("unixstreamclient", path)
    client.type("g1")
    client.expect("^Hi, g1$")
    server.kill()
    client.type("g2")
    client.expect_exit(1)
    assert client.lines[-1] == "yolanda: error: write error: Broken pipe [EPIPE]"


def test_an_answer_that_does_not_come_is_reported(stage: Stage) -> None:
    with listening(stage) as (server, path):
        client = stage.start("unixstreamclient", path)
        client.type("g1")
        connection, _ = server.accept()
        with connection:
            assert readn(connection, 3) == b"g1\n"
        client.expect_exit(1)
    assert client.lines == ["yolanda: error: server terminated prematurely"]


def test_the_client_sends_lines_and_prints_lines(stage: Stage) -> None:
    with listening(stage) as (server, path):
        client = stage.start("unixstreamclient", path)
        connection, _ = server.accept()
        with connection:
            lines = LineReader(connection.recv)
            for typed, sent, answer, shown in (
                ("网络\n".encode(), "网络".encode(), "你好\n".encode(), "你好"),
                (b"a\xff\r\n", b"a\xff", b"\xfe\x00b\r\n", "\ufffd\\x00b"),
                (b"\n", b"", b"\n", ""),
            ):
                client.type_bytes(typed)
                assert lines.read_line() == sent
                connection.sendall(answer)
                assert client.expect("").string == shown
            client.end_input()
            client.expect_exit(0)


def test_sigterm_removes_the_path(stage: Stage) -> None:
    server, path = start_server(stage)
    with connected(stage, path) as client:
        client.sendall(b"g1\n")
        server.expect("^Receive: g1$")
        server.terminate()
        server.expect_exit(143)
    assert not os.path.exists(path)


@pytest.mark.parametrize("program", ["unixstreamserver", "unixstreamclient", "unixdataserver"])
@pytest.mark.parametrize("path", ["", "/tmp/" + "x" * 200])
def test_a_path_that_cannot_be_is_one_clear_line(stage: Stage, program: str, path: str) -> None:
    actor = stage.start(program, path)
    actor.expect_exit(1)
    assert len(actor.lines) == 1
    assert actor.lines[0].startswith("yolanda: error: ")
    assert actor.lines[0].endswith("[ENAMETOOLONG]" if path else "[ENOENT]")


def test_a_path_of_any_bytes_will_do(stage: Stage) -> None:
    path = os.fsdecode(os.fsencode(stage.folder) + "/网 络".encode())
    server = stage.start("unixstreamserver", path)
    server.expect("listening on .*/网 络$")
    client = stage.start("unixstreamclient", path)
    client.type("g1")
    client.expect("^Hi, g1$")
