"""The threads in which applications run, and the way of the work to them and back.

A thread that is free waits for a lock of its own, and the last one that became free is the first to
be woken: with few requests the same few threads work, whose caches and connections to databases are
warm, and those that are never needed are never started.

*How many to wake?*  A request that comes alone needs a thread at once.  Of many that come together,
the first thread may have done all before a second one has got the interpreter's lock; or it may
wait for a database with the first of them.  Nobody knows beforehand.  So one thread is woken at the
end of the loop's turn, when all is read that was there; and while jobs are left, the loop looks
each millisecond whether they are being done fast enough, and wakes one more, two, four.

*When to wake the loop?*  When a thread has news for it and nothing else to do.  Otherwise the loop
would take the lock from the thread for each single response; while it looks each millisecond, it
finds them by itself.

All that is for the sake of the lock: to wake everybody for everything costs a small application
half as much again.  Without it (free threading) a thread is woken for each job.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from yolanda.reactor.event_loop import EventLoop

log = logging.getLogger("yolanda.wsgi")

_TICK = 0.001  # seconds between two looks at how it goes
_TICKS = 5  # in which those who work must be able to do what is left

_has_gil: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)

Job = TypeVar("Job")


class Threads(Generic[Job]):
    """Up to ``count`` threads that do jobs, the first come first.

    - ``loop``: where jobs come from, and news of them go to;
    - ``make_worker``: called once in each thread; what it returns is called with each of its jobs.

    They are daemons, so that one that never ends does not keep the process from it.
    """

    def __init__(
        self, loop: EventLoop, count: int, make_worker: Callable[[], Callable[[Job], object]]
    ) -> None:
        if count < 1:
            raise ValueError(f"applications need 1 thread or more, not {count}")
        self._loop = loop
        self._count = count
        self._make_worker = make_worker
        self._jobs: deque[Job] = deque()
        self._news: deque[Callable[[], object]] = deque()
        self._hears_soon = False  # the loop was asked to look at the news
        # The loop's own:
        self._looks_soon = False
        self._ticking = False  # it looks each millisecond; others read this
        self._submitted = 0
        self._begun = 0  # jobs that had been begun at the last tick
        self._at_once = 1  # threads that the next tick wakes
        # Guarded by the lock:
        self._lock = threading.Lock()
        self._free: list[threading.Lock] = []  # each held until its thread is woken
        self._threads: list[threading.Thread] = []
        self._woken = 0  # threads on their way to the jobs
        self._busy = 0
        self._closed = False
        self._on_idle: list[Callable[[], object]] = []

    # ---- the loop's thread ---------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Have a thread do ``job``.  Raises `RuntimeError` after `close`."""
        if self._closed:
            raise RuntimeError("these threads take no more jobs")
        self._jobs.append(job)
        self._submitted += 1
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.queue_in_loop(self._look)

    def _look(self) -> None:
        """All jobs of this turn are there: see that they are done."""
        self._looks_soon = False
        jobs = len(self._jobs)
        if jobs <= self._woken:
            return
        if not _has_gil():
            self._wake(jobs - self._woken)
        elif not self._ticking or self._nobody_works():
            self._wake(1)
        if not self._ticking and len(self._jobs) > self._woken:
            self._ticking = True
            self._begun = self._submitted - jobs
            self._at_once = 1
            self._loop.call_later(_TICK, self._tick)

    def _nobody_works(self) -> bool:
        with self._lock:  # or a thread might just be about to rest
            return not (self._busy or self._woken)

    def _tick(self) -> None:
        """See whether those who work are enough."""
        jobs = len(self._jobs)
        begun = self._submitted - jobs
        if jobs > self._woken:
            if (begun - self._begun) * _TICKS < jobs:
                self._wake(self._at_once)
                self._at_once *= 2
            self._begun = begun
            self._loop.call_later(_TICK, self._tick)
        else:
            self._ticking = False  # before the news are heard: later ones are announced
        self._hear()

    def _hear(self) -> None:
        self._hears_soon = False
        news = self._news
        for _ in range(len(news)):  # what comes meanwhile has its time
            try:
                news.popleft()()
            except Exception:
                log.exception("what a thread has asked for raised")

    def _wake(self, count: int) -> None:
        with self._lock:
            for _ in range(min(count, len(self._jobs) - self._woken)):
                if self._free:
                    self._free.pop().release()
                elif len(self._threads) < self._count:
                    self._start_thread()
                else:
                    return
                self._woken += 1

    # ---- the threads' side ---------------------------------------------------------------

    def tell(self, callback: Callable[[], object]) -> None:
        """Have the loop call ``callback()``, soon.  In one of the threads."""
        self._news.append(callback)
        if not (self._ticking and self._jobs):  # else it looks, or this thread has time to tell it
            self._announce()

    def _announce(self) -> None:
        if not self._hears_soon:
            self._hears_soon = True
            try:
                self._loop.queue_in_loop(self._hear)
            except RuntimeError:
                log.debug("the loop is closed: a thread has news for nobody")

    # ---- any thread ----------------------------------------------------------------------

    @property
    def busy(self) -> int:
        """Threads that are doing jobs, or about to.  Any thread."""
        return self._busy + self._woken

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` once no job is left, in the thread that has done the last, or now.

        Any thread.
        """
        with self._lock:
            if self._busy or self._jobs:
                self._on_idle.append(callback)
                return
        callback()

    def close(self, timeout: float = 0.0) -> bool:
        """Take no more jobs, and wait ``timeout`` seconds for those that are there.

        Returns whether all threads have ended.  Any thread but these.
        """
        with self._lock:
            self._closed = True
            for parked in self._free:
                self._woken += 1
                parked.release()
            self._free.clear()
            threads = self._threads.copy()
        end = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _start_thread(self) -> None:
        number = len(self._threads) + 1
        thread = threading.Thread(target=self._run, name=f"WSGI-{number}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run(self) -> None:
        work = self._make_worker()
        parked = threading.Lock()
        parked.acquire()
        while True:
            with self._lock:
                self._woken -= 1
                self._busy += 1
            while True:
                try:
                    job = self._jobs.popleft()
                except IndexError:
                    if self._rest(parked):
                        break
                    continue
                try:
                    work(job)
                except BaseException:  # a thread outlives whatever its jobs do
                    log.exception("a job in %s raised", threading.current_thread().name)
                del job  # and what it refers to
            if self._closed:
                return
            parked.acquire()

    def _rest(self, parked: threading.Lock) -> bool:
        """Note that a thread is free, unless a job has come meanwhile."""
        if self._news:
            self._announce()
        with self._lock:
            if self._jobs:
                return False
            self._busy -= 1
            told = [] if self._busy else self._on_idle
            if told:
                self._on_idle = []
            if not self._closed:
                self._free.append(parked)
        for callback in told:
            callback()
        return True
