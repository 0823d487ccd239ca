"""The processor time of a server with all its processes and threads, from Linux's ``/proc``.

``schedstat`` counts nanoseconds; ``stat``, where a kernel lacks the other, hundredths of a second.
(man 5 proc; Documentation/scheduler/sched-stats.rst.)
"""

import os
from pathlib import Path
from typing import NamedTuple

NANOSECOND = 1e-9
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Times(NamedTuple):
    """Seconds on a processor, and seconds of waiting for one that somebody else had."""

    running: float
    waiting: float


Snapshot = dict[tuple[int, int], Times]


def snapshot(session: int) -> Snapshot:
    """Read the times of each thread of the session: of the server and whatever it has started."""
    times: Snapshot = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # After the name, which may hold anything: state, parent, process group, session, ...
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            for task in (entry / "task").iterdir():
                times[int(entry.name), int(task.name)] = _times_of(task)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return times


def elapsed(before: Snapshot, after: Snapshot) -> Times:
    """Sum up what passed between two snapshots; a thread that came meanwhile began with nothing.

    One that ended meanwhile is lost.  No server here ends threads while it works.
    """
    nothing = Times(0, 0)
    running = sum(now.running - before.get(key, nothing).running for key, now in after.items())
    waiting = sum(now.waiting - before.get(key, nothing).waiting for key, now in after.items())
    return Times(running, waiting)


def _times_of(task: Path) -> Times:
    try:
        running, waiting, _ = (task / "schedstat").read_text().split()
        return Times(int(running) * NANOSECOND, int(waiting) * NANOSECOND)
    except FileNotFoundError:
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        return Times((int(fields[11]) + int(fields[12])) * TICK, 0)
