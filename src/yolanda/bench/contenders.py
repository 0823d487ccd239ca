"""Who is measured: how a server is started, on which cores, and how it is stopped."""

import contextlib
import importlib.metadata
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from yolanda.bench import cores, processes, tools

START_TIMEOUT = 30.0  # seconds until a server must answer
STOP_TIMEOUT = 5.0  # seconds from SIGTERM to SIGKILL

Command = Callable[[int, Path], list[str]]
"""From a port and a folder of its own to the command that starts a server."""


@dataclass(frozen=True)
class Contender:
    """A server: how it is started, and what it cannot do without.

    - ``modules``: that Python must find;
    - ``program``: that must be on the PATH, if it is not Python's.
    """

    name: str
    command: Command
    modules: tuple[str, ...] = ()
    program: str = ""

    def missing(self) -> str:
        """Say why it cannot take part; empty if it can."""
        if self.program and tools.find(self.program) is None:
            return f"{self.program} is not installed"
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if not absent:
            return ""
        return f"there is no module {' nor '.join(absent)}; pip install 'yolanda[bench]' brings it"

    def version(self) -> str:
        """Name the version of what is measured."""
        if self.program:
            command = [tools.find(self.program) or self.program, "-v"]
            shown = subprocess.run(command, capture_output=True, text=True, check=False)
            return (shown.stderr or shown.stdout).strip().rpartition("/")[2]
        owners = importlib.metadata.packages_distributions()
        names = [owners.get(name, [name])[0] for name in self.modules]
        versions = [
            f"{name} {importlib.metadata.version(name)}"
            for name in names
            if name not in sys.stdlib_module_names
        ]
        return ", ".join(versions) or f"Python {sys.version.split()[0]}"


@dataclass(frozen=True)
class Server:
    """A contender that runs: its port of 127.0.0.1, and the session of its processes.

    ``output`` is the file of what they print.
    """

    name: str
    port: int
    session: int
    output: Path


@contextlib.contextmanager
def running(contender: Contender, *server_cores: int) -> Iterator[Server]:
    """Run a server pinned to some cores; yield it once it takes connections, stop it at the end.

    It has then seen a connection come and go.  For asyncio's sake that has to be so: its 256 KiB
    for each read are mapped and unmapped, at three times the cost of an echo, until the first end
    of a stream lets glibc raise its threshold for that (man 3 mallopt, M_MMAP_THRESHOLD).

    Raises `RuntimeError`, with what it printed, if it ends, does not answer in time, or if anything
    else goes wrong meanwhile.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="yolanda-bench-") as folder:
        os.chmod(folder, 0o755)  # nginx's worker is another user when root starts it
        output = Path(folder) / "output"
        # Inherited, so that not even the first thread runs anywhere else.
        with output.open("wb") as stream, cores.pinned(*server_cores):
            process = subprocess.Popen(
                contender.command(port, Path(folder)),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(process, port)
            yield Server(contender.name, port, process.pid, output)
        except Exception as error:
            said = output.read_text(errors="replace")[-2000:].strip()
            raise RuntimeError(f"{error}\n{said}".rstrip()) from error
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"it ended with {server.returncode} before it took a connection")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer in {START_TIMEOUT:.0f} s: {error}") from error
            time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass  # it has had its time
    finally:
        _kill_session(server.pid)
        server.wait()


def _kill_session(session: int) -> None:
    """Kill what is left of a session, and see it gone: no child outlives its server."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while (left := processes.of_session(session)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
