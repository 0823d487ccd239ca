"""``epoll(7)``: the kernel keeps the set and lists the ready ones only.  (Chapters 23 and 29.)

What epoll watches is not a number but an *open file description*: its table is keyed by the pair of
description and number.  Three things follow, and the rest of Yolanda is written to them:

- Closing a descriptor takes its entry away only when no duplicate (``dup``, a forked child) is
  left.  Else events go on to come for a number that is closed, and nothing can remove them.  So a
  channel is always removed *before* its descriptor is closed.
- A number that was closed and opened again within one batch of events may still have an event of
  its former owner in that batch.  `EventLoop` skips a channel that was added in the same turn.
- An epoll descriptor can itself be watched: it is readable while its ready list is not empty.
  That is how one loop is embedded in another.
"""

import select
from collections.abc import Callable


class EpollDispatcher:
    """Watches with ``epoll``; the events of `protocol` are epoll's own.

    ``edge_triggered``: report a descriptor when it *becomes* ready and not for as long as it is.
    Whoever handles the event must then go on until EAGAIN, or call ``update``, which arms the edge
    anew; Yolanda's transport does.
    """

    def __init__(self, edge_triggered: bool = False) -> None:
        self.name = "epoll-et" if edge_triggered else "epoll"
        self.edge_triggered = edge_triggered
        self._epoll = select.epoll()
        self.remove: Callable[[int], None] = self._epoll.unregister
        # The kernel's answer is ours as it is: nothing stands in between.
        self.dispatch: Callable[[float | None], list[tuple[int, int]]] = self._epoll.poll
        self.fileno: Callable[[], int] = self._epoll.fileno
        self.close: Callable[[], None] = self._epoll.close
        self._flags = select.EPOLLET if edge_triggered else 0

    def add(self, fd: int, events: int) -> None:
        """Begin to watch ``fd``."""
        self._epoll.register(fd, events | self._flags)

    def update(self, fd: int, events: int) -> None:
        """Change what ``fd`` is watched for; this arms a missed edge again."""
        self._epoll.modify(fd, events | self._flags)
