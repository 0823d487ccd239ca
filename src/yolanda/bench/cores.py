"""On which cores server and client run: different ones, where there are two.  (Man 2
sched_setaffinity.)"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from yolanda.bench import processes


def choose() -> tuple[int, int]:
    """Take the first two cores that this process may use: the server's and the client's.

    With a single core it is the same one twice.
    """
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[min(1, len(cores) - 1)]


@contextlib.contextmanager
def pinned(*cores: int) -> Iterator[None]:
    """Run this thread on these cores alone, and with it the processes that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(session: int, *cores: int) -> None:
    """Run all threads of a server that runs already on these cores alone."""
    for pid in processes.of_session(session):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)
