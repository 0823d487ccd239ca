"""make-socket: the structures byte by byte, and what may go wrong with an address."""

import errno
import os
import re
import socket
import struct
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from yolanda.labs.stage import Stage
from yolanda.programs.chapter04 import make_socket as program

linux = pytest.mark.skipif(sys.platform != "linux", reason="the layout is Linux's")


def output(*arguments: str) -> str:
    result = CliRunner().invoke(program.main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def field(text: str, name: str) -> bytes:
    """The bytes that are shown of a field, over as many lines as they take."""
    _, found, rest = text.partition(f"  {name} ")
    assert found, text
    shown = ""
    for number, line in enumerate(rest.splitlines()):
        match = re.match(r"\s*((?:[0-9a-f]{2} ?)+)", line if number == 0 else line[22:])
        if not match or (number and not re.match(r" +\d+ {16}", line)):
            break
        shown += match[1]
    return bytes.fromhex(shown)


@pytest.fixture
def ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


@linux
def test_ipv4() -> None:
    text = output("--family", "ipv4")
    port = int(re.findall(r"getsockname  0\.0\.0\.0:(\d+)", text)[-1])
    assert port
    assert "16 of 16 bytes" in text
    assert field(text, "sin_family") == struct.pack("=H", socket.AF_INET)
    assert field(text, "sin_port") == port.to_bytes(2, "big")
    assert field(text, "sin_addr") == bytes(4)
    assert field(text, "sin_zero") == bytes(8)
    assert "the kernel chose the port" in text


@linux
@pytest.mark.usefixtures("ipv6")
def test_ipv6() -> None:
    text = output("--address", "::1")
    assert text.startswith("ipv6: ")
    port = int(re.findall(r"getsockname  \[::1\]:(\d+)", text)[-1])
    assert "28 of 28 bytes" in text
    assert field(text, "sin6_port") == port.to_bytes(2, "big")
    assert field(text, "sin6_addr") == bytes(15) + b"\1"
    assert field(text, "sin6_scope_id") == bytes(4)


@pytest.mark.usefixtures("ipv6")
def test_the_ipv6_wildcard_says_whether_it_is_ipv4s_too() -> None:
    assert re.search(r"every IPv6 (and IPv4 )?address", output("--family", "ipv6"))


@linux
def test_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = output("--path", "套接字")
    name = "套接字".encode()
    assert f"{2 + len(name) + 1} of 110 bytes" in text
    assert field(text, "sun_family") == struct.pack("=H", socket.AF_UNIX)
    assert field(text, "sun_path") == name + b"\0"
    assert not os.listdir(tmp_path)


@linux
def test_names_without_a_file() -> None:
    name = f"@yolanda-{os.getpid()}"
    text = output("--path", name)
    assert field(text, "sun_path") == b"\0" + name[1:].encode()
    assert "the kernel chose the name" in output("--path", "")


def test_all_families_and_nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program.tempfile, "tempdir", str(tmp_path))
    text = output()
    for name in program.FAMILIES:
        assert re.search(rf"^{name}: ", text, re.MULTILINE)
    assert not os.listdir(tmp_path)


def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = program.show_internet

    def without(family: socket.AddressFamily, host: str | None, port: int) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        real(family, host, port)

    monkeypatch.setattr(program, "show_internet", without)
    text = output()
    assert "ipv6: Address family not supported" in text
    assert "local: " in text
    alone = CliRunner().invoke(program.main, ["--family", "ipv6"])
    assert isinstance(alone.exception, OSError)


def test_what_is_there_is_neither_taken_nor_removed(tmp_path: Path, stage: Stage) -> None:
    path = tmp_path / "kept"
    path.write_text("kept")
    actor = stage.start("make-socket", "--path", str(path))
    actor.expect_exit(1)
    assert actor.lines[-1] == f"yolanda: error: bind {path}: Address already in use [EADDRINUSE]"
    assert path.read_text() == "kept"


def test_a_used_port(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        actor = stage.start("make-socket", "--address", "127.0.0.1", "--port", str(port))
        actor.expect_exit(1)
        wanted = f"yolanda: error: bind 127.0.0.1:{port}: Address already in use [EADDRINUSE]"
        assert actor.lines[-1] == wanted


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--address", "192.0.2.1"], 1, r"bind 192\.0\.2\.1:0: .* \[EADDRNOTAVAIL\]"),
        (["--address", "no..host"], 1, "no..host: not the name of a host"),
        (["--address", "127.0.0.1", "--family", "ipv6"], 2, "of the family ipv4, not ipv6"),
        (["--address", "::1", "--family", "local"], 2, "of the family ipv6, not local"),
        (["--path", "x", "--family", "ipv4"], 2, "--path x is of the family local, not ipv4"),
        (["--path", "x", "--address", "::1"], 2, "--address .* --path"),
        (["--path", "x" * 200], 1, "path too long"),
        (["--port", "65536"], 2, "--port"),
        (["--family", "ipx"], 2, "--family"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], status: int, said: str, stage: Stage
) -> None:
    actor = stage.start("make-socket", *arguments)
    actor.expect_exit(status)
    errors = [line for line in actor.lines if line.startswith("yolanda: error: ")]
    assert re.search(said, errors[0])
    assert actor.lines[-1:] == errors
