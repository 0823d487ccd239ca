"""The threads in which applications run, and the line in which requests wait for them.

A thread that is free waits for a lock of its own.  The last one that became free is the first to be
woken: with few requests the same few threads work, whose caches and connections to databases are
warm, and those that are never needed are never started.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger("yolanda.wsgi")

Job = TypeVar("Job")


class Threads(Generic[Job]):
    """Up to ``count`` threads that do jobs, the first come first.

    - ``make_worker``: called once in each thread; what it returns is called with each of its jobs.

    They are daemons, so that one that never ends does not keep the process from it.
    """

    def __init__(self, count: int, make_worker: Callable[[], Callable[[Job], object]]) -> None:
        if count < 1:
            raise ValueError(f"applications need 1 thread or more, not {count}")
        self.count = count
        self._make_worker = make_worker
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()  # guards all below
        self._free: list[threading.Lock] = []  # each held until its thread is woken
        self._threads: list[threading.Thread] = []
        self._woken = 0  # threads on their way to the jobs
        self._busy = 0
        self._closed = False
        self._on_idle: list[Callable[[], object]] = []

    def submit(self, job: Job) -> None:
        """Have a thread do ``job`` when there is one.  Any thread.

        Raises `RuntimeError` after `close`.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("these threads take no more jobs")
            self._jobs.append(job)
            if len(self._jobs) <= self._woken:
                return
            if self._free:
                self._woken += 1
                self._free.pop().release()
            elif len(self._threads) < self.count:
                self._woken += 1
                self._start_thread()

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
        self._threads.append(thread)
        thread.start()

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
