"""The processes of a server: all of one session, from Linux's ``/proc``.

A server is started in a session of its own (`contenders.running`), so its workers and whatever else
it starts belong to it.  (Man 5 proc, man 2 setsid.)
"""

import os
from pathlib import Path


def of_session(session: int) -> list[int]:
    """Return the processes of a session that live, oldest number first."""
    return sorted(
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and _session_of(int(name)) == session
    )


def _session_of(pid: int) -> int | None:
    try:
        # After the name, which may hold anything: state, parent, process group, session, ...
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended meanwhile
    return int(fields[3]) if fields[0] != "Z" else None
