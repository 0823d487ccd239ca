"""The sub-reactors of a main reactor, and the choice among them."""

import os
import zlib
from collections.abc import Callable
from typing import Literal

from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.event_loop_thread import EventLoopThread

Choice = Literal["round-robin", "least-connections", "peer-hash"]


class ThreadPool:
    """Threads that each run a loop, for the connections that a main loop accepts.

    - ``loop``: the main loop, which serves by itself when there are no threads;
    - ``threads``: how many; 0 makes a single reactor; ``"auto"`` two for each processor, as the
      course's exercise asks (chapter 33);
    - ``choice``: how `next_loop` chooses: ``"round-robin"`` by turns, ``"least-connections"`` the
      one with the least `load`, ``"peer-hash"`` always the same one for the same peer;
    - ``dispatcher``: of the threads' loops;
    - ``load``: says how many connections a loop has; for ``"least-connections"``.

    A `SystemExit` that a callback raises in one of them leaves the main loop's `run`, as it would
    if there were no threads.  All methods belong to the main loop's thread.
    """

    def __init__(
        self,
        loop: EventLoop,
        threads: int | Literal["auto"] = 0,
        *,
        choice: Choice = "round-robin",
        dispatcher: str = "auto",
        load: Callable[[EventLoop], int] | None = None,
    ) -> None:
        if threads == "auto":
            threads = 2 * (os.cpu_count() or 1)
        if not isinstance(threads, int) or threads < 0:
            raise ValueError(f"the number of threads is 0 or more, or 'auto', not {threads!r}")
        choosers = {
            "round-robin": self._by_turns,
            "least-connections": self._least_loaded,
            "peer-hash": self._by_peer,
        }
        if choice not in choosers:
            raise ValueError(
                f"no way {choice!r} to choose a loop; there are: {', '.join(choosers)}"
            )
        if choice == "least-connections" and load is None:
            raise ValueError("least-connections needs to be told the load of a loop")
        self._main_loop = loop
        self._count = threads
        self._dispatcher = dispatcher
        self._load = load
        self._choose = choosers[choice]
        self._turn = 0
        self._threads: list[EventLoopThread] = []
        self.loops: list[EventLoop] = [loop]
        """The loops that serve connections: the threads', or the main one if there are none."""

    def start(self) -> None:
        """Start all threads and wait until each loop is ready.

        If one fails, those before it are stopped again and its exception is raised.
        """
        self._main_loop.assert_in_loop_thread()
        if self._threads:
            raise RuntimeError("the thread pool has been started already")
        loops = []
        try:
            for number in range(1, self._count + 1):
                thread = EventLoopThread(f"Thread-{number}", self._dispatcher, self._pass_on)
                loops.append(thread.start())
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise
        if loops:
            self.loops = loops

    def next_loop(self, peer: object = None) -> EventLoop:
        """The loop that is to serve the next connection, which comes from ``peer``."""
        if len(self.loops) == 1:
            return self.loops[0]
        return self._choose(peer)

    def stop(self, timeout: float | None = None) -> bool:
        """Stop all loops and wait for their threads, up to ``timeout`` seconds each.

        Returns whether all have ended.
        """
        threads, self._threads = self._threads, []
        self.loops = [self._main_loop]
        for thread in threads:
            thread.request_stop()
        ended = [thread.stop(timeout) for thread in threads]  # every one is waited for
        return all(ended)

    def _pass_on(self, error: BaseException) -> None:
        """In a sub-reactor's thread: whoever wants to end the program ends the main loop's run."""
        self._main_loop.queue_in_loop(_raise, error)

    def _by_turns(self, peer: object) -> EventLoop:
        loop = self.loops[self._turn % len(self.loops)]
        self._turn += 1
        return loop

    def _least_loaded(self, peer: object) -> EventLoop:
        assert self._load is not None
        return min(self.loops, key=self._load)

    def _by_peer(self, peer: object) -> EventLoop:
        return self.loops[zlib.crc32(repr(peer).encode()) % len(self.loops)]


def _raise(error: BaseException) -> None:
    raise error
