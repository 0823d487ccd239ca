"""``poll(2)``: no limit of descriptors, the whole list handed over each turn.  (Chapter 21.)"""

import errno
import select


class PollDispatcher:
    """Watches with ``poll``; the events of `protocol` are poll's own."""

    name = "poll"
    edge_triggered = False

    def __init__(self) -> None:
        self._poll = select.poll()
        self.add = self._poll.register
        self.update = self._poll.modify
        self.remove = self._poll.unregister

    def dispatch(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait, and list ``(fd, events)``."""
        return self._poll.poll(None if timeout is None else timeout * 1000)

    def fileno(self) -> int:
        """There is none."""
        raise OSError(errno.ENOTSUP, "the poll dispatcher has no descriptor to embed; use epoll")

    def close(self) -> None:
        """Nothing is held in the kernel."""
