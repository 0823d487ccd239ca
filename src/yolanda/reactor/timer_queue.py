"""Callbacks that are due at a time."""

import heapq
import math
from collections.abc import Callable

_FEW = 64  # cancelled timers that are not worth a clean-up


class Timer:
    """A callback that waits for its time; what `EventLoop.call_later` and its like return."""

    __slots__ = ("_queue", "args", "callback", "interval", "when")

    def __init__(
        self,
        queue: "TimerQueue",
        when: float,
        interval: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
    ) -> None:
        self.when = when
        """When it is due, by the loop's clock, in seconds."""
        self.interval = interval
        """Seconds between two calls; 0 if it is called once."""
        self.callback = callback
        self.args = args
        self._queue: TimerQueue | None = queue

    @property
    def active(self) -> bool:
        """Whether it will still be called."""
        return self._queue is not None

    def cancel(self) -> None:
        """See that it is not called.  In the loop's thread; harmless when repeated or too late."""
        if self._queue is not None:
            self._queue.forget(self)
            self._queue = None

    def spend(self) -> None:
        """Mark as called for the last time; for the queue."""
        self._queue = None


class TimerQueue:
    """The timers of one loop: a heap, from which cancelled ones are swept when they abound.

    Cancelling costs no search, and no more than half of the heap (and a few) is ever dead weight,
    however many timers are set and cancelled.  Timers of one time fire in the order they were set.
    """

    __slots__ = ("_cancelled", "_heap", "newest", "next_due")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self.newest = 0
        """The number of the last timer that was entered."""
        self._cancelled = 0
        self.next_due = math.inf
        """When the first timer is due (perhaps a cancelled one); infinity when there is none."""

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(
        self,
        when: float,
        interval: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
    ) -> Timer:
        """Enter a timer for the time ``when``, repeated each ``interval`` seconds if not 0."""
        timer = Timer(self, when, interval, callback, args)
        self._push(timer)
        return timer

    def forget(self, timer: Timer) -> None:
        """Count ``timer`` as cancelled; `Timer.cancel` calls it."""
        del timer.callback, timer.args  # what they refer to is free at once
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [
                entry for entry in self._heap if entry[2].active and entry[2] is not timer
            ]
            heapq.heapify(self._heap)
            self._cancelled = 0
            self._set_next()

    def pop_due(self, now: float, newest: float = math.inf) -> Timer | None:
        """Take out the next timer that is due at ``now``; a repeated one is entered again.

        ``newest``: timers that were entered after this number wait for another time.

        A repeated timer keeps its rhythm; beats that were missed are skipped, not made up for.
        """
        while self._heap and self._heap[0][0] <= now:
            if self._heap[0][1] > newest:
                break
            timer = heapq.heappop(self._heap)[2]
            if not timer.active:
                self._cancelled -= 1
                continue
            if timer.interval:
                missed = math.floor((now - timer.when) / timer.interval)
                timer.when += (missed + 1) * timer.interval
                if timer.when <= now:  # rounding
                    timer.when = now + timer.interval
                self._push(timer)
            else:
                timer.spend()
            self._set_next()
            return timer
        self._set_next()
        return None

    def _push(self, timer: Timer) -> None:
        self.newest += 1  # breaks ties, so that timers are never compared
        heapq.heappush(self._heap, (timer.when, self.newest, timer))
        self.next_due = self._heap[0][0]

    def _set_next(self) -> None:
        self.next_due = self._heap[0][0] if self._heap else math.inf
