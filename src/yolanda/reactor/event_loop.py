"""One thread's endless loop: wait for events, call whom they concern, see to what is due."""

import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import get_ident
from types import FrameType, TracebackType
from typing import Protocol

from yolanda.reactor.channel import Channel
from yolanda.reactor.channel_map import ChannelMap
from yolanda.reactor.dispatcher import READ, WRITE, EventDispatcher, make_dispatcher
from yolanda.reactor.timer_descriptor import TimerDescriptor, make_timer_descriptor
from yolanda.reactor.timer_queue import Timer, TimerQueue
from yolanda.reactor.wakeup import Wakeup

log = logging.getLogger("yolanda.reactor")

_NEVER = 1e9  # seconds
_LONGEST_WAIT = 86400.0  # seconds; a wait of some weeks overflows epoll_wait's milliseconds
_TOGETHER = 64  # workers that are enough to make a stride worth while
_LAST_ROUNDS = 3  # in which queued callbacks are called after a stop
_COURSE_BITS = {READ: 2, WRITE: 4, READ | WRITE: 6}  # EVENT_READ and EVENT_WRITE in its trace
_Job = tuple[Callable[..., object], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class LoopStatistics:
    """What a loop has done so far, as a value.  See `EventLoop.statistics`."""

    iterations: int
    """Turns of the loop: how often it came back from waiting."""
    events: int
    """Events that the dispatcher reported, wake-ups among them."""
    callback_seconds: float
    """Time spent in callbacks, that is, not waiting."""
    longest_turn: float
    """Seconds that the longest turn took, in which nothing else could be served."""
    lag: float
    """Seconds by which the timers of the last turn that had any were late."""
    worst_lag: float
    """The greatest lag so far."""
    channels: int
    """Channels that are being watched, the wake-up pair among them."""
    timers: int
    """Timers that are waiting."""


class Sender(Protocol):
    """Who sends what was made when all of that is done; see `EventLoop.outbox`."""

    def flush(self) -> None:
        """Do so, if there is something."""


class Worker(Sender, Protocol):
    """Who works on what has come when all that is ready has been read; see `EventLoop.inbox`.

    The three methods are called in this order, each for several workers before the next.
    """

    def decode(self) -> None:
        """Find out what it means."""

    def serve(self) -> None:
        """Do what is to be done about it."""

    def fail(self, error: Exception) -> None:
        """One of the two has raised ``error``, which was logged."""


class EventLoop:
    """A reactor: dispatches the events of many descriptors within one thread.

    - ``dispatcher``: the name of one (see `make_dispatcher`), or an `EventDispatcher`;
    - ``name``: what the trace and the log call it;
    - ``clock``: seconds that never go back; tests may give their own.

    The thread that makes a loop owns it and is the only one that may use it, but for `stop`,
    `run_in_loop` and `queue_in_loop`, which any thread may call.  Elsewhere a wrong thread raises
    `RuntimeError`.  An exception that a callback raises is logged and ends nothing but that
    callback; `KeyboardInterrupt` and `SystemExit` leave `run`, and the loop can be run again.
    (Course, chapters 27 and 32; "one loop per thread".)
    """

    def __init__(
        self,
        dispatcher: str | EventDispatcher = "auto",
        *,
        name: str = "main thread",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.clock = clock
        self.now = clock()
        """The clock's reading at the start of this turn; cheaper than `time`, and good enough
        to note when something was last heard of."""
        self.thread_id = get_ident()
        """The owner's `threading.get_ident`."""
        self._dispatcher = (
            make_dispatcher(dispatcher) if isinstance(dispatcher, str) else dispatcher
        )
        self.edge_triggered = self._dispatcher.edge_triggered
        """Whether an event is told once, so that a handler must go on until EAGAIN or re-arm."""
        self._channels = ChannelMap()
        self._timers = TimerQueue()
        self._lock = threading.Lock()  # guards _jobs and _asleep
        self._jobs: list[_Job] = []
        self._asleep = True  # a job must be announced by a byte: the loop waits, or is not running
        self._turn_number = 0
        self._running = False
        self._unread: list[Worker] = []
        self.inbox: list[Worker] | None = None
        """While events are handled: those who have read something that is to be worked on when all
        have been handled; else None, and who reads goes on at once.  In the owner's thread."""
        self.outbox: list[Sender] | None = None
        """In a turn: those who have something to send, soon, and in this turn; else None, and who
        has something sends it at once.  In the owner's thread.

        To read from many, decode for many, work for many and send to many in four strides costs
        less than to do all for one after the other.  The processor finds in its caches what it has
        just done, and a client that has been woken by the first response is awake when the next
        ones come."""
        self._stopping = False
        self._closed = False
        self._signals: deque[int] = deque()
        self._signal_jobs: dict[int, _Job] = {}
        self._signal_actions: dict[int, object] = {}
        self.on_exception: Callable[[Exception, str], object] | None = None
        """Called with what a callback raised and whose callback it was; by default it is logged."""
        self._timer_descriptor: TimerDescriptor | None = None
        self._armed_for = math.inf
        self._events = 0
        self._callback_seconds = 0.0
        self._longest_turn = 0.0
        self._lag = 0.0
        self._worst_lag = 0.0
        self._trace = log.isEnabledFor(logging.DEBUG)
        log.debug("set %s as dispatcher, %s", self._dispatcher.name, name)
        self._wakeup = Wakeup()
        self.add_channel(Channel(self._wakeup.fileno(), self._handle_wakeup))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "not running"
        return f"<EventLoop {self.name!r} on {self._dispatcher.name}, {state}>"

    def __enter__(self) -> "EventLoop":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- running -------------------------------------------------------------------------

    def run(self) -> None:
        """Turn until `stop`.  In the owner's thread.

        A stop that was asked for before is honoured: the loop then does what is pending and ends.
        """
        self._require_idle()
        self._trace = log.isEnabledFor(logging.DEBUG)
        log.debug("event loop run, %s", self.name)
        self._running = True
        try:
            while not self._stopping:
                self._turn(None)
            for _ in range(_LAST_ROUNDS):  # what ends now may queue something that tells of it
                self._run_jobs()
        finally:
            self._rest()
            self._stopping = False
            log.debug("event loop end, %s", self.name)

    def run_once(self, timeout: float | None = None) -> int:
        """Make one turn, waiting up to ``timeout`` seconds (`None`: until something happens).

        Returns the number of events.  In the owner's thread; with a time-out of 0 it is what a loop
        around this one calls when `fileno` is readable.
        """
        self._require_idle()
        self._running = True
        try:
            return self._turn(timeout)
        finally:
            self._rest()

    def stop(self) -> None:
        """End `run` after the turn in which it is.  Any thread; also from a signal handler."""
        self._stopping = True
        self._wakeup.wake()

    def close(self) -> None:
        """Give back the descriptors of the loop itself; those of channels are their owners'.

        In the owner's thread, while the loop is not running.  Harmless when repeated.
        """
        if self._closed:
            return
        self._require_idle()
        for number in list(self._signal_jobs):
            self.remove_signal_handler(number)
        self._closed = True
        self._dispatcher.close()
        self._wakeup.close()
        if self._timer_descriptor is not None:
            self._timer_descriptor.close()
        with self._lock:
            self._jobs.clear()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def fileno(self) -> int:
        """A descriptor that is readable whenever `run_once` has something to do.

        So this loop can live inside another: ``outer.add_reader(loop.fileno(), loop.run_once, 0)``.
        Raises `OSError` with the dispatchers that have none (select and poll).
        """
        self.assert_in_loop_thread()
        fd = self._dispatcher.fileno()
        if self._timer_descriptor is None:
            self._timer_descriptor = descriptor = make_timer_descriptor()
            # Nothing to do but to wake up: the turn looks for due timers by itself.
            self.add_channel(Channel(descriptor.fileno(), self._handle_due_descriptor))
            self._arm_timer_descriptor()
        return fd

    # ---- threads -------------------------------------------------------------------------

    @property
    def in_loop_thread(self) -> bool:
        """Whether the calling thread is the owner."""
        return get_ident() == self.thread_id

    def assert_in_loop_thread(self) -> None:
        """Raise `RuntimeError` unless the calling thread is the owner."""
        if get_ident() != self.thread_id:
            raise RuntimeError(
                f"{self!r} belongs to another thread than {threading.current_thread().name!r}; "
                "from there only run_in_loop, queue_in_loop and stop may be called"
            )

    def run_in_loop(self, callback: Callable[..., object], *args: object) -> None:
        """Call ``callback(*args)`` in the owner's thread: at once if that is this one, else soon.

        Any thread.  Calls from one thread keep their order.
        """
        if get_ident() == self.thread_id:
            callback(*args)
        else:
            self.queue_in_loop(callback, *args)

    def queue_in_loop(self, callback: Callable[..., object], *args: object) -> None:
        """Call ``callback(*args)`` in the owner's thread, after the events of this turn.

        Any thread.  On a closed loop it raises `RuntimeError`.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self!r} takes no more callbacks")
            self._jobs.append((callback, args))
            must_wake = self._asleep
            self._asleep = False  # one byte is enough
        if must_wake:
            self._wakeup.wake()

    # ---- sending together ---------------------------------------------------------------

    def flush(self) -> None:
        """Have those in `outbox` send now what they have kept.  In the owner's thread."""
        outbox = self.outbox
        if outbox:
            self.outbox = []
            self._flush(outbox)

    # ---- timers --------------------------------------------------------------------------

    def look_at_the_clock(self) -> None:
        """Set `now`, for code that runs in the loop's thread but not in a turn of the loop.

        That is so where the loop lives in another one, whose callbacks send through it.
        """
        if not self._running:
            self.now = self.clock()

    def time(self) -> float:
        """The clock, in seconds: what `call_at` means by its time.  Any thread."""
        return self.clock()

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call ``callback(*args)`` in ``delay`` seconds; the timer returned can be cancelled."""
        return self.call_at(self.clock() + delay, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call ``callback(*args)`` at the time ``when`` of the loop's clock, or soon after."""
        return self._add_timer(when, 0.0, callback, args)

    def call_every(self, interval: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call ``callback(*args)`` each ``interval`` seconds, first in one interval from now.

        The rhythm is kept; if the loop is late by more than an interval, beats are left out.
        """
        if not interval > 0:
            raise ValueError(f"an interval is more than 0 seconds, not {interval}")
        return self._add_timer(self.clock() + interval, interval, callback, args)

    # ---- signals -------------------------------------------------------------------------

    def add_signal_handler(
        self, number: int, callback: Callable[..., object], *args: object
    ) -> None:
        """Call ``callback(*args)`` in the loop, as for any event, when signal ``number`` comes.

        In the main thread only (Python delivers signals there); raises `ValueError` elsewhere.
        """
        self.assert_in_loop_thread()
        previous = signal.signal(number, self._note_signal)
        signal.siginterrupt(number, False)
        self._signal_actions.setdefault(number, previous)
        self._signal_jobs[number] = (callback, args)
        self._wakeup.attach_signals()

    def remove_signal_handler(self, number: int) -> bool:
        """Restore what happened on signal ``number`` before; `False` if nothing was changed."""
        self.assert_in_loop_thread()
        if self._signal_jobs.pop(number, None) is None:
            return False
        action = self._signal_actions.pop(number)
        signal.signal(number, signal.SIG_DFL if action is None else action)  # type: ignore[arg-type]
        if not self._signal_jobs:
            self._wakeup.detach_signals()
        return True

    # ---- channels ------------------------------------------------------------------------

    def add_channel(self, channel: Channel) -> None:
        """Watch ``channel`` for the events that it wants.

        Raises what the dispatcher does if it cannot, and then leaves nothing behind.
        """
        self.assert_in_loop_thread()
        if self._trace:
            log.debug("add channel fd == %d, %s", channel.fd, self.name)
        self._channels.add(channel)
        try:
            self._dispatcher.add(channel.fd, channel.events)
        except BaseException:
            self._channels.remove(channel.fd)
            raise
        channel.since = self._turn_number
        channel.loop = self

    def update_channel(self, channel: Channel) -> None:
        """Watch ``channel`` for what it wants now; `Channel`'s own methods call it."""
        self.assert_in_loop_thread()
        self._dispatcher.update(channel.fd, channel.events)

    def remove_channel(self, channel: Channel) -> None:
        """Watch ``channel`` no longer.  To be called before its descriptor is closed."""
        self.assert_in_loop_thread()
        if channel.loop is not self:
            raise ValueError(f"{channel!r} is not in {self!r}")
        if self._trace:
            log.debug("delete channel fd == %d, %s", channel.fd, self.name)
        channel.loop = None
        self._channels.remove(channel.fd)
        if not self._closed:  # afterwards its owner may still close it
            self._dispatcher.remove(channel.fd)

    # ---- being looked at -----------------------------------------------------------------

    @property
    def statistics(self) -> LoopStatistics:
        """What the loop has done so far.  Any thread, if figures of one turn apart do."""
        return LoopStatistics(
            iterations=self._turn_number,
            events=self._events,
            callback_seconds=self._callback_seconds,
            longest_turn=self._longest_turn,
            lag=self._lag,
            worst_lag=self._worst_lag,
            channels=len(self._channels),
            timers=len(self._timers),
        )

    # ---- one turn ------------------------------------------------------------------------

    def _turn(self, timeout: float | None) -> int:
        self._turn_number = turn = self._turn_number + 1
        with self._lock:
            if self._jobs or self._stopping or self._unread:
                timeout = 0.0
            else:
                self._asleep = True
        due = self._timers.next_due
        if due != math.inf and timeout != 0:
            wait = max(0.0, due - self.clock())
            timeout = min(wait, _LONGEST_WAIT) if timeout is None else min(timeout, wait)
        try:
            ready = self._dispatcher.dispatch(timeout)
        finally:
            self._asleep = False  # too late for a lock to matter: at worst a byte is written
        self.now = started = self.clock()
        # Who is told of edges reads several times in a row, and must be able to stop in between.
        self.inbox = None if self.edge_triggered else self._unread
        self.outbox = []
        try:
            self._handle_ready(ready, turn, started)
        finally:
            self.inbox = None
            outbox, self.outbox = self.outbox, None
            self._flush(outbox)
        return len(ready)

    def _handle_ready(self, ready: list[tuple[int, int]], turn: int, started: float) -> None:
        entries = self._channels.entries
        trace = self._trace
        if trace:
            log.debug("%s_wait wakeup, %s", self._dispatcher.name, self.name)
        for fd, events in ready:
            channel = entries[fd]
            if channel is None or channel.since == turn:
                continue  # an earlier event of this batch removed it, or its number changed hands
            if trace:
                self._trace_event(fd, events)
            try:
                if events == READ:
                    on_read = channel.on_read  # in CPython 3.11 a call by a local name costs less
                    on_read()
                else:
                    channel.handle(events)
            except Exception as error:
                self._report(repr(channel), error, channel.on_exception)
            except BaseException:
                self._rearm(ready)
                raise

        self.inbox = None
        if self._unread:
            self._work()
        if self.outbox:
            self.flush()  # before a job can close what they have something for
        busy = bool(ready)
        if self._timers.next_due <= started:
            busy = True
            self._run_timers(started)
        if self._jobs:
            busy = True
            self._run_jobs()
        if busy:
            self._events += len(ready)
            spent = self.clock() - started
            self._callback_seconds += spent
            if spent > self._longest_turn:
                self._longest_turn = spent

    def _work(self) -> None:
        """Make the strides that follow the reading, for so many at once that none waits long."""
        while self._unread:
            some = self._unread[:_TOGETHER]
            for worker in some:
                try:
                    worker.decode()
                except Exception as error:
                    self._report(repr(worker), error, worker.fail)
            done = 0
            try:
                for worker in some:
                    done += 1
                    try:
                        worker.serve()
                    except Exception as error:
                        self._report(repr(worker), error, worker.fail)
            finally:  # after an interrupt the rest is for the next turn
                del self._unread[:done]
                self._flush(some[:done])

    def _flush(self, outbox: Sequence[Sender]) -> None:
        for sender in outbox:
            try:
                sender.flush()
            except Exception as error:
                self._report(repr(sender), error)

    def _rearm(self, ready: list[tuple[int, int]]) -> None:
        """See that events which an interrupt left unhandled are reported again."""
        for fd, _ in ready if self.edge_triggered else ():
            channel = self._channels.get(fd)
            if channel is not None:
                self._dispatcher.update(fd, channel.events)

    def _rest(self) -> None:
        """Leave a turn: from now on a job must be announced, and so must those that are left."""
        self._running = False
        with self._lock:
            self._asleep = True
            left = bool(self._jobs or self._unread)
        if left:
            self._wakeup.wake()
        if self._timer_descriptor is not None:
            self._arm_timer_descriptor()

    def _run_timers(self, now: float) -> None:
        self._lag = now - self._timers.next_due
        self._worst_lag = max(self._worst_lag, self._lag)
        newest = self._timers.newest  # what these callbacks set is for the next turn
        while (timer := self._timers.pop_due(now, newest)) is not None:
            try:
                timer.callback(*timer.args)
            except Exception as error:
                self._report("a timer", error)

    def _run_jobs(self) -> None:
        # Swapped out whole: what these jobs queue is done in the next turn, so events get theirs.
        jobs: list[_Job] = []
        begun = 0
        try:
            with self._lock:
                jobs, self._jobs = self._jobs, jobs
            for callback, args in jobs:
                begun += 1
                try:
                    callback(*args)
                except Exception as error:
                    self._report("a queued callback", error)
        except BaseException:  # an interrupt may also come between two of them
            with self._lock:
                self._jobs[:0] = jobs[begun:]  # the rest is not lost
            raise

    def _report(
        self,
        whose: str,
        error: Exception,
        then: Callable[[Exception], object] | None = None,
    ) -> None:
        try:
            if self.on_exception is None:
                log.error("%s raised, %s", whose, self.name, exc_info=error)
            else:
                self.on_exception(error, whose)
        except Exception:
            log.exception("and so did what was to be told of it, %s", self.name)
        if then is not None:
            try:
                then(error)
            except Exception:
                log.exception("and so did what was to be told of it, %s", self.name)

    def _trace_event(self, fd: int, events: int) -> None:
        bits = _COURSE_BITS.get(events & (READ | WRITE), 2)
        kind = "write" if bits == 4 else "read"
        log.debug("get message channel fd==%d for %s, %s", fd, kind, self.name)
        log.debug("activate channel fd == %d, revents=%d, %s", fd, bits, self.name)

    # ---- wake-ups ------------------------------------------------------------------------

    def _handle_wakeup(self) -> None:
        if self._trace:
            log.debug("wakeup, %s", self.name)
        self._wakeup.drain()
        while self._signals:
            job = self._signal_jobs.get(self._signals.popleft())
            if job is not None:
                callback, args = job
                self.queue_in_loop(callback, *args)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        # Runs between any two instructions of the main thread, perhaps with the lock held:
        # so nothing but an append to a deque and a byte.
        self._signals.append(number)
        self._wakeup.wake()

    def _add_timer(
        self,
        when: float,
        interval: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
    ) -> Timer:
        self.assert_in_loop_thread()
        if when != when:  # NaN, which has no place in any order
            raise ValueError(f"a timer needs a time, not {when}")
        timer = self._timers.add(when, interval, callback, args)
        if self._timer_descriptor is not None and not self._running:
            self._arm_timer_descriptor()
        return timer

    def _handle_due_descriptor(self) -> None:
        # Quiet until the loop rests again: by itself it needs no descriptor to see what is due.
        assert self._timer_descriptor is not None
        self._timer_descriptor.arm(_NEVER)
        self._armed_for = math.inf

    def _arm_timer_descriptor(self) -> None:
        due = self._timers.next_due
        if self._timer_descriptor is not None and due != self._armed_for:
            self._armed_for = due
            self._timer_descriptor.arm(min(max(due - self.clock(), 1e-9), _NEVER))

    def _require_idle(self) -> None:
        self.assert_in_loop_thread()
        if self._closed:
            raise RuntimeError(f"{self!r} cannot be used any more")
        if self._running:
            raise RuntimeError(f"{self!r} is in a turn already; a callback cannot run it again")
