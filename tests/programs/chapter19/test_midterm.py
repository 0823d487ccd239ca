"""The mid-term: what a session answers, and how server and client take odd peers."""

import contextlib
import os
import select
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter19 import telnet_client
from yolanda.programs.directory_session import DirectorySession

# ---- the commands --------------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> DirectorySession:
    (tmp_path / "home").mkdir()
    (tmp_path / "build" / "bin").mkdir(parents=True)
    (tmp_path / "README.md").touch()
    (tmp_path / ".hidden").touch()
    return DirectorySession(str(tmp_path))


def ask(session: DirectorySession, *lines: str | bytes) -> str:
    """What the last of ``lines`` is answered."""
    answers = [session.answer(line if isinstance(line, bytes) else line.encode()) for line in lines]
    return answers[-1].decode()


def test_pwd_and_ls(session: DirectorySession, tmp_path: Path) -> None:
    assert ask(session, "pwd") == f"{tmp_path.resolve()}\n"
    assert ask(session, "ls") == "README.md\nbuild\nhome\n"
    assert ask(session, "  ls \t\0") == "README.md\nbuild\nhome\n"


def test_cd_there_and_back(session: DirectorySession, tmp_path: Path) -> None:
    own = os.getcwd()
    here = str(tmp_path.resolve())
    assert ask(session, "cd -").startswith("change dir failed, -: ")
    assert ask(session, "cd build/bin") == ""
    assert ask(session, "pwd") == f"{here}/build/bin\n"
    assert ask(session, "cd ../..", "pwd") == f"{here}\n"
    assert ask(session, "cd -", "pwd") == f"{here}/build/bin\n"
    assert ask(session, "cd -", "pwd") == f"{here}\n"
    assert ask(session, "cd /", "cd ../..", "pwd") == "/\n"
    assert os.getcwd() == own


def test_home(session: DirectorySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path.resolve() / "home"
    monkeypatch.setenv("HOME", str(home))
    for command in ("cd", "cd ~", "cd   ", "cd ~/../home"):
        assert ask(session, "cd /", command, "pwd") == f"{home}\n"


def test_links_are_followed_as_chdir_follows_them(
    session: DirectorySession, tmp_path: Path
) -> None:
    (tmp_path / "home" / "link").symlink_to(tmp_path / "build" / "bin")
    assert ask(session, "cd home/link", "cd ..", "pwd") == f"{tmp_path.resolve()}/build\n"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere", "[ENOENT]"),
        ("README.md", "[ENOTDIR]"),
        ("README.md/..", "[ENOTDIR]"),
        ("x" * 300, "[ENAMETOOLONG]"),
        ("a\0b", "[EINVAL]"),
        ("~nobody-is-called-so", "[ENOENT]"),
        ("two words", "[ENOENT]"),
    ],
)
def test_an_error_of_cd_is_told(session: DirectorySession, target: str, why: str) -> None:
    before = ask(session, "pwd")
    answer = ask(session, f"cd {target}")
    assert answer.startswith("change dir failed, ")
    assert answer.endswith(f"{why}\n")
    assert answer.count("\n") == 1
    assert ask(session, "pwd") == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter any directory")
def test_a_directory_without_the_right_to_enter(session: DirectorySession, tmp_path: Path) -> None:
    (tmp_path / "build").chmod(0o400)
    try:
        assert ask(session, "cd build").endswith("[EACCES]\n")
    finally:
        (tmp_path / "build").chmod(0o700)


@pytest.mark.parametrize("line", ["", "rm -r /", "ls; pwd", "pwd x", "LS", b"\xff\xfe", "cdx", "l"])
def test_all_else_is_unknown(session: DirectorySession, line: str | bytes) -> None:
    assert ask(session, line) == "error: unknown input type\n"


def test_names_of_all_sorts(session: DirectorySession, tmp_path: Path) -> None:
    home = os.fsencode(tmp_path / "home")
    for name in ("目录".encode(), b"with space", b"esc\x1b[2J", b"new\nline"):
        os.mkdir(home + b"/" + name)
    try:
        os.mkdir(home + b"/\xff")
    except OSError:
        shown = []  # a file system that wants UTF-8
    else:
        shown = ["\\xff"]
    listed = ask(session, "cd home", "ls").splitlines()
    assert listed == ["esc\\x1b[2J", "new\\nline", "with space", "目录", *shown]
    assert ask(session, "cd 目录", "pwd").endswith("/home/目录\n")
    assert ask(session, "cd ../with space", "pwd").endswith("/with space\n")
    if shown:
        assert ask(session, b"cd ../\xff", "pwd").endswith("/home/\\xff\n")


def test_a_directory_that_is_gone(session: DirectorySession, tmp_path: Path) -> None:
    ask(session, "cd build/bin")
    (tmp_path / "build" / "bin").rmdir()
    assert ask(session, "ls") == "ls: No such file or directory [ENOENT]\n"
    assert ask(session, "cd /", "pwd") == "/\n"


# ---- the server ----------------------------------------------------------------------------------


def test_lines_in_pieces_and_several_at_once(stage: Stage) -> None:
    server = stage.start("telnet-server", "--port", "0")
    port = server.port()
    here = str(stage.folder.resolve())
    client = stage.connect(port)
    for byte in b"pwd\r\n":
        client.sendall(bytes([byte]))
    replies = client.makefile("rb")
    assert replies.readline().decode() == f"{here}\n"
    client.sendall("cd /\npwd\r\ncd 没有\nxx\n".encode())
    assert replies.readline() == b"/\n"
    assert replies.readline().decode() == (
        "change dir failed, 没有: No such file or directory [ENOENT]\n"
    )
    assert replies.readline() == b"error: unknown input type\n"
    client.sendall(b"quit\n")
    assert replies.read() == b""
    replies.close()


def test_bad_clients_do_not_keep_the_next_one_out(stage: Stage) -> None:
    server = stage.start("telnet-server", "--port", "0")
    port = server.port()

    reset = stage.connect(port)
    reset.sendall(b"pw")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.close()
    server.expect("client (lost|closed)")

    endless = stage.connect(port)
    with contextlib.suppress(OSError):  # the server may be quicker to refuse it
        endless.sendall(b"x" * 1_000_000)
    server.expect("client (lost|closed)")
    endless.close()

    unread = stage.connect(port)  # asks, and is gone before the answer
    unread.sendall(b"ls\npwd\n" * 50)
    unread.close()
    server.expect("client (lost|closed)")

    last = stage.connect(port)
    last.sendall(b"pwd\n")
    assert last.recv(4096).decode() == f"{stage.folder.resolve()}\n"
    last.close()
    server.expect("client closed")
    server.interrupt()
    server.expect_exit(130)


def test_a_port_in_use_is_one_line(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = stage.start("telnet-server", "--port", str(listener.getsockname()[1]))
        server.expect_exit(1)
    assert len(server.lines) == 1
    assert "[EADDRINUSE]" in server.lines[0]


# ---- the client ----------------------------------------------------------------------------------


def test_the_client_shows_what_comes_after_quit(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        client = stage.start("telnet-client", "--port", port)
        listener.settimeout(30)
        server, _ = listener.accept()
        with server:
            client.type_bytes(b"ls\n  quit\nnot sent\n")
            received = b""
            while data := server.recv(100):  # up to the half-close
                received += data
            assert received == b"ls\n"
            server.sendall("目".encode()[:1])
            server.sendall("目".encode()[1:] + b" \x1b[2J late\r\n\xff no end")
    client.expect("^目 \\[2J late$")
    client.expect("no end")
    client.expect_exit(0)


@pytest.mark.parametrize("turn", [1, 2])
def test_the_last_words_of_a_server_that_hangs_up_are_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], turn: int
) -> None:
    """It resets the connection after one of the client's waits, before what is done then."""
    reader, writer = os.pipe()
    os.write(writer, b"typed\n")
    os.close(writer)
    monkeypatch.setattr(telnet_client, "STDIN", reader)
    wait, waited = select.select, 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()

    def select_and_reset(
        readers: list[Any], writers: list[Any], others: list[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        nonlocal waited
        ready = wait(readers, writers, others)
        waited += 1
        if waited == turn + 1:
            server.sendall(b"I hang up\n")
            server.close()  # with bytes unread, so it is a reset
        return ready

    with client, server:
        client.sendall(b"never read")
        monkeypatch.setattr(select, "select", select_and_reset)
        with pytest.raises(ConnectionResetError):
            telnet_client.talk(client)
    os.close(reader)
    assert capsys.readouterr().out == "I hang up\n"


def test_commands_from_a_pipe_are_all_answered(stage: Stage) -> None:
    """More than all buffers hold both ways: neither side may wait for the other for ever."""
    (stage.folder / ("n" * 200)).touch()
    port = stage.start("telnet-server", "--port", "0").port()
    client = stage.start("telnet-client", "127.0.0.1", port)
    client.type_bytes(b"ls\n" * 20_000 + b"pwd")
    client.end_input()
    client.expect_exit(0)
    assert sum(line == "n" * 200 for line in client.lines) == 20_000
    assert client.lines[-2:] == [str(stage.folder.resolve()), "server closed"]


def test_nobody_to_connect_to(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        client = stage.start("telnet-client", "127.0.0.1", port)
        client.expect_exit(1)
    assert client.lines == [
        f"yolanda: error: connect 127.0.0.1:{port}: Connection refused [ECONNREFUSED]"
    ]
