"""The memory of a server with all its processes, from Linux's ``/proc``.

A page that several processes share (of a library, or since a fork) counts to each of them by its
part: the proportional set size.  So the sum over processes counts nothing twice.  What the kernel
keeps for sockets is in no process's account.  (Man 5 proc, ``smaps_rollup``.)
"""

from pathlib import Path

from yolanda.bench import processes


def of_session(session: int) -> int:
    """Return the bytes of all processes of a session."""
    return sum(map(of_process, processes.of_session(session)))


def of_process(pid: int) -> int:
    """Return the bytes of one process; 0 if it ended meanwhile."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def left() -> int:
    """Return the bytes that can still be had before the machine, or the container, runs out.

    (Man 5 proc, ``meminfo``; the kernel's ``cgroup-v2``, ``memory.max``, where this process has
    one.)
    """
    lines = Path("/proc/meminfo").read_text().splitlines()
    machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
        folder = Path("/sys/fs/cgroup") / group.lstrip("/")
        most, used = ((folder / name).read_text() for name in ("memory.max", "memory.current"))
        return min(machine, int(most) - int(used))
    except (OSError, ValueError):  # there is no such group, or it has no limit
        return machine
