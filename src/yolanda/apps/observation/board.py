"""A board in shared memory, on which each process of a service writes how it goes.

Every worker can read all of it, so any of them can answer for all, and what a worker has counted
is there still when it was killed.  A *place* on the board is a row of numbers that one living
process writes, and nobody else; so there are no locks.  The next process that gets the place counts
on from where the last one has left off: a sum over all places never goes back.
"""

import enum
import mmap
import os
import time
from collections.abc import Iterator

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper bounds of the classes of latency."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
"""The methods that are told apart."""

FIRST_STATUS = 100
LAST_STATUS = 599


class Cell(enum.IntEnum):
    """Where a number stands in a row."""

    STATE = 0
    PID = 1
    INDEX = 2
    """The worker's, see `WorkerHandle`."""
    STARTED = 3
    """When the process began, in seconds since 1970."""
    SEEN = 4
    """When it last wrote the numbers up to `LONGEST_TURN`."""
    CONNECTIONS = 5
    IN_FLIGHT = 6
    WEBSOCKETS = 7
    LAG = 8
    LONGEST_TURN = 9
    BEFORE = 10
    """What `REQUESTS` said when the process began."""

    # From here on they are never set back.
    ACCEPTED = 11
    BYTES_IN = 12
    BYTES_OUT = 13
    REQUESTS = 14
    CUT_OFF = 15
    SECONDS = 16
    """The latencies, summed up."""
    BUCKETS = 20
    """How many exchanges fell into each class of latency; one class more than `BOUNDS`."""
    COUNTS = 40
    """Requests by method and status, see `place_of`."""


class ProcessState(enum.IntEnum):
    """What a process on the board does."""

    GONE = 0
    STARTING = 1
    READY = 2
    ENDING = 3


_STATUSES = LAST_STATUS - FIRST_STATUS + 1
_WIDTH = Cell.COUNTS + len(METHODS) * _STATUSES
_CELL_SIZE = 8


def cell_of(method: str, status: int) -> int:
    """Return where requests of ``method`` that were answered with ``status`` are counted."""
    row = METHODS.index(method) if method in METHODS else len(METHODS) - 1
    column = min(max(status, FIRST_STATUS), LAST_STATUS) - FIRST_STATUS
    return Cell.COUNTS + row * _STATUSES + column


def counts_of(row: list[float]) -> Iterator[tuple[str, int, float]]:
    """The requests of a row: method, status, and how many, where there were any."""
    for offset, count in enumerate(row[Cell.COUNTS :]):
        if count:
            method, status = divmod(offset, _STATUSES)
            yield METHODS[method], FIRST_STATUS + status, count


class Board:
    """The board.  To be made before the processes are forked.

    - ``places``: how many there are.  One takes memory only once it is used.
    """

    def __init__(self, places: int = 1024) -> None:
        self._map = mmap.mmap(-1, places * (1 + _WIDTH) * _CELL_SIZE)
        everything = memoryview(self._map).cast("d")
        self._used = everything[:places]  # apart, so that to look for them touches little
        self._rows = everything[places:]

    def join(self, place: int, index: int) -> "memoryview[float]":
        """Take a place that no other process has now; return its row, to write in.

        - ``index``: the worker's.
        """
        row = self._row(place)
        for cell in range(Cell.SEEN, Cell.BEFORE):
            row[cell] = 0.0
        row[Cell.PID] = os.getpid()
        row[Cell.INDEX] = index
        row[Cell.STARTED] = row[Cell.SEEN] = time.time()
        row[Cell.BEFORE] = row[Cell.REQUESTS]
        row[Cell.STATE] = ProcessState.STARTING
        self._used[place] += 1
        return row

    def leave(self, place: int) -> None:
        """The process that had this place is gone.  For its parent, or for itself."""
        self._row(place)[Cell.STATE] = ProcessState.GONE

    def rows(self) -> list[list[float]]:
        """All places that were ever used, as they are now."""
        return [list(self._row(place)) for place, used in enumerate(self._used) if used]

    def started(self) -> int:
        """How many processes have joined so far."""
        return int(sum(self._used))

    def anybody_ready(self) -> bool:
        """Whether there is a process that serves."""
        return any(
            self._row(place)[Cell.STATE] == ProcessState.READY
            for place, used in enumerate(self._used)
            if used
        )

    def _row(self, place: int) -> "memoryview[float]":
        return self._rows[place * _WIDTH : (place + 1) * _WIDTH]
