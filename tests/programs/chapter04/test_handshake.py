"""handshake: whom the queue has room for, and who gets in when one has left it."""

import os
import re
import socket

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs import socket_table
from yolanda.programs.chapter04 import handshake
from yolanda.programs.socket_table import TcpRow

linux = pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="no /proc/net/tcp here")


@linux
@pytest.mark.parametrize("backlog", [0, 1, 4])
def test_the_queue_holds_one_more_than_the_backlog(backlog: int, stage: Stage) -> None:
    actor = stage.start("handshake", "--port", "0", "--backlog", str(backlog))
    actor.expect("Connection refused .ECONNREFUSED.: a RST came")
    actor.expect(r"server: LISTEN, 0 to be accepted")
    for number in range(1, backlog + 2):
        actor.expect(rf"client {number} connect, from 127\.0\.0\.1:\d+: done")
    late = actor.expect(rf"client {backlog + 2} connect, from (.*): not yet, the queue is full")[1]
    actor.expect(rf"server: LISTEN, {backlog + 1} to be accepted")
    actor.expect("client 1: ESTABLISHED; its end at the server: ESTABLISHED")
    actor.expect(rf"client {backlog + 2}: SYN_SENT, again in .* its end at the server: none")
    actor.expect("server accept: ")
    actor.expect(rf"{re.escape(late)}: done now")
    actor.expect_exit(0)


def test_a_client_may_be_bound_before_it_connects(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    actor = stage.start("handshake", "--port", "0", "--client-port", str(port))
    actor.expect(f"client 1 bind 127.0.0.1:{port}")
    actor.expect(f"client 1 connect, from 127.0.0.1:{port}: done")
    actor.expect(f"server accept: 127.0.0.1:{port}, ")
    actor.expect_exit(0)


@pytest.mark.parametrize("option", ["--port", "--client-port"])
def test_a_used_port_is_named(option: str, stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        options = {"--port": "0", "--client-port": "0", option: port}
        actor = stage.start("handshake", *(word for pair in options.items() for word in pair))
        actor.expect_exit(1)
    who = "server" if option == "--port" else "client 1"
    wanted = f"yolanda: error: {who}: bind 127.0.0.1:{port}: Address already in use [EADDRINUSE]"
    assert actor.lines[-1] == wanted


def test_without_the_table_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket_table, "TABLES", ("/proc/net/no-such-table",))
    with socket.create_server(("127.0.0.1", 0)) as server:
        handshake.show(server, [])
    assert "no-such-table: the kernel's table" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (TcpRow("a", "b", "LISTEN", 0, 3), "LISTEN, 3 to be accepted"),
        (TcpRow("a", "b", "SYN_SENT", 0, 0, 0, "retransmit", 0.5), "SYN_SENT, again in 0.50 s"),
        (TcpRow("a", "b", "ESTABLISHED", 0, 0), "ESTABLISHED"),
    ],
)
def test_a_row_in_words(row: TcpRow, expected: str) -> None:
    assert handshake.describe(row) == expected
