"""What a process that serves does at its master's word: beats, signals, a graceful end."""

import logging
import random
import signal
from collections.abc import Callable, Sequence

from yolanda.apps.observation.outlook import Observation
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.reactor.channel import Channel
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer
from yolanda.transport.tcp_server import STOP_TIMEOUT, TcpServer

log = logging.getLogger("yolanda.apps")


class ProcessControl:
    """Binds a serving process to its master, and to the signals that come to it.

    - ``handle``: the worker's; `None` for a process that has no master;
    - ``loop``: the loop in which all below is called; it may live inside another loop;
    - ``stop(timeout)``: stops the service gracefully within so many seconds, or at once with 0;
      it may be called a second time, with 0;
    - ``graceful_timeout``: what the first is given;
    - ``on_reopen_logs()``, ``on_reload_certificates()``: called on SIGUSR1 and SIGUSR2;
    - ``observation``: who is told how the process goes, and to open its logs again; it is closed
      with this;
    - ``drain_delay``: seconds between being told to stop and ``stop``, if the whole service ends.

    SIGTERM stops gracefully, and so does the end of the master; SIGQUIT stops at once.  SIGINT
    comes from the terminal to master and workers alike, so a worker leaves it to the master; a
    process without one stops gracefully, and at once the second time.

    To be made in the main thread, which is the loop's.
    """

    def __init__(
        self,
        handle: WorkerHandle | None,
        loop: EventLoop,
        stop: Callable[[float], object],
        *,
        graceful_timeout: float = STOP_TIMEOUT,
        on_reopen_logs: Callable[[], object] | None = None,
        on_reload_certificates: Callable[[], object] | None = None,
        observation: Observation | None = None,
        drain_delay: float = 0.0,
    ) -> None:
        self.handle = handle
        self.stopping = False
        """Whether the end has begun."""
        self._loop = loop
        self._stop = stop
        self._graceful_timeout = graceful_timeout
        self._observation = observation
        self._drain_delay = drain_delay
        self._delayed: Timer | None = None  # the stop, while it is put off
        self._timer: Timer | None = None
        self._channel: Channel | None = None
        self._signals: list[int] = []
        self._listen_to(signal.SIGTERM, self.stop)
        self._listen_to(signal.SIGQUIT, self.stop_at_once)
        if handle is None:
            self._listen_to(signal.SIGINT, self._handle_interrupt)
        else:
            self._channel = Channel(handle.fileno(), self._handle_master)
            loop.add_channel(self._channel)
        if on_reopen_logs is None and observation is not None:
            on_reopen_logs = observation.reopen_logs
        if on_reopen_logs is not None:
            self._listen_to(signal.SIGUSR1, on_reopen_logs)
        if on_reload_certificates is not None:
            self._listen_to(signal.SIGUSR2, on_reload_certificates)

    def ready(self) -> None:
        """Say that clients are served, and begin to beat."""
        if self._observation is not None:
            self._observation.ready()
        if self.handle is not None:
            self.handle.ready()
            self._timer = self._loop.call_every(self.handle.beat_interval, self.handle.beat)

    def stop(self) -> None:
        """Stop gracefully."""
        if self.stopping:
            return
        self.stopping = True
        if self.handle is not None:
            self.handle.stopping = True
            self.handle.receive()  # what came before the signal
        if self._observation is not None:
            self._observation.ending(self.serves_queue)
        if self._drain_delay and self.serves_queue:
            log.info("not ready any more; going on for %g seconds", self._drain_delay)
            self._delayed = self._loop.call_later(
                self._drain_delay, self._stop, self._graceful_timeout
            )
        else:
            self._stop(self._graceful_timeout)

    def stop_at_once(self) -> None:
        """Stop without waiting for anybody."""
        self.stop()
        if self._delayed is not None:
            self._delayed.cancel()
        self._stop(0)

    @property
    def serves_queue(self) -> bool:
        """Whether connections that wait in the listener's queue are still this process's to serve,
        because no other will."""
        return self.handle is None or self.handle.serves_queue

    def close(self) -> None:
        """Give the signals back, and beat no more."""
        for number in self._signals:
            self._loop.remove_signal_handler(number)
        self._signals.clear()
        for timer in (self._timer, self._delayed):
            if timer is not None:
                timer.cancel()
        if self._observation is not None:
            self._observation.close()
        if self._channel is not None and self._channel.loop is not None:
            self._loop.remove_channel(self._channel)

    def _listen_to(self, number: int, callback: Callable[[], object]) -> None:
        self._loop.add_signal_handler(number, callback)
        self._signals.append(number)

    def _handle_interrupt(self) -> None:
        if self.stopping:
            self.stop_at_once()
        else:
            self.stop()

    def _handle_master(self) -> None:
        assert self.handle is not None
        assert self._channel is not None
        self.handle.receive()
        if self.handle.master_gone:
            self._loop.remove_channel(self._channel)
            log.warning("the master is gone; this worker ends, too")
            self.stop()


class RequestLimit:
    """Has a worker replaced after so many requests, against what leaks in its application.

    - ``retire(reason)``: `WorkerHandle.retire`, or what stops a process that has no master;
    - ``limit``: requests;
    - ``jitter``: up to so many more, chosen at random, so that not all workers go at once.

    All methods belong to the loop's thread.
    """

    def __init__(self, retire: Callable[[str], object], limit: int, jitter: int = 0) -> None:
        if limit < 1 or jitter < 0:
            raise ValueError(f"a worker serves 1 request or more, not {limit} + {jitter}")
        self._retire = retire
        self._limit = limit + random.randint(0, jitter)
        self._left = self._limit

    def count(self) -> None:
        """A request more."""
        self._left -= 1
        if self._left == 0:
            self._retire(f"it has served {self._limit} requests")


def run_servers(
    handle: WorkerHandle | None,
    servers: Sequence[TcpServer],
    *,
    graceful_timeout: float = STOP_TIMEOUT,
    wind_up: Callable[[Callable[[], object]], object] | None = None,
    on_ready: Callable[[], object] | None = None,
    on_reopen_logs: Callable[[], object] | None = None,
    on_reload_certificates: Callable[[], object] | None = None,
    observation: Observation | None = None,
    drain_delay: float = 0.0,
) -> int:
    """Serve with ``servers``, which share a loop, until the master or a signal ends it.

    Returns the exit status.  The options are those of `ProcessControl`, and:

    - ``on_ready()``: called when clients can connect;
    - ``wind_up(done)``: called when the last connection is closed; calls ``done()``, in any thread,
      when nothing is being done for one any more.  That is waited for, but not longer than for the
      connections.
    """
    loop = servers[0].loop
    left = set(servers)

    def stop(timeout: float) -> None:
        for server in list(left):
            if control.serves_queue:
                server.leave_queue = False
            server.stop(timeout, lambda server=server: finish(server))  # type: ignore[misc]
        if wind_up is not None:
            loop.call_later(timeout, loop.stop)

    def finish(server: TcpServer) -> None:
        left.discard(server)
        if left:
            return
        if wind_up is None:
            loop.stop()
        else:
            wind_up(loop.stop)

    control = ProcessControl(
        handle,
        loop,
        stop,
        graceful_timeout=graceful_timeout,
        on_reopen_logs=on_reopen_logs,
        on_reload_certificates=on_reload_certificates,
        observation=observation,
        drain_delay=drain_delay,
    )
    try:
        for server in servers:
            server.start()
        control.ready()
        if on_ready is not None:
            on_ready()
        loop.run()
    finally:
        for server in servers:
            server.close()
        loop.run_once(0)  # for the last hooks of connections that were cut off
        control.close()
    return 0
