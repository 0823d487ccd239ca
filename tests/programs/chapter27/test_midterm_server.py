"""The mid-term's commands on the framework."""

import contextlib
import os
import socket

import pytest

from yolanda.labs.stage import Actor, Stage


@pytest.fixture
def server(stage: Stage) -> Actor:
    return stage.start("midterm-server", "--port", "0", "--workers", "2")


def ask(client: socket.socket, lines: bytes, answers: int) -> list[str]:
    """Send ``lines``, and read so many lines of answer."""
    client.sendall(lines)
    heard = b""
    while heard.count(b"\n") < answers:
        data = client.recv(65536)
        assert data, heard
        heard += data
    return heard.decode().splitlines()


def test_commands_sent_at_once_are_done_in_their_order(stage: Stage, server: Actor) -> None:
    (stage.folder / "deep").mkdir()
    here = str(stage.folder.resolve())
    client = stage.connect(server.port())
    lines = b"cd deep\npwd\ncd ..\npwd\r\n" * 200
    assert ask(client, lines, 400) == [f"{here}/deep", here] * 200


def test_many_clients_each_in_its_own_directory(stage: Stage, server: Actor) -> None:
    port = server.port()
    here = str(stage.folder.resolve())
    clients = [stage.connect(port) for _ in range(30)]
    for number, client in enumerate(clients):
        (stage.folder / f"d{number}").mkdir()
        client.sendall(f"cd d{number}\npwd\n".encode())
    for number, client in enumerate(clients):
        assert ask(client, b"cd nowhere\n", 2) == [
            f"{here}/d{number}",
            "change dir failed, nowhere: No such file or directory [ENOENT]",
        ]


def test_quit_and_the_end_of_the_stream_after_all_answers(stage: Stage, server: Actor) -> None:
    port = server.port()
    for last, how in ((b"quit\npwd\n", None), (b"", socket.SHUT_WR)):
        client = stage.connect(port)
        client.sendall(b"cd /\npwd\nxx\n" + last)
        if how is not None:
            client.shutdown(how)
        heard = b""
        while data := client.recv(4096):
            heard += data
        assert heard == b"/\nerror: unknown input type\n"
        client.close()
        server.expect("connection closed")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_one_who_asks_and_does_not_read_costs_little(stage: Stage, server: Actor) -> None:
    for number in range(400):
        (stage.folder / f"{number:0200}").touch()  # ls says 80 kilobytes
    port = server.port()
    client = stage.connect(port)
    client.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:  # until the server takes no more
            client.sendall(b"ls\n" * 20_000)
    with open(f"/proc/{server.pid}/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert resident < 150_000_000
    assert ask(stage.connect(port), b"cd /\npwd\n", 1) == ["/"]


def test_a_line_without_end_is_refused(stage: Stage, server: Actor) -> None:
    port = server.port()
    client = stage.connect(port)
    assert "limit of 4096 bytes" in ask(client, b"x" * 5000, 1)[0]
    client.close()
    server.expect("connection closed")
    assert ask(stage.connect(port), b"cd /\npwd\n", 1) == ["/"]


def test_killed_clients_and_ctrl_c(stage: Stage, server: Actor) -> None:
    port = server.port()
    client = stage.start("telnet-client", "127.0.0.1", port)
    client.type("cd /")
    client.type("pwd")
    client.expect("^/$")
    client.kill()
    server.expect("connection closed")
    server.interrupt()
    server.expect_exit()
    assert not server.said("Traceback|ERROR")
