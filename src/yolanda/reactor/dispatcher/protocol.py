"""What a loop asks of select, poll, epoll and kqueue, and the events that they report.

The numbers of the events are poll's and epoll's own, so that the two fastest dispatchers hand over
the kernel's answer as it is.
"""

from typing import Protocol

READ = 0x01
"""There is something to read, to accept, or the end of the stream."""

WRITE = 0x04
"""The kernel has room for output, or a connection attempt has ended."""

ERROR = 0x08
"""The descriptor has a pending error; reported whether asked for or not."""

HANGUP = 0x10
"""Both directions are shut; reported whether asked for or not, and what was sent is still there."""

INVALID = 0x20
"""The descriptor was closed while it was watched; poll and select see it, epoll just forgets."""


class EventDispatcher(Protocol):
    """Watches descriptors for one loop.  (Course, chapter 32: ``event_dispatcher``.)

    Used by the loop's own thread only.
    """

    name: str
    edge_triggered: bool

    def add(self, fd: int, events: int) -> None:
        """Begin to watch ``fd`` for ``events``, a sum of `READ` and `WRITE`, or 0.

        Raises `OSError` or `ValueError` when the descriptor cannot be watched.
        """

    def update(self, fd: int, events: int) -> None:
        """Watch ``fd`` for these ``events`` from now on; an edge that was missed is told again."""

    def remove(self, fd: int) -> None:
        """Watch ``fd`` no longer.  Must come before the descriptor is closed."""

    def dispatch(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait up to ``timeout`` seconds (for ever with `None`) and list ``(fd, events)``."""

    def fileno(self) -> int:
        """A descriptor that is readable while there are events.

        Raises `OSError` where the mechanism has none.
        """

    def close(self) -> None:
        """Give back what the dispatcher holds."""
