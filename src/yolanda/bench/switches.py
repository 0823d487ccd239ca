"""How often the threads of a server gave up their core, and how often it was taken from them.

A thread that waits gives it up (voluntary); one that has run for long enough while others are ready
has it taken (involuntary).  (Man 5 proc, ``status``.)
"""

from pathlib import Path
from typing import NamedTuple

from yolanda.bench import processes


class Switches(NamedTuple):
    """Context switches since the start, of all threads together, and how many threads there are."""

    voluntary: int
    involuntary: int
    threads: int


def of_session(session: int) -> Switches:
    """Count those of all threads of a session that live; what ended has taken its own along."""
    voluntary = involuntary = threads = 0
    for pid in processes.of_session(session):
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                text = (task / "status").read_text()
                willing, _, forced, *_ = text.partition("\nvoluntary_ctxt_switches:")[2].split()
                voluntary += int(willing)
                involuntary += int(forced)
                threads += 1
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return Switches(voluntary, involuntary, threads)
