"""The processor time of a server with all its processes and threads, from the kernel's accounts.

- What a process runs, its threads together, those that ended too: the CPU clock of the process, in
  nanoseconds (man 3 clock_getcpuclockid).
- What its children ran that it has waited for: ``/proc/PID/stat``, in hundredths of a second.
- How long its threads were ready to run while somebody else had the core: the second number of
  ``schedstat``.  Threads that ended meanwhile are lost here.  (Documentation/scheduler/
  sched-stats.rst.)
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from yolanda.bench import processes

NANOSECOND = 1e-9
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Times(NamedTuple):
    """Seconds on a processor, and seconds of waiting for one that somebody else had."""

    running: float
    waiting: float


@dataclass
class Snapshot:
    """What was run until a moment, and what each thread has waited."""

    running: float = 0.0
    waiting: dict[tuple[int, int], float] = field(default_factory=dict)


def snapshot(session: int) -> Snapshot:
    """Read the times of all processes of a session: of the server and whatever it has started."""
    taken = Snapshot()
    for pid in processes.of_session(session):
        try:
            taken.running += of_process(pid) + _of_ended_children(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                taken.waiting[pid, int(task.name)] = _waited(task)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return taken


def elapsed(before: Snapshot, after: Snapshot) -> Times:
    """Return what passed between two snapshots; a thread that came meanwhile began with nothing."""
    waiting = sum(now - before.waiting.get(key, 0.0) for key, now in after.waiting.items())
    return Times(after.running - before.running, waiting)


def modes(session: int) -> tuple[float, float]:
    """Return the seconds that a session has run in its programs and in the kernel.

    In hundredths of a second: for a share, not for a sum.
    """
    user = system = 0.0
    for pid in processes.of_session(session):
        try:
            fields = _stat(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        user += int(fields[11]) * TICK
        system += int(fields[12]) * TICK
    return user, system


def of_process(pid: int) -> float:
    """Return the seconds that one process has run, without its children.

    Raises `ProcessLookupError` if there is no such process.
    """
    try:
        # What clock_getcpuclockid makes of a process's number, which Python has not.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError as error:
        raise ProcessLookupError(f"there is no process {pid}") from error


def _of_ended_children(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) * TICK


def _stat(pid: int) -> list[str]:
    """Return what ``/proc/PID/stat`` has after the name: state, parent, process group ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _waited(task: Path) -> float:
    try:
        return int((task / "schedstat").read_text().split()[1]) * NANOSECOND
    except FileNotFoundError:
        return 0.0  # a kernel without these accounts; a task that ended counts for nothing, too
