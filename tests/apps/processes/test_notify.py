import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.apps.processes.notify import Notifier, activated_sockets

from ..conftest import PATIENCE, PROGRAM, Served, get

Start = Callable[..., Served]


class Systemd:
    """The socket on which systemd hears its services."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path.replace("@", "\0"))
        self.socket.settimeout(PATIENCE)
        self.path = path

    def hear(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def expect(self, line: str) -> list[str]:
        """Wait for a message with a line that begins so; all that were heard until then, too."""
        heard = []
        while True:
            lines = self.hear()
            heard += lines
            if any(one.startswith(line) for one in lines):
                return heard


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    path = str(tmp_path / "notify")
    fake = Systemd("@yolanda-test" + path if request.param == "abstract" else path)
    yield fake
    fake.socket.close()


def test_what_is_said(systemd: Systemd) -> None:
    environment = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "3000000", "HOME": "/"}
    notifier = Notifier.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.watchdog_interval == 1.5
    notifier.ready()
    assert systemd.hear() == ["READY=1", f"MAINPID={os.getpid()}"]
    notifier.ready("all is\nwell")
    assert systemd.hear()[2:] == ["STATUS=all is well"]
    notifier.status("so, so")
    assert systemd.hear() == ["STATUS=so, so"]
    notifier.watchdog()
    assert systemd.hear() == ["WATCHDOG=1"]
    notifier.reloading()
    first, second = systemd.hear()
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert second.partition("=")[2].isdecimal()
    notifier.stopping("soon")
    assert systemd.hear() == ["STOPPING=1", "STATUS=soon"]
    notifier.close()
    notifier.close()
    notifier.ready()  # to nobody


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier.from_environment({}).ready()
    assert caplog.text == ""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "none")})
    notifier.ready()
    assert "systemd cannot be told" in caplog.text
    notifier.close()
    assert Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).watchdog_interval is None
    assert "vsock:2:1234: only local sockets are known" in caplog.text


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_nobody_waits_for_a_sign_of_life(tmp_path: Path, variables: dict[str, str]) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "none"), **variables}
    notifier = Notifier.from_environment(environment)
    assert notifier.watchdog_interval is None
    assert environment == {}
    notifier.close()


def test_a_master_tells_how_it_goes(start: Start, systemd: Systemd, tmp_path: Path) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "200000"}
    master = start(workers=2, popen={"env": environment})
    heard = systemd.expect("READY=1")
    assert heard[0] == "STATUS=starting"
    assert f"MAINPID={master.pid}" in heard
    port = master.port()
    systemd.expect("STATUS=2 of 2 workers serve")
    systemd.expect("WATCHDOG=1")
    systemd.expect("WATCHDOG=1")
    names = get(port, "/environment").split()
    assert not [name for name in names if name.startswith(("NOTIFY", "WATCHDOG"))]
    master.send(signal.SIGHUP)
    systemd.expect("RELOADING=1")
    assert "STATUS=rolling restart: all workers are new" in systemd.expect("READY=1")
    (tmp_path / "fail").touch()
    master.send(signal.SIGHUP)
    systemd.expect("RELOADING=1")
    assert "given up" in " ".join(systemd.expect("READY=1"))
    master.send(signal.SIGTERM)
    systemd.expect("STOPPING=1")
    assert master.wait() == 0


# ---- socket activation -------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_a_master_serves_a_socket_of_systemds(listener: socket.socket) -> None:
    # LISTEN_PID is the process's own number, so the process that forked sets it, and becomes it.
    launcher = (
        "import os, sys\n"
        f"os.dup2({listener.fileno()}, 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='web')\n"
        f"os.execv(sys.executable, [sys.executable, {str(PROGRAM)!r}, '{{\"workers\": 2}}'])\n"
    )
    master = Served([sys.executable, "-c", launcher], pass_fds=[listener.fileno()])
    try:
        port = master.port()
        assert port == listener.getsockname()[1]
        assert int(get(port).split()[0]) in master.workers()
        names = get(port, "/environment").split()
        assert not [name for name in names if name.startswith("LISTEN_")]
        assert master.stop() == 0
    finally:
        master.close()


def test_variables_that_are_meant_for_another_process() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "HOME": "/"}
    assert activated_sockets(environment) == []
    assert environment == {"HOME": "/"}
    assert activated_sockets({}) == []
    assert activated_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}) == []


def run_with(setup: str, **variables: str) -> str:
    """What `activated_sockets` says in a process whose descriptors from 3 on are as set up."""
    program = (
        f"import os, socket\n{setup}\n"
        "from yolanda.apps.processes.notify import activated_sockets\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "try:\n"
        "    print([(s.fd, s.name, os.get_inheritable(s.fd)) for s in activated_sockets()])\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    served = Served(
        [sys.executable, "-c", "import sys; sys.stdout = sys.stderr\n" + program],
        env={**os.environ, **variables},
    )
    try:
        served.wait()
        return served.text
    finally:
        served.close()


LISTENING = "s{fd} = socket.create_server(('127.0.0.1', 0)); os.dup2(s{fd}.fileno(), {fd})\n"


@pytest.mark.parametrize(
    ("setup", "variables", "expected"),
    [
        (
            LISTENING.format(fd=3) + LISTENING.format(fd=4),
            {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"},
            "[(3, 'web', False), (4, 'unknown', False)]",
        ),
        (
            "os.dup2(os.open('/dev/null', os.O_RDONLY), 3)",
            {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "null"},
            "LISTEN_FDS: descriptor 3 (null): Socket operation on non-socket",
        ),
        (
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); os.dup2(s.fileno(), 3)",
            {"LISTEN_FDS": "1"},
            "LISTEN_FDS: descriptor 3 (unknown) is no listening stream socket",
        ),
        (
            "os.closerange(3, 100)",
            {"LISTEN_FDS": "1"},
            "LISTEN_FDS: descriptor 3 (unknown): Bad file descriptor",
        ),
    ],
)
def test_what_was_handed_over(setup: str, variables: dict[str, Any], expected: str) -> None:
    assert run_with(setup, **variables) == expected
