"""A process that forks others, listens to them, and waits for what comes next."""

import logging
import math
import os
import select
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import FrameType

from yolanda.apps.processes.child import Child
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.reactor.wakeup import Wakeup
from yolanda.transport.shared_load import ProcessLoad

log = logging.getLogger("yolanda.apps")

_LATE = 0.1  # seconds


class Supervisor(ABC):
    """The common part of a `Master` and a `Reloader`: a loop over children, signals and times.

    It must have no threads, since it forks, and no `EventLoop`, since a child would share what the
    kernel keeps of it.  A subclass says what is to be done.  All methods belong to the main thread.
    """

    SIGNALS: tuple[signal.Signals, ...]
    """Those that `on_signal` is told of."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}  # all that live, by pid
        self._close_in_child: list[Callable[[], object]] = []  # what only this process has use for
        self._signals: list[int] = []
        self._now = 0.0  # when the clock was looked at last
        self._wakeup: Wakeup | None = None

    def run(self) -> int:
        """Do what there is to do, until nothing is left of it; return the exit status."""
        numbers = (*self.SIGNALS, signal.SIGCHLD)
        self._wakeup = Wakeup()
        before = {number: signal.signal(number, self._note_signal) for number in numbers}
        self._wakeup.attach_signals()
        self._now = time.monotonic()
        try:
            while self.going_on:
                self._turn(self._wakeup)
        finally:
            self._kill_all()
            for number, action in before.items():
                signal.signal(number, signal.SIG_DFL if action is None else action)
            self._wakeup.detach_signals()
            self._wakeup.close()
            self._wakeup = None
        return self.status

    # ---- what a subclass says ------------------------------------------------------------

    @property
    @abstractmethod
    def going_on(self) -> bool:
        """Whether there is something to do still."""

    @property
    @abstractmethod
    def status(self) -> int:
        """The exit status."""

    @abstractmethod
    def adjust(self, now: float) -> None:
        """Start and stop whom there should be or not be; the first thing of a turn."""

    @abstractmethod
    def times(self) -> Iterator[float]:
        """When there is something to do that no event tells of."""

    @abstractmethod
    def on_word(self, child: Child, word: str, text: str) -> None:
        """A child has said something."""

    @abstractmethod
    def on_end(self, child: Child, status: int) -> None:
        """A child has ended, with a status of `os.waitpid`."""

    @abstractmethod
    def on_signal(self, number: int) -> None:
        """A signal came."""

    @abstractmethod
    def on_suspended(self, seconds: float) -> None:
        """A turn took so much longer than it should: this process stood still, and others, too.

        (A machine was suspended, or Ctrl+Z stopped the whole group.)
        """

    # ---- children ------------------------------------------------------------------------

    def fork(
        self,
        main: Callable[[WorkerHandle], int],
        *,
        index: int = 0,
        beat_interval: float = 1.0,
        load: ProcessLoad | None = None,
        title: str | None = None,
    ) -> Child:
        """Start a child; see `Child.fork`."""
        child = Child.fork(
            main,
            index=index,
            beat_interval=beat_interval,
            load=load,
            title=title,
            in_child=self._leave_to_child,
        )
        self._children[child.pid] = child
        return child

    def _leave_to_child(self) -> None:
        for child in self._children.values():  # or it would not see the end of this process
            child.close()
        if self._wakeup is not None:
            self._wakeup.close()
        for close in self._close_in_child:
            close()

    def _kill_all(self) -> None:
        """Leave nobody behind, whatever ended the turns."""
        for child in self._children.values():
            child.send_signal(signal.SIGKILL)
        for child in self._children.values():
            os.waitpid(child.pid, 0)
            child.close()
        self._children.clear()

    # ---- one turn ------------------------------------------------------------------------

    def _turn(self, wakeup: Wakeup) -> None:
        self.adjust(self._look_at_the_clock())
        now = self._look_at_the_clock()
        due = max(now, min(self.times(), default=math.inf))
        poll = select.poll()
        poll.register(wakeup.fileno(), select.POLLIN)
        talking = {child.fileno(): child for child in self._children.values()}
        for fd in talking:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(None if due == math.inf else math.ceil((due - now) * 1000))
        wakeup.drain()
        self._look_at_the_clock(due - now)
        for fd, _ in ready:
            if fd in talking:
                self._listen(talking[fd])
        self._reap()
        signals, self._signals = self._signals, []
        for number in signals:
            if number != signal.SIGCHLD:  # who has ended is found out in each turn
                log.info("got %s", signal.Signals(number).name)
                self.on_signal(number)

    def _look_at_the_clock(self, waited: float = 0.0) -> float:
        """Return the time, and see whether more has passed than can be, with so much of waiting."""
        now = time.monotonic()
        late = now - self._now - waited
        self._now = now
        if late > _LATE:
            self.on_suspended(late)
        return now

    def _listen(self, child: Child) -> None:
        for word, text in child.receive():
            self.on_word(child, word, text)

    def _reap(self) -> None:
        # As the first process of a container this one also inherits orphans, and takes leave of
        # them here.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.get(pid)
            if child is not None:
                self._listen(child)  # its last words
                del self._children[pid]
                child.close()
                self.on_end(child, status)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)  # the interpreter has written a byte already
