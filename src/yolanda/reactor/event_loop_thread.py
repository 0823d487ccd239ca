"""A thread with a loop of its own: a sub-reactor."""

import itertools
import logging
import threading
from collections.abc import Callable

from yolanda.reactor.event_loop import EventLoop

log = logging.getLogger("yolanda.reactor")

_numbers = itertools.count(1)


class EventLoopThread:
    """Runs an `EventLoop` in a thread of its own.  (Course, chapter 33.)

    - ``name``: of the thread and its loop; ``Thread-1`` and so on by default;
    - ``dispatcher``: the name of the loop's dispatcher;
    - ``on_exit(error)``: told, in this thread, of a `SystemExit` or `KeyboardInterrupt` that a
      callback raised; the loop then goes on until it is stopped.  Without it the thread ends.
    """

    def __init__(
        self,
        name: str | None = None,
        dispatcher: str = "auto",
        on_exit: Callable[[BaseException], object] | None = None,
    ) -> None:
        self.name = name or f"Thread-{next(_numbers)}"
        self._dispatcher = dispatcher
        self._on_exit = on_exit
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._ready = threading.Event()
        self._loop: EventLoop | None = None
        self._failure: BaseException | None = None

    def start(self) -> EventLoop:
        """Start the thread, wait until its loop is ready, and return the loop.

        If the loop cannot be made, its exception is raised here, and the thread has ended.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        assert self._loop is not None
        log.debug("event loop thread started, %s", self.name)
        return self._loop

    def request_stop(self) -> None:
        """Tell the loop to stop, without waiting for it.  Any thread."""
        if self._loop is not None:
            self._loop.stop()

    def stop(self, timeout: float | None = None) -> bool:
        """Stop the loop and wait for the thread, up to ``timeout`` seconds.  Any other thread.

        Returns whether it has ended: a callback that blocks for ever keeps it.
        """
        self.request_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            loop = EventLoop(self._dispatcher, name=self.name)
        except BaseException as error:
            self._failure = error
            self._ready.set()
            return
        self._loop = loop
        log.debug("event loop thread init and signal, %s", self.name)
        self._ready.set()
        try:
            self._run_until_stopped(loop)
        finally:
            loop.close()

    def _run_until_stopped(self, loop: EventLoop) -> None:
        while True:
            try:
                loop.run()
            except BaseException as error:
                if self._on_exit is None:
                    raise
                self._on_exit(error)
            else:
                return
