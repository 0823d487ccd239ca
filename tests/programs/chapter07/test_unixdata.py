"""unixdataserver and unixdataclient: what the labs do not try."""

import contextlib
import os
import socket
from collections.abc import Iterator

from yolanda.labs.stage import Actor, Stage


def start_server(stage: Stage) -> tuple[Actor, str]:
    """A server that is there, and its path."""
    path = str(stage.folder / "server")
    server = stage.start("unixdataserver", path)
    server.expect("listening on ")
    return server, path


@contextlib.contextmanager
def peer(stage: Stage, name: str) -> Iterator[socket.socket]:
    """A socket of the test's own, at a path of the stage's folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(stage.patience)
        sock.bind(str(stage.folder / name))
        yield sock


def test_the_server_answers_odd_datagrams(stage: Stage) -> None:
    server, path = start_server(stage)
    with peer(stage, "client") as client:
        for datagram in (b"", b"\xff\x00", "网络".encode(), b"a\r\nb\n", b"x" * 65536):
            client.sendto(datagram, path)
            assert client.recv(100_000) == b"Hi, " + datagram
    server.interrupt()
    server.expect_exit(130)
    assert not os.path.exists(path)


def test_a_client_that_does_not_read_keeps_nobody_waiting(stage: Stage) -> None:
    server, path = start_server(stage)
    with peer(stage, "lazy") as lazy, peer(stage, "client") as client:
        while not server.said("^sendto .*/lazy failed: .*"):
            lazy.sendto(b"g", path)
            server.expect("now sending: ")
        client.sendto(b"g1", path)
        assert client.recv(100) == b"Hi, g1"


def test_a_client_that_was_killed_is_reported(stage: Stage) -> None:
    server, path = start_server(stage)
    with peer(stage, "gone") as gone, peer(stage, "client") as client:
        server.pause()
        gone.sendto(b"g1", path)
        gone.close()
        server.resume()
        server.expect(r"^sendto .*/gone failed: Connection refused \[ECONNREFUSED\]$")
        client.sendto(b"g2", path)
        assert client.recv(100) == b"Hi, g2"


def test_a_client_without_a_path_is_heard(stage: Stage) -> None:
    server, path = start_server(stage)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
        nameless.sendto(b"g1", path)
        server.expect("^Receive: g1$")
        server.expect("^nobody to answer: the client has no path$")
    with peer(stage, "client") as client:
        client.sendto(b"g2", path)
        assert client.recv(100) == b"Hi, g2"


def test_the_client_sends_and_prints_whatever_bytes_there_are(stage: Stage) -> None:
    with peer(stage, "server") as server:
        client = stage.start("unixdataclient", str(stage.folder / "server"))
        for typed, sent, answer, shown in (
            ("网络\n".encode(), "网络".encode(), "你好".encode(), "你好"),
            (b"a\xff\r\n", b"a\xff", b"\xfe\x00b", "\ufffd\\x00b"),
            (b"\n", b"", b"", ""),
            (b"x" * 65536 + b"\n", b"x" * 65536, b"y" * 65536, "y" * 65536),
        ):
            client.type_bytes(typed)
            received, address = server.recvfrom(100_000)
            assert received == sent
            client.expect("^now sending ")
            server.sendto(answer, address)
            assert client.expect("").string == shown
        client.end_input()
        client.expect_exit(0)


def test_a_line_too_long_for_a_datagram_is_one_clear_line(stage: Stage) -> None:
    server, path = start_server(stage)
    temporary = stage.folder / "tmp"
    temporary.mkdir()
    client = stage.start("unixdataclient", path, env={"TMPDIR": str(temporary)})
    client.type("x" * 10_000_000)
    client.expect_exit(1)
    assert client.lines[-1] == (
        f"yolanda: error: sendto {path} failed: Message too long [EMSGSIZE]"
    )
    assert list(temporary.iterdir()) == []
    assert server.running


def test_a_client_gives_up_after_the_time_it_was_given(stage: Stage) -> None:
    with peer(stage, "server") as server:
        client = stage.start("unixdataclient", str(stage.folder / "server"), "--timeout", "0.05")
        client.type("g1")
        assert server.recv(100) == b"g1"
        client.expect_exit(1)
    assert client.lines[-1] == "yolanda: error: recvfrom failed: Connection timed out [ETIMEDOUT]"


def test_an_own_path_that_is_too_long_is_one_clear_line(stage: Stage) -> None:
    folder = stage.folder / ("x" * 120)
    folder.mkdir()
    client = stage.start("unixdataclient", "server", env={"TMPDIR": str(folder)})
    client.expect_exit(1)
    assert len(client.lines) == 1
    assert client.lines[0].startswith(f"yolanda: error: bind {folder}")
    assert client.lines[0].endswith("[ENAMETOOLONG]")
    assert list(folder.iterdir()) == []


def test_a_server_path_that_is_too_long_is_one_clear_line(stage: Stage) -> None:
    client = stage.start("unixdataclient", "x" * 200)
    client.type("g1")
    client.expect_exit(1)
    assert client.lines[-1].endswith("[ENAMETOOLONG]")
