"""How many connections each process has, of several that accept on the same socket.

The kernel wakes all of them for a connection, and gives it to the first that calls ``accept``.  A
process that is awake is faster than one that has to be woken, so when many clients come at once,
one process takes most of them, or all; with clients that stay, that is how it remains.  Here each
process sees what the others have, and one that is ahead lets the others go first.
"""

import errno
import mmap

_NOT_ACCEPTING = -1
_SLACK = 8  # an eighth above the mean, and one connection, is not ahead


class SharedLoad:
    """A table in memory that a process shares with those that it forks.

    - ``processes``: the greatest number of them; a place takes four bytes.

    `take` and `release` belong to the process that forks.
    """

    PROCESSES = 1023

    def __init__(self, processes: int = PROCESSES) -> None:
        # The first number says how many of the others are in use, from the front.
        self._map = mmap.mmap(-1, 4 * (processes + 1))
        self._table = memoryview(self._map).cast("i")
        self._taken = [False] * processes

    def take(self) -> "ProcessLoad":
        """Reserve the place of a process that is to be forked.

        Raises `OSError` if there are as many already as there may be.
        """
        try:
            place = self._taken.index(False)
        except ValueError:
            raise OSError(errno.EAGAIN, f"there are {len(self._taken)} processes") from None
        self._taken[place] = True
        self._table[place + 1] = _NOT_ACCEPTING
        self._table[0] = max(self._table[0], place + 1)
        return ProcessLoad(self._table, place + 1)

    def release(self, load: "ProcessLoad") -> None:
        """Give a place back after its process has ended."""
        self._table[load.place] = _NOT_ACCEPTING
        self._taken[load.place - 1] = False
        while self._table[0] and not self._taken[self._table[0] - 1]:
            self._table[0] -= 1

    def loads(self) -> list[int]:
        """The connections of each process that accepts."""
        return [count for count in self._table[1 : self._table[0] + 1] if count >= 0]


class ProcessLoad:
    """The place of one process in a `SharedLoad`, for the servers in it.  One thread's."""

    def __init__(self, table: memoryview, place: int) -> None:
        self.place = place
        """The index in the table."""
        self._table = table
        self._connections = 0
        self._accepting = False

    def join(self) -> None:
        """Connections are accepted from now on."""
        self._accepting = True
        self._table[self.place] = self._connections

    def leave(self) -> None:
        """No more are accepted: the others wait for this process no longer."""
        self._accepting = False
        self._table[self.place] = _NOT_ACCEPTING

    def add(self, connections: int) -> None:
        """So many connections more, or fewer."""
        self._connections += connections
        if self._accepting:
            self._table[self.place] = self._connections

    @property
    def ahead(self) -> bool:
        """Whether this process has more connections than its share."""
        table = self._table
        others = [count for count in table[1 : table[0] + 1].tolist() if count >= 0]
        mean = sum(others) / (len(others) or 1)
        return self._connections > mean + mean / _SLACK + 1
