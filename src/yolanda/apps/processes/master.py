"""The master of the worker processes: starts, watches, replaces and stops them."""

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto

from yolanda.address import BoundSocket
from yolanda.apps.processes.child import Child, describe_status, set_title
from yolanda.apps.processes.handle import SERVE_QUEUE, START_FAILED, WorkerHandle
from yolanda.apps.processes.notify import Notifier
from yolanda.apps.processes.supervisor import Supervisor
from yolanda.transport.backoff import Backoff
from yolanda.transport.shared_load import ProcessLoad, SharedLoad

log = logging.getLogger("yolanda.apps")

GAVE_UP = 1
"""The master's exit status when its workers died again and again."""

_KILL_MARGIN = 5.0  # seconds beyond a worker's own deadline before it is killed
_QUICK_TIMEOUT = 2.0  # seconds that a worker has for ending at once
_ABORT_TIMEOUT = 2.0  # seconds for writing the traceback of a worker that is stuck
_MEMORY_INTERVAL = 1.0  # seconds between two looks at the workers' memory


class _State(Enum):
    STARTING = auto()
    READY = auto()
    STOPPING = auto()
    ABORTED = auto()
    KILLED = auto()


class _Worker:
    """A worker process and what is known of it."""

    def __init__(
        self,
        child: Child,
        slot: "_Slot",
        load: ProcessLoad,
        generation: int,
        deadline: float,
    ) -> None:
        self.child = child
        self.load = load
        self.slot = slot
        self.generation = generation
        self.state = _State.STARTING
        self.deadline = deadline  # when patience with its state ends; while it is ready: see heard
        self.ready_since = math.inf
        self.failure: str | None = None  # why it could not start, in its own words

    def __str__(self) -> str:
        return f"worker {self.slot.index} (pid {self.child.pid})"


class _Slot:
    """The place of a worker: who serves there, and who is to take over from him."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.current: _Worker | None = None
        self.successor: _Worker | None = None
        self.retiring = False  # the current one is to be replaced
        self.failures = 0  # workers in a row that died soon
        self.not_before = 0.0  # when the next one may be started


class Master(Supervisor):
    """Runs worker processes that serve the same sockets, until it is told to stop.

    - ``run_worker(handle)``: what each worker does, in its own process; it says ``handle.ready()``,
      goes on with ``handle.beat()``, and returns the exit status (see `WorkerHandle`, and
      `yolanda.apps.processes.control`, which does all of it for servers of this library);
    - ``workers``: how many there are to be;
    - ``listeners``: the sockets that the workers serve; the master closes them when it stops;
    - ``graceful_timeout``: seconds that a worker has for ending after SIGTERM; it is expected to
      keep that time itself, and is killed a few seconds later;
    - ``health_timeout``: a worker that has not beaten for so many seconds is stuck: it is made to
      write its traceback (SIGABRT), and replaced.  `None`: never;
    - ``start_timeout``: the same for a worker that is not ready yet;
    - ``steady``: a worker that dies within so many seconds from being ready has died soon;
    - ``backoff``: the waits before the replacements of workers that died soon, one after the other
      in the same place.  After ``backoff.attempts`` of them the master gives up, unless another
      worker serves steadily;
    - ``memory_limit``: bytes of resident memory; a worker that has more is replaced, as soon as it
      is steady (Linux);
    - ``notifier``: tells systemd;
    - ``on_ready()``: called once, when all workers are ready;
    - ``on_reopen_logs()``: called on SIGUSR1, for the master's own log files;
    - ``on_worker_ended(load)``: called when a worker process has ended, with the place that it had
      among all (see `SharedLoad`);
    - ``title``: the name of the processes, where ``setproctitle`` is installed.

    ======================  =======================================================================
    SIGTERM, SIGINT         stop gracefully; a second SIGINT kills what is left
    SIGQUIT                 stop at once
    SIGHUP                  replace all workers, one after the other, without losing a connection
    SIGTTIN, SIGTTOU        one worker more, one fewer
    SIGUSR1, SIGUSR2        open log files again, read certificates again: passed on to the workers
    ======================  =======================================================================

    The master imports nothing of the application, so that a replaced worker runs its newest code.
    It must have no threads.  All methods belong to the main thread.
    """

    SIGNALS = (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGUSR1,
        signal.SIGUSR2,
    )

    def __init__(
        self,
        run_worker: Callable[[WorkerHandle], int],
        *,
        workers: int = 1,
        listeners: Sequence[BoundSocket] = (),
        graceful_timeout: float = 30.0,
        health_timeout: float | None = 30.0,
        start_timeout: float | None = 120.0,
        steady: float = 5.0,
        backoff: Backoff | None = None,
        memory_limit: int | None = None,
        notifier: Notifier | None = None,
        on_ready: Callable[[], object] | None = None,
        on_reopen_logs: Callable[[], object] | None = None,
        on_worker_ended: Callable[[ProcessLoad], object] | None = None,
        title: str = "yolanda",
    ) -> None:
        if workers < 1:
            raise ValueError(f"there is 1 worker or more, not {workers}")
        for name, value in (("health", health_timeout), ("start", start_timeout)):
            if value is not None and not value > 0:
                raise ValueError(f"the {name} time-out is more than 0 seconds, not {value}")
        if graceful_timeout < 0:
            raise ValueError(f"the graceful time-out is 0 seconds or more, not {graceful_timeout}")
        if memory_limit is not None and memory_limit < 1:
            raise ValueError(f"the memory limit is 1 byte or more, not {memory_limit}")
        if memory_limit is not None and not os.path.exists("/proc/self/statm"):
            raise ValueError("the memory limit needs /proc, which this platform does not have")
        super().__init__()
        self._run_worker = run_worker
        self._listeners = listeners
        self._graceful_timeout = graceful_timeout
        self._health_timeout = math.inf if health_timeout is None else health_timeout
        self._beat_interval = min(1.0, self._health_timeout / 4)
        self._start_timeout = math.inf if start_timeout is None else start_timeout
        self._steady = steady
        self._backoff = backoff or Backoff(first=0.25, longest=30.0, attempts=8)
        self._memory_limit = memory_limit
        self._notifier = notifier or Notifier(None)
        self._close_in_child.append(self._notifier.close)
        self._on_ready = on_ready
        self._on_reopen_logs = on_reopen_logs
        self._on_worker_ended = on_worker_ended
        self._title = title
        self._slots = [_Slot(index) for index in range(workers)]
        self._workers: dict[int, _Worker] = {}  # all that live, by pid
        self._loads = SharedLoad()
        self._generation = 0  # how often a rolling restart was asked for
        self._rolling = False
        self._started = False  # all workers have been ready once
        self._stopping = False
        self._interrupted = False
        self._status = 0
        self._next_memory = 0.0
        self._next_watchdog = 0.0

    # ---- what a supervisor asks ----------------------------------------------------------

    def run(self) -> int:
        """Start the workers, and return the exit status when the last of them has ended.

        The status is 0 after a signal, 1 after giving up, and 3 if the application could not be
        started.
        """
        set_title(f"{self._title}: master")
        self._notifier.status("starting")
        log.info("master started (pid %d)", os.getpid())
        status = super().run()
        log.info("master ended")
        return status

    @property
    def going_on(self) -> bool:
        """Whether there are workers, or are to be."""
        return bool(self._workers) or not self._stopping

    @property
    def status(self) -> int:
        """The exit status."""
        return self._status

    def times(self) -> Iterator[float]:
        """When patience with somebody ends, or somebody is to be started or looked at."""
        for worker in self._workers.values():
            yield self._deadline(worker)
        # Often enough to find out that this process stood still, before a worker seems stuck.
        yield time.monotonic() + self._beat_interval
        for slot in self._slots if not self._stopping else ():
            if slot.current is None or (slot.retiring and slot.successor is None):
                yield slot.not_before
        if self._memory_limit is not None:
            yield self._next_memory
        if self._notifier.watchdog_interval is not None:
            yield self._next_watchdog

    def on_suspended(self, seconds: float) -> None:
        """Put deadlines off: a worker that stood still as well is not stuck."""
        for worker in self._workers.values():
            worker.deadline += seconds
            worker.child.heard += seconds

    # ---- starting ------------------------------------------------------------------------

    def adjust(self, now: float) -> None:
        """Start whom there should be, and see who is stuck or has grown too large."""
        self._check(now)
        if self._stopping:
            return
        for slot in self._slots:
            if slot.not_before > now:
                continue
            if slot.current is None:
                slot.current = self._start(slot)
            elif slot.retiring and slot.successor is None:
                slot.successor = self._start(slot)
        if self._rolling and not any(slot.successor for slot in self._slots):
            self._roll_on()

    def _roll_on(self) -> None:
        for slot in self._slots:
            if slot.current is not None and slot.current.generation < self._generation:
                slot.successor = self._start(slot)
                return
        self._end_rolling("rolling restart: all workers are new")

    def _end_rolling(self, text: str, level: int = logging.INFO) -> None:
        self._rolling = False
        log.log(level, text)
        self._notifier.ready(text)

    def _start(self, slot: _Slot) -> _Worker | None:
        deadline = time.monotonic() + self._start_timeout
        try:
            load = self._loads.take()
            try:
                child = self.fork(
                    self._run_worker,
                    index=slot.index,
                    beat_interval=self._beat_interval,
                    load=load,
                    title=f"{self._title}: worker {slot.index}",
                )
            except BaseException:
                self._loads.release(load)
                raise
        except OSError as error:
            self._handle_failure(slot, f"no worker can be started: {error.strerror}")
            return None
        worker = _Worker(child, slot, load, self._generation, deadline)
        self._workers[child.pid] = worker
        log.info("%s started", worker)
        return worker

    # ---- what workers say ----------------------------------------------------------------

    def on_word(self, child: Child, word: str, text: str) -> None:
        """A worker has said how it goes."""
        worker = self._workers[child.pid]
        if word == "ready":
            self._handle_ready(worker)
        elif word == "fail":
            worker.failure = text
        elif word == "retire":
            self._retire(worker, text)

    def _handle_ready(self, worker: _Worker) -> None:
        if worker.state is not _State.STARTING:
            return
        worker.state = _State.READY
        worker.ready_since = time.monotonic()
        log.info("%s is ready", worker)
        slot = worker.slot
        if slot.successor is worker:
            old, slot.current, slot.successor = slot.current, worker, None
            slot.retiring = False
            if old is not None:
                if self._is_steady(old):
                    slot.failures = 0
                self._stop(old, signal.SIGTERM, self._graceful_timeout + _KILL_MARGIN)
        if not self._started and all(
            slot.current is not None and slot.current.state is _State.READY for slot in self._slots
        ):
            self._started = True
            if self._on_ready is not None:
                self._on_ready()
            self._notifier.ready("serving")
        self._tell_status()

    def _retire(self, worker: _Worker, reason: str) -> None:
        slot = worker.slot
        if slot.current is worker and worker.state is _State.READY and not slot.retiring:
            log.info("%s is to be replaced: %s", worker, reason)
            slot.retiring = True

    # ---- ends ----------------------------------------------------------------------------

    def on_end(self, child: Child, status: int) -> None:
        """A worker has ended: take leave of it, or see to its replacement."""
        worker = self._workers.pop(child.pid)
        self._loads.release(worker.load)
        if self._on_worker_ended is not None:
            self._on_worker_ended(worker.load)
        slot = worker.slot
        how = describe_status(status)
        expected = slot.current is not worker and slot.successor is not worker
        if self._stopping or expected:
            level = logging.WARNING if worker.state is _State.KILLED else logging.INFO
            log.log(level, "%s ended (%s)", worker, how)
            return
        failure = worker.failure
        if failure is None and os.waitstatus_to_exitcode(status) == START_FAILED:
            failure = "the application could not be started"
        log.error("%s ended unexpectedly (%s)%s", worker, how, f": {failure}" if failure else "")
        if slot.successor is worker:
            slot.successor = None
            self._handle_failure(slot, failure or how)
            return
        slot.current, slot.successor = slot.successor, None
        slot.retiring = False
        if failure is not None and not self._started:
            self._give_up(START_FAILED, failure)
        elif self._is_steady(worker):
            slot.failures = 0
            slot.not_before = 0.0
        else:
            self._put_off(slot, failure or how)
        self._tell_status()

    def _handle_failure(self, slot: _Slot, reason: str) -> None:
        """Nobody can be started in this place."""
        if self._rolling:
            self._end_rolling(
                f"rolling restart given up, the old workers stay: {reason}", logging.ERROR
            )
        if slot.current is None or slot.retiring:
            self._put_off(slot, reason)

    def _put_off(self, slot: _Slot, reason: str) -> None:
        """Wait before the next worker is started in this place; perhaps give up."""
        slot.failures += 1
        delay = self._backoff.delay(slot.failures)
        if delay is None:
            if not any(map(self._is_steady, self._serving())) and slot.current is None:
                self._give_up(GAVE_UP, f"workers died {slot.failures} times in a row: {reason}")
                return
            delay = self._backoff.longest
        slot.not_before = time.monotonic() + delay
        log.warning("worker %d is started again in %.1f seconds", slot.index, delay)

    def _give_up(self, status: int, reason: str) -> None:
        if not self._stopping:
            log.critical("giving up: %s", reason)
            self._status = status
            self._begin_stop(signal.SIGTERM, self._graceful_timeout + _KILL_MARGIN)

    def _is_steady(self, worker: _Worker) -> bool:
        return time.monotonic() - worker.ready_since >= self._steady

    def _serving(self) -> Iterator[_Worker]:
        for slot in self._slots:
            if slot.current is not None and slot.current.state is _State.READY:
                yield slot.current

    def _stop(self, worker: _Worker, number: int, timeout: float) -> None:
        if worker.state in (_State.ABORTED, _State.KILLED):
            return
        worker.state = _State.STOPPING
        worker.deadline = time.monotonic() + timeout
        worker.child.send_signal(number)

    def _begin_stop(self, number: int, timeout: float) -> None:
        """Stop all workers, and end when they have ended."""
        if not self._stopping:
            self._stopping = True
            self._notifier.stopping()
            for listener in self._listeners:
                listener.close()
        for worker in list(self._workers.values()):
            worker.child.tell(SERVE_QUEUE)
            self._stop(worker, number, timeout)

    def _kill(self, worker: _Worker) -> None:
        worker.state = _State.KILLED
        worker.deadline = math.inf
        worker.child.send_signal(signal.SIGKILL)

    # ---- watching ------------------------------------------------------------------------

    def _check(self, now: float) -> None:
        for worker in list(self._workers.values()):
            if self._deadline(worker) <= now:
                self._lose_patience(worker, now)
        if self._memory_limit is not None and self._next_memory <= now:
            self._next_memory = now + _MEMORY_INTERVAL
            for worker in filter(self._is_steady, list(self._serving())):
                used = worker.child.memory()
                if used is not None and used > self._memory_limit:
                    self._retire(
                        worker,
                        f"it takes {used / 2**20:.0f} MiB of memory, "
                        f"and may take {self._memory_limit / 2**20:.0f}",
                    )
        interval = self._notifier.watchdog_interval
        if interval is not None and self._next_watchdog <= now:
            self._next_watchdog = now + interval
            self._notifier.watchdog()

    def _deadline(self, worker: _Worker) -> float:
        if worker.state is _State.READY:
            return worker.child.heard + self._health_timeout
        return worker.deadline

    def _lose_patience(self, worker: _Worker, now: float) -> None:
        if worker.state in (_State.STARTING, _State.READY):
            silent = now - worker.child.heard
            log.error(
                "%s is stuck: %s for %.1f seconds; it writes its traceback and is replaced",
                worker,
                "it has not become ready" if worker.state is _State.STARTING else "no sign of life",
                silent,
            )
            worker.state = _State.ABORTED
            worker.deadline = now + _ABORT_TIMEOUT
            worker.child.send_signal(signal.SIGABRT)
        else:
            log.warning("%s does not end, and is killed", worker)
            self._kill(worker)

    # ---- signals -------------------------------------------------------------------------

    def on_signal(self, number: int) -> None:
        """Do as the table says."""
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            self._handle_stop_signal(number)
        elif self._stopping:
            return
        elif number == signal.SIGHUP:
            self._generation += 1
            if not self._rolling:
                self._rolling = True
                self._notifier.reloading()
        elif number == signal.SIGTTIN:
            self._slots.append(_Slot(len(self._slots)))
        elif number == signal.SIGTTOU:
            self._remove_slot()
        else:
            if number == signal.SIGUSR1 and self._on_reopen_logs is not None:
                self._on_reopen_logs()
            for worker in self._workers.values():
                worker.child.send_signal(number)

    def _handle_stop_signal(self, number: int) -> None:
        if number == signal.SIGQUIT:
            self._begin_stop(signal.SIGQUIT, _QUICK_TIMEOUT)
        elif not self._stopping:
            self._begin_stop(signal.SIGTERM, self._graceful_timeout + _KILL_MARGIN)
        elif number == signal.SIGINT and self._interrupted:
            for worker in self._workers.values():
                self._kill(worker)
        self._interrupted = self._interrupted or number == signal.SIGINT

    def _remove_slot(self) -> None:
        if len(self._slots) == 1:
            log.warning("one worker is left, and it stays")
            return
        slot = self._slots.pop()
        workers = (slot.current, slot.successor)
        slot.current = slot.successor = None
        for worker in workers:
            if worker is not None:
                self._stop(worker, signal.SIGTERM, self._graceful_timeout + _KILL_MARGIN)
        self._tell_status()

    def _tell_status(self) -> None:
        if self._started and not self._stopping:
            serving = sum(1 for _ in self._serving())
            self._notifier.status(f"{serving} of {len(self._slots)} workers serve")
