"""reserved-ports: the ranges, the look-ups, and a bind that really happens."""

import errno
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from yolanda.labs.stage import Stage
from yolanda.programs.chapter03 import reserved_ports as program


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program.main, arguments)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine know three services, whatever stands in its own file."""
    table = {("shell", "tcp"): 514, ("syslog", "udp"): 514, ("domain", "tcp"): 53}
    table |= {("domain", "udp"): 53, ("split", "tcp"): 1, ("split", "udp"): 2}
    ports = {(number, protocol): name for (name, protocol), number in table.items()}

    def by_name(name: str, protocol: str) -> int:
        if (name, protocol) not in table:
            raise OSError("service/proto not found")
        return table[name, protocol]

    def by_port(port: int, protocol: str) -> str:
        if (port, protocol) not in ports:
            raise OSError("port/proto not found")
        return ports[port, protocol]

    monkeypatch.setattr(socket, "getservbyname", by_name)
    monkeypatch.setattr(socket, "getservbyport", by_port)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the system numbers of the test's own."""
    (tmp_path / "ip_unprivileged_port_start").write_text("100\n")
    (tmp_path / "ip_local_port_range").write_text("40000\t50000\n")
    monkeypatch.setattr(program, "SETTINGS", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("services", "settings")
@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("domain", "domain: 53/tcp, 53/udp; system port, for the privileged only"),
        ("514", "514: shell/tcp, syslog/udp; system port"),
        ("split", "split: 1/tcp; system port, for the privileged only\nsplit: 2/udp; system port"),
        ("39999", "39999: no service; user port\n"),
        ("43211", "43211: no service; user port, may be given to a client here\n"),
        ("50000", "50000: no service; dynamic port, may be given to a client here\n"),
        ("50001", "50001: no service; dynamic port\n"),
    ],
)
def test_look_up(service: str, expected: str) -> None:
    result = run(service)
    assert result.exit_code == 0
    assert result.output.startswith(expected)


@pytest.mark.usefixtures("services")
def test_the_table(settings: Path) -> None:
    output = run().output
    assert "    1 to    99  for the privileged only\n" in output
    assert "40000 to 50000  given to clients" in output
    assert "    514  shell/tcp, syslog/udp\n" in output
    assert "     42  no name\n" in output
    (settings / "ip_unprivileged_port_start").write_text("0\n")
    assert "for the privileged only" not in run().output


def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "SETTINGS", tmp_path / "none")
    output = run().output
    assert "    1 to  1023  for the privileged only\n" in output
    assert "given to clients" not in output


@pytest.mark.parametrize("service", ["65536", "9" * 5000, "-1x", "no-such-service", "服务", ""])
def test_what_is_no_service_is_one_line(service: str, stage: Stage) -> None:
    actor = stage.start("reserved-ports", "--", service)
    actor.expect_exit(2)
    assert len(actor.lines) == 1
    assert actor.lines[0].startswith("yolanda: error: Invalid value for ")


def test_a_free_port_can_be_had() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        refused = run("--try", str(port))
        assert isinstance(refused.exception, OSError)
        assert refused.exception.errno == errno.EADDRINUSE
    result = run("--try", str(port))
    assert result.exit_code == 0
    assert f"bind 127.0.0.1:{port}: done\n" in result.output


def test_a_reserved_port_is_for_the_privileged(settings: Path) -> None:
    first = program.first_free_port()
    assert first == 100
    (settings / "ip_unprivileged_port_start").write_text("65536\n")
    output = run("--try", "65535").output
    assert "65535 is below 65536" in output
    assert ("has it" in output) == program.privileged()


def test_the_kernel_decides() -> None:
    """Try low ports until one is free; whether it can be had is as the program foretells."""
    if program.first_free_port() <= 1:
        pytest.skip("every port is free to all here")
    for port in range(1, program.first_free_port()):
        result = run("--try", str(port))
        if isinstance(result.exception, OSError) and result.exception.errno == errno.EADDRINUSE:
            continue
        if program.privileged():
            assert f"bind 127.0.0.1:{port}: done" in result.output
        else:
            assert isinstance(result.exception, PermissionError)
        return
