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
