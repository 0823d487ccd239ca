"""What holds for every program of the course."""

import ast
import contextlib
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from yolanda import programs
from yolanda.catalogue import Catalogue, Entry
from yolanda.cli import cli
from yolanda.labs.stage import Stage
from yolanda.programs import blocking
from yolanda.programs.chapter16 import streamclient, streamserver

PROGRAMS = list(Catalogue(programs))

# What a program may build on: the public names, and the course's own helpers.
PUBLIC = {
    "yolanda",
    "yolanda.framing",
    "yolanda.heartbeat",
    "yolanda.http",
    "yolanda.programs.blocking",
    "yolanda.programs.chapter09.chat",  # which chat-web continues
    "yolanda.programs.chat.broker",
    "yolanda.programs.chat.room",
    "yolanda.programs.directory_session",
    "yolanda.programs.socket_table",
    "yolanda.websocket",
}

# Where there is no connection, nothing is refused before a line is sent.
SENDS_FIRST = {"udpconnectclient", "udpconnectclient2", "unixdataclient"}
# The kernel tells a UDP socket without a peer nothing: this one waits for its answer.
NEVER_REFUSED = {"udpclient"}

every_program = pytest.mark.parametrize("entry", PROGRAMS, ids=lambda entry: entry.name)


def options(entry: Entry) -> dict[str, click.Parameter]:
    """The options and arguments of a program by name."""
    return {
        option: parameter for parameter in entry.load().main.params for option in parameter.opts
    }


def listens(entry: Entry) -> bool:
    return {"--bind", "--port"} <= options(entry).keys()


def connects(entry: Entry) -> bool:
    return "address" in options(entry) and "--port" in options(entry)


every_server = pytest.mark.parametrize(
    "entry", [entry for entry in PROGRAMS if listens(entry)], ids=lambda entry: entry.name
)
every_client = pytest.mark.parametrize(
    "entry",
    [entry for entry in PROGRAMS if connects(entry) and entry.name not in NEVER_REFUSED],
    ids=lambda entry: entry.name,
)
LOCAL = [entry for entry in PROGRAMS if "local_path" in options(entry)]
every_local_server = pytest.mark.parametrize(
    "entry",
    [entry for entry in LOCAL if entry.name.endswith("server")],
    ids=lambda entry: entry.name,
)
every_local_client = pytest.mark.parametrize(
    "entry",
    [entry for entry in LOCAL if entry.name.endswith("client")],
    ids=lambda entry: entry.name,
)


@every_program
def test_is_a_command_of_its_name(entry: Entry) -> None:
    command = entry.load().main
    assert isinstance(command, click.Command)
    assert command.name is not None
    assert command.name.replace("_", "-") == entry.name


@every_program
def test_help_tells_the_chapter_and_a_session(entry: Entry) -> None:
    result = CliRunner().invoke(cli, ["run", entry.name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"Chapter {entry.chapter}" in result.output
    assert re.search(r"\$ (yolanda|curl) ", result.output), "no session to try"
    assert "--source" in result.output


@every_program
def test_source_is_shown_with_line_numbers(entry: Entry) -> None:
    result = CliRunner().invoke(cli, ["run", entry.name, "--source"])
    assert result.exit_code == 0, result.output
    last = len(inspect.getsource(entry.load()).splitlines())
    assert re.search(rf"^ *{last} ", result.output, re.MULTILINE)


@every_program
def test_can_be_read_alone(entry: Entry) -> None:
    tree = ast.parse(inspect.getsource(entry.load()))
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module.partition(".")[0] == "yolanda":
                assert module in PUBLIC, f"builds on {module}"


@every_program
def test_can_be_run_by_its_file(entry: Entry) -> None:
    last = ast.parse(inspect.getsource(entry.load())).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    run_program(main)"


@every_server
def test_listens_on_loopback_unless_told_otherwise(entry: Entry) -> None:
    assert options(entry)["--bind"].default == "127.0.0.1"


@every_program
def test_a_bad_argument_is_one_line(entry: Entry) -> None:
    result = CliRunner().invoke(cli, ["run", entry.name, "--no-such-option"])
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "x"])
@every_program
def test_a_time_that_cannot_be_waited_for_is_refused(entry: Entry, value: str) -> None:
    for option, parameter in options(entry).items():
        if isinstance(parameter.type, click.FloatRange):
            argument = isinstance(parameter, click.Argument)
            typed = value if argument else f"{option}={value}"
            result = CliRunner().invoke(cli, ["run", entry.name, typed])
            assert result.exit_code == 2, result.output
            assert f"'{parameter.metavar if argument else option}': " in result.output


@pytest.mark.parametrize(("timeout", "status"), [("1000000000", 0), ("1000000001", 2)])
def test_a_time_may_be_as_long_in_milliseconds_as_in_seconds(timeout: str, status: int) -> None:
    options = ["--events=0", "--interval=0", f"--timeout={timeout}"]
    result = CliRunner().invoke(cli, ["run", "wakeup", *options])
    assert result.exit_code == status, result.output


@every_server
def test_a_used_port_is_one_line(entry: Entry, stage: Stage) -> None:
    with used_port() as port:
        server = stage.start(entry.name, "--port", str(port))
        server.end_input()
        assert server.expect_exit() == 1
    said = [line for line in server.lines if not line.startswith("[msg]")]  # the reactors' trace
    assert len(said) == 1, server.lines
    assert re.match(rf"yolanda: error: .*:{port}.* \[EADDRINUSE\]$", said[0])


@every_server
def test_ctrl_c_ends_a_server(entry: Entry, stage: Stage) -> None:
    server = stage.start(entry.name, "--port", "0")
    server.port()
    server.interrupt()
    assert server.expect_exit() in (0, 130)
    assert not server.said("Traceback")


@every_client
def test_a_refused_connection_is_one_line(entry: Entry, stage: Stage) -> None:
    with refused_port() as port:
        client = stage.start(entry.name, "127.0.0.1", "--port", str(port))
        if entry.name in SENDS_FIRST:
            client.type("g1")
        client.expect(r"ECONNREFUSED")
        client.end_input()
        client.expect_exit()
    assert not client.said("Traceback")


@every_local_server
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, None])
def test_a_used_path_is_one_line(
    entry: Entry, stage: Stage, kind: socket.SocketKind | None
) -> None:
    path = stage.folder / "used"
    with contextlib.ExitStack() as stack:
        if kind is None:
            path.write_text("years of work")
        else:
            stack.enter_context(socket.socket(socket.AF_UNIX, kind)).bind(str(path))
        before = path.lstat()
        server = stage.start(entry.name, str(path))
        server.expect_exit(1)
        assert len(server.lines) == 1, server.lines
        assert re.match(rf"yolanda: error: bind {path} .* \[EADDRINUSE\]$", server.lines[0])
        assert os.path.samestat(path.lstat(), before)


@every_local_server
def test_ctrl_c_ends_a_local_server_and_its_path(entry: Entry, stage: Stage) -> None:
    path = stage.folder / "sock"
    server = stage.start(entry.name, str(path))
    server.expect(f"listening on {path}$")
    assert path.is_socket()
    server.interrupt()
    server.expect_exit(130)
    assert not server.said("Traceback")
    assert not path.exists()


@every_local_client
@pytest.mark.parametrize("name", ["ENOENT", "ECONNREFUSED"])
def test_a_path_without_a_server_is_one_line(entry: Entry, stage: Stage, name: str) -> None:
    path = stage.folder / "sock"
    if name == "ECONNREFUSED":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(str(path))
    client = stage.start(entry.name, str(path))
    if entry.name in SENDS_FIRST:
        client.type("g1")
    client.expect_exit(1)
    assert re.match(rf"yolanda: error: .*{path} .* \[{name}\]$", client.lines[-1])
    assert not client.said("Traceback")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a client and a server that were copied out, and the helpers beside them."""
    for module in (streamclient, streamserver):
        source = inspect.getsource(module).replace("yolanda.programs.blocking", "blocking")
        assert "import yolanda" not in source
        assert "from yolanda" not in source
        (tmp_path / Path(inspect.getfile(module)).name).write_text(source)
    shutil.copy(inspect.getfile(blocking), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ([], 1, r"connect 127\.0\.0\.1:{port}: Connection refused \[ECONNREFUSED\]"),
        (["--cut", "-1"], 2, r"Invalid value for '--cut': .*"),
        (["--no-such"], 2, r"No such option.*"),
    ],
)
def test_an_error_of_a_copy_is_one_line(
    copied: Path, arguments: list[str], status: int, error: str
) -> None:
    with refused_port() as port:
        client = run_copy(copied, "streamclient.py", "--port", str(port), *arguments)
        assert (client.wait(60), client.communicate()[0]) == (status, "")
    assert re.fullmatch(
        rf"streamclient\.py: error: {error.format(port=port)}\n", said(copied, "streamclient.py")
    )


def test_a_copy_says_at_once_what_it_sees_and_ends_with_ctrl_c(copied: Path) -> None:
    server = run_copy(copied, "streamserver.py", "--port", "0")
    with server:
        assert server.stdout is not None
        port = server.stdout.readline().strip().rpartition(":")[2]
        client = run_copy(copied, "streamclient.py", "--port", port, stdin="network\n")
        assert client.wait(60) == 0
        client.communicate()
        assert server.stdout.readline() == "received 8 bytes: network\n"
        assert server.stdout.readline() == "client closed\n"
        server.send_signal(signal.SIGINT)
        assert server.stdout.read() == "\nreceived 1 messages\n"
        assert server.wait(60) == 130
    assert said(copied, "streamserver.py") == ""


@pytest.mark.parametrize("time", ["nan", "inf"])
def test_a_copy_refuses_a_time_that_cannot_be_waited_for(copied: Path, time: str) -> None:
    server = run_copy(copied, "streamserver.py", "--port", "0", "--timeout", time)
    assert (server.wait(60), server.communicate()[0]) == (2, "")
    message = f"Invalid value for '--timeout': {time} is .*"
    assert re.fullmatch(f"streamserver.py: error: {message}\n", said(copied, "streamserver.py"))


def test_a_copy_has_its_help(copied: Path) -> None:
    client = run_copy(copied, "streamclient.py", "--help")
    assert client.communicate()[0].startswith("Usage: streamclient.py")
    assert client.returncode == 0


def run_copy(folder: Path, name: str, *arguments: str, stdin: str = "") -> "subprocess.Popen[str]":
    """Start a copied program by its file; its errors are for `said`."""
    typed = folder / f"{name}.in"
    typed.write_text(stdin)
    with open(typed) as keyboard, open(folder / f"{name}.err", "w") as errors:
        return subprocess.Popen(
            [sys.executable, folder / name, *arguments],
            stdin=keyboard,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def said(folder: Path, name: str) -> str:
    """Return what a copied program has said on its standard error."""
    return (folder / f"{name}.err").read_text()


@contextlib.contextmanager
def used_port() -> Iterator[int]:
    """A port that is taken for TCP and for UDP."""
    while True:
        with (
            socket.create_server(("127.0.0.1", 0)) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue  # another process has it for UDP
            yield tcp.getsockname()[1]
            return


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port that nobody else can take, and that refuses TCP and UDP."""
    while True:
        with (
            socket.socket() as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", 0))  # and does not listen
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue  # another process has it for UDP
            udp.connect(udp.getsockname())  # so it hears nobody but itself
            yield tcp.getsockname()[1]
            return
