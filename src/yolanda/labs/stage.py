"""The stage on which a lab is played: real processes, their transcripts, and a verdict.

A lab starts programs as its actors, types their input, waits for the lines that they print, kills
or stops them, and says of each thing that was to be seen whether it was.
"""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from yolanda.programs.blocking import tcp_client
from yolanda.programs.socket_table import TcpRow, tcp_sockets

_LONGEST_SPURT = 1.0  # seconds that a process may compute before it is signalled all the same


class LabFailed(Exception):
    """What the lab waited for did not come; the text says what."""


class LabSkipped(Exception):
    """The lab cannot be played on this machine; the text says why."""


@dataclass(frozen=True)
class Moment:
    """A line of the transcript: when, whose, and what."""

    seconds: float
    """Since the lab began."""
    actor: int | None
    """The column; None for a line of the director's."""
    text: str
    by_director: bool
    """Done to the actor rather than said by it."""


@dataclass(frozen=True)
class Verdict:
    """What was to be seen, and whether it was."""

    claim: str
    seen: bool
    evidence: str


class Actor:
    """A process on the stage; what it writes, on either stream, is its part of the transcript.

    Made by `Stage.start`.  All its methods are the director's thread's.
    """

    def __init__(self, stage: "Stage", number: int, name: str, process: "_Process") -> None:
        self.name = name
        self._stage = stage
        self._number = number
        self._process = process
        self._lines: list[str] = []
        self._read_up_to = 0
        self._at_end = False
        self._left_over = False
        self._reader = threading.Thread(target=self._listen, name=f"reader of {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    @property
    def lines(self) -> list[str]:
        """All that it has said so far."""
        with self._stage.changed:
            return list(self._lines)

    def said(self, pattern: str) -> bool:
        """Whether a line so far matches ``pattern`` (a regular expression, anywhere in it)."""
        return any(re.search(pattern, line) for line in self.lines)

    def expect(self, pattern: str, *, within: float | None = None) -> re.Match[str]:
        """Wait for a line that matches ``pattern``, after those that were waited for before.

        - ``within``: seconds to wait; the stage's patience if None.

        Raises `LabFailed` when the time is over or the process has said its last line.
        """
        seconds = self._stage.patience if within is None else within
        deadline = time.monotonic() + seconds
        with self._stage.changed:
            while True:
                while self._read_up_to < len(self._lines):
                    line = self._lines[self._read_up_to]
                    self._read_up_to += 1
                    if match := re.search(pattern, line):
                        return match
                if self._at_end:
                    raise LabFailed(f"{self.name} ended without saying {pattern!r}")
                if not self._stage.changed.wait(deadline - time.monotonic()):
                    raise LabFailed(f"{self.name} did not say {pattern!r} within {seconds:g} s")

    def port(self) -> str:
        """Wait until a server listens, and return its port."""
        return self.expect(r"listening on .*:(\d+)$")[1]

    def expect_exit(self, status: int | None = None) -> int:
        """Wait until the process has ended, and return its status (minus a signal's number).

        - ``status``: what it has to be; None: anything.

        Raises `LabFailed` when it does not end in time, or with another status.
        """
        try:
            ended = self._process.wait(self._stage.patience)
        except subprocess.TimeoutExpired:
            raise LabFailed(f"{self.name} did not end") from None
        self._reader.join(self._stage.patience)
        if status is not None and ended != status:
            raise LabFailed(f"{self.name} ended with status {ended}, not {status}")
        return ended

    def type(self, line: str) -> None:
        """Type a line into its standard input."""
        self.type_bytes(line.encode() + b"\n")

    def type_bytes(self, data: bytes) -> None:
        """Type bytes as they are."""
        stdin = self._process.stdin
        assert stdin is not None
        shown = data.decode(errors="backslashreplace").removesuffix("\n")
        self._act(f"> {shown if len(shown) < 200 else f'({len(data):,} bytes)'}")
        try:
            stdin.write(data)
            stdin.flush()
        except BrokenPipeError:
            raise LabFailed(f"{self.name} has ended and reads no more") from None

    def end_input(self) -> None:
        """Close its standard input, as Ctrl+D does."""
        assert self._process.stdin is not None
        self._act("[end of input]")
        self._process.stdin.close()

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl+C does: to a process that waits, as people do."""
        self._wait_until_it_waits()
        self._signal(signal.SIGINT, "[Ctrl+C]")

    def terminate(self) -> None:
        """Send SIGTERM, to a process that waits."""
        self._wait_until_it_waits()
        self._signal(signal.SIGTERM, "[kill]")

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        self._signal(signal.SIGKILL, "[kill -9]")
        self.expect_exit()

    def pause(self) -> None:
        """Send SIGSTOP, and wait until the process stands still."""
        self._signal(signal.SIGSTOP, "[stopped]")
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT, "[goes on]")

    def _wait_until_it_waits(self) -> None:
        """Let it come to its next call that blocks.

        Python runs a signal's handler between two instructions, or when a call is interrupted.  For
        one that comes in the instant before a call blocks that is after the call, perhaps never.
        """
        _wait_while_running(lambda: [self.pid])

    def settle(self) -> None:
        """Let each of its threads come to its next call that blocks.

        One may have said a line, and another not yet done what follows from it.
        """
        _wait_while_running(lambda: _threads_of(self.pid))

    def _signal(self, number: signal.Signals, shown: str) -> None:
        if not self.running:
            raise LabFailed(f"{self.name} has ended: {number.name} cannot be sent")
        self._act(shown)
        self._process.send_signal(number)

    def _act(self, text: str) -> None:
        self._stage.record(self._number, text, by_director=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode(errors="backslashreplace").rstrip("\r\n")
            with self._stage.changed:
                self._lines.append(line)
                self._stage.record(self._number, line)
        status = self._process.wait()
        if self._left_over:
            shown = "ended by the lab"
        else:
            shown = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        with self._stage.changed:
            self._at_end = True
            self._stage.record(self._number, f"[{shown}]", by_director=True)

    def _end(self) -> None:
        if self.running:
            self._left_over = True
            self._process.kill()

    def _leave(self) -> None:
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # what was typed and never read


def _wait_while_running(threads: Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + _LONGEST_SPURT
    while time.monotonic() < deadline and any(map(_runs, threads())):
        time.sleep(0.001)


def _threads_of(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _runs(pid: int) -> bool:
    """Whether a thread is running or ready to; no where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "R"
    except OSError:
        return False


_Process = subprocess.Popen[bytes]

# The program is imported by root: nobody may be kept out of the folder that it is in.  65534 is
# nobody on most systems, and no user has to have that number.
_AS_NOBODY = """
import os, sys
from yolanda.cli import main, run
run.get_command(None, sys.argv[2])
try:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
except OSError as error:
    sys.exit(f"setuid: {error}")
main()
"""


class Stage:
    """Where a lab is played.  Leaving it kills every process that is left.

    - ``patience``: seconds that a wait may take before the lab has failed.

    It belongs to the thread that made it.
    """

    def __init__(self, patience: float = 10.0) -> None:
        self.patience = patience
        self.changed = threading.Condition(threading.RLock())
        self.actors: list[Actor] = []
        self.moments: list[Moment] = []
        self.verdicts: list[Verdict] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._sockets: list[socket.socket] = []
        self._began = time.monotonic()
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell's background job ignores Ctrl+C, and so would all that it starts.
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill every process that is left, and remove the folder."""
        for connection in self._sockets:
            connection.close()
        for actor in self.actors:
            actor._end()
        for actor in self.actors:  # all are dead: a forked child outlives its parent, not its peer
            actor._leave()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def folder(self) -> Path:
        """A folder for this play alone."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="yolanda-")
        return Path(self._folder.name)

    def start(
        self,
        program: str,
        *arguments: str,
        name: str | None = None,
        env: dict[str, str] | None = None,
        ordinary: bool = False,
    ) -> Actor:
        """Run a program of the course, as ``yolanda run`` does.

        - ``name``: of its column; the program's if None;
        - ``env``: variables for it beside those that are set;
        - ``ordinary``: without root's rights, should the lab be played by root; it ends with a
          line about ``setuid`` where root cannot give up its rights.
        """
        yolanda = ["-c", _AS_NOBODY] if ordinary and os.geteuid() == 0 else ["-m", "yolanda"]
        command = [sys.executable, *yolanda, "run", program, *arguments]
        shown = ["yolanda", "run", program, *arguments]
        return self._start(command, shown, name or program, env)

    def start_command(self, command: list[str], *, name: str | None = None) -> Actor:
        """Run another command.  Raises `FileNotFoundError` when there is no such one."""
        return self._start(command, command, name or command[0], None)

    def check(self, claim: str, seen: bool, evidence: object = "") -> None:
        """Say what was to be seen, and whether it was.

        - ``evidence``: what was seen.
        """
        self.verdicts.append(Verdict(claim, bool(seen), str(evidence)))

    def note(self, text: str) -> None:
        """Write a line across all columns: what the director does, or what the kernel shows."""
        self.record(None, text, by_director=True)

    def sockets(self, port: int | str) -> list[TcpRow]:
        """Return the rows of the kernel's TCP table with ``port`` at either end.

        Raises `LabSkipped` on a system that does not show its table.
        """
        try:
            return tcp_sockets(int(port))
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                raise LabSkipped(error.strerror) from error
            raise

    def connect(self, port: int | str) -> socket.socket:
        """Connect the director himself; the socket is closed with the stage at the latest."""
        connection = tcp_client("127.0.0.1", int(port), timeout=self.patience)
        connection.settimeout(self.patience)
        self._sockets.append(connection)
        return connection

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a state of the kernel that nothing announces, by looking again and again.

        Raises `LabFailed` with ``what`` when it does not come.
        """
        deadline = time.monotonic() + self.patience
        while not condition():
            if time.monotonic() > deadline:
                raise LabFailed(f"did not see within {self.patience:g} s: {what}")
            time.sleep(0.01)

    def skip(self, reason: str) -> None:
        """End the lab: it cannot be played here.  Raises `LabSkipped`."""
        raise LabSkipped(reason)

    def record(self, actor: int | None, text: str, *, by_director: bool = False) -> None:
        """Add a line to the transcript.  (any thread)"""
        with self.changed:
            seconds = time.monotonic() - self._began
            self.moments.append(Moment(seconds, actor, text, by_director))
            self.changed.notify_all()

    def _start(
        self, command: list[str], shown: list[str], name: str, env: dict[str, str] | None
    ) -> Actor:
        number = len(self.actors)
        self.record(number, f"$ {' '.join(shown)}", by_director=True)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=self.folder,
        )
        actor = Actor(self, number, name, process)
        self.actors.append(actor)
        return actor
