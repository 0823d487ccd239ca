"""``select(2)``: works everywhere, up to FD_SETSIZE descriptors.  (Course, chapters 20 and 32.)"""

import errno
import os
import select

from yolanda.reactor.dispatcher.protocol import INVALID, READ, WRITE

FD_SETSIZE = 1024
"""The bits of an ``fd_set`` on every system that has one; a higher descriptor cannot be watched."""


class SelectDispatcher:
    """Watches with ``select``: both sets are handed to the kernel and looked through each turn."""

    name = "select"
    edge_triggered = False

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def add(self, fd: int, events: int) -> None:
        """Watch ``fd``; `OSError` (EINVAL) from `FD_SETSIZE` on."""
        if fd >= FD_SETSIZE:
            raise OSError(
                errno.EINVAL,
                f"select cannot watch descriptor {fd}: FD_SETSIZE is {FD_SETSIZE}; "
                "use the poll or epoll dispatcher",
            )
        self.update(fd, events)

    def update(self, fd: int, events: int) -> None:
        """Change what ``fd`` is watched for."""
        if events & READ:
            self._readers.add(fd)
        else:
            self._readers.discard(fd)
        if events & WRITE:
            self._writers.add(fd)
        else:
            self._writers.discard(fd)

    def remove(self, fd: int) -> None:
        """Watch ``fd`` no longer."""
        self._readers.discard(fd)
        self._writers.discard(fd)

    def dispatch(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait, and list ``(fd, events)``.  Errors and hang-ups show as `READ` and `WRITE`."""
        try:
            readable, writable, _ = select.select(self._readers, self._writers, (), timeout)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return [(fd, INVALID) for fd in self._readers | self._writers if not _is_open(fd)]
        if not writable:
            return [(fd, READ) for fd in readable]
        ready = dict.fromkeys(readable, READ)
        for fd in writable:
            ready[fd] = ready.get(fd, 0) | WRITE
        return list(ready.items())

    def fileno(self) -> int:
        """There is none."""
        raise OSError(errno.ENOTSUP, "the select dispatcher has no descriptor to embed; use epoll")

    def close(self) -> None:
        """Forget all descriptors."""
        self._readers.clear()
        self._writers.clear()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
