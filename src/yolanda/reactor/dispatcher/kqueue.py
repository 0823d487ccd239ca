"""``kqueue(2)``: the way of macOS and the BSDs; one filter a direction instead of a mask."""

import select
import sys

from yolanda.reactor.dispatcher.protocol import READ, WRITE

if sys.platform != "linux" and sys.platform != "win32":  # a type checker needs to be told

    class KqueueDispatcher:
        """Watches with ``kqueue``."""

        name = "kqueue"
        edge_triggered = False

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self._events: dict[int, int] = {}

        def add(self, fd: int, events: int) -> None:
            """Begin to watch ``fd``."""
            self._events[fd] = 0
            self.update(fd, events)

        def update(self, fd: int, events: int) -> None:
            """Add the filters that are missing, delete those that are not wanted any more."""
            changes = []
            before = self._events[fd]
            for event, kind in ((READ, select.KQ_FILTER_READ), (WRITE, select.KQ_FILTER_WRITE)):
                if (events ^ before) & event:
                    action = select.KQ_EV_ADD if events & event else select.KQ_EV_DELETE
                    changes.append(select.kevent(fd, kind, action))
            if changes:
                self._kqueue.control(changes, 0, 0)
            self._events[fd] = events

        def remove(self, fd: int) -> None:
            """Watch ``fd`` no longer."""
            self.update(fd, 0)
            del self._events[fd]

        def dispatch(self, timeout: float | None) -> list[tuple[int, int]]:
            """Wait, and list ``(fd, events)``; the end of a stream shows in the filter it ends."""
            ready: dict[int, int] = {}
            for event in self._kqueue.control(None, max(2 * len(self._events), 1), timeout):
                seen = READ if event.filter == select.KQ_FILTER_READ else WRITE
                ready[event.ident] = ready.get(event.ident, 0) | seen
            return list(ready.items())

        def fileno(self) -> int:
            """The queue's own descriptor."""
            return self._kqueue.fileno()

        def close(self) -> None:
            """Close the queue."""
            self._kqueue.close()
