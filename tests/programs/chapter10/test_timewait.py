"""timewait: what the labs do not try."""

import os
import socket

import pytest
from click.testing import CliRunner

from yolanda.labs.stage import Stage
from yolanda.programs import socket_table
from yolanda.programs.chapter10 import timewait
from yolanda.programs.socket_table import TcpRow

linux = pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="no /proc/net/tcp here")


def test_the_option_is_set_and_read_back() -> None:
    with socket.socket() as connection:
        assert timewait.get_linger(connection) == "off"
        timewait.set_linger(connection, 0)
        assert timewait.get_linger(connection) == "on, 0 s"
        timewait.set_linger(connection, 9)
        assert timewait.get_linger(connection) == "on, 9 s"


def test_a_stranger_at_the_port_is_sent_away() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as stranger,
    ):
        client, server = timewait.connected_pair(listener)
        with client, server:
            assert server.getpeername() == client.getsockname()
        assert stranger.recv(1) == b""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (TcpRow("a", "b", "TIME_WAIT", 0, 0, 0, "timewait", 59.7), "TIME_WAIT for 60 more s"),
        (TcpRow("a", "b", "FIN_WAIT1", 7, 0, 0, "probe", 0.2), "FIN_WAIT1, 7 bytes to send"),
        (TcpRow("a", "b", "CLOSE_WAIT", 0, 0), "CLOSE_WAIT"),
    ],
)
def test_a_row_in_words(row: TcpRow, expected: str) -> None:
    assert timewait.describe(row) == expected


def test_without_the_table_the_ends_still_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_table, "TABLES", ("/proc/net/no-such-table",))
    result = CliRunner().invoke(timewait.main, ["--port", "0", "--linger", "0"])
    assert result.exit_code == 0
    assert "both closed: /proc/net/no-such-table: the kernel's table" in result.output
    assert "ECONNRESET]: an RST came" in result.output


@linux
def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    result = CliRunner().invoke(timewait.main, ["--bind", "::1", "--port", "0"])
    assert result.exit_code == 0
    assert "client [::1]:" in result.output
    assert "TIME_WAIT" in result.output


@pytest.mark.parametrize("option", [["--linger", "-1"], ["--first", "both"]])
def test_what_makes_no_sense_is_refused(option: list[str]) -> None:
    result = CliRunner().invoke(timewait.main, option)
    assert result.exit_code == 2
    assert option[0] in result.output


def test_a_used_port_is_named(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = stage.start("timewait", "--port", str(port))
        program.expect_exit(1)
        assert program.lines == [
            f"yolanda: error: bind 127.0.0.1:{port}: Address already in use [EADDRINUSE]"
        ]


def test_ctrl_c_ends_it_while_the_reader_sleeps(stage: Stage) -> None:
    program = stage.start("timewait", "--port", "0", "--read-after", "1000")
    program.expect("close returned")
    program.interrupt()
    program.expect_exit(130)
