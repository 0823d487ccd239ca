"""A time-out that is put off often and reached seldom."""

from collections.abc import Callable

from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer


class Deadline:
    """Calls ``callback()`` at the earliest of the times that it was given.

    The callback decides whether the time has really come, from what was noted meanwhile (such as
    when a byte was last received), and if not, gives the next time to `at`.  So putting a time-out
    off costs whoever does it nothing but the note, and one timer serves a connection for its life.
    All methods belong to the loop's thread.
    """

    __slots__ = ("_callback", "_loop", "_timer")

    def __init__(self, loop: EventLoop, callback: Callable[[], object]) -> None:
        self._loop = loop
        self._callback: Callable[[], object] | None = callback
        self._timer: Timer | None = None

    def at(self, when: float) -> None:
        """Call back at the time ``when`` of the loop's clock, unless that will happen earlier."""
        if self._callback is None:
            return
        if self._timer is not None:
            if self._timer.when <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self)

    def cancel(self) -> None:
        """Do not call back, unless a new time is given."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """Never call back any more, and let go of the callback and of all that it refers to."""
        self.cancel()
        self._callback = None

    def __call__(self) -> None:
        """Its timer is due.  (To be called itself saves it a bound method for each connection.)"""
        self._timer = None
        if self._callback is not None:
            self._callback()
