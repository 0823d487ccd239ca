"""Threads for what takes long, so that a loop goes on serving meanwhile."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from yolanda.transport.tcp_connection import TcpConnection

log = logging.getLogger("yolanda.transport")

JOBS_A_CONNECTION = 32
"""Jobs of one connection that may wait or run before nothing more is read from it."""

Then = Callable[[TcpConnection, Any], object]


class WorkerPool:
    """Runs decode, compute and encode outside the loop; the results come back to it in order.

    - ``threads``: how many jobs run at once;
    - ``jobs_a_connection``: how many one connection may have before its reading is paused, so that
      a fast client cannot fill the memory.

    (Course, chapters 27 and 28: reactor and worker threads.)
    """

    def __init__(self, threads: int, *, jobs_a_connection: int = JOBS_A_CONNECTION) -> None:
        if threads < 1:
            raise ValueError(f"a worker pool has 1 thread or more, not {threads}")
        if jobs_a_connection < 1:
            raise ValueError(f"a connection needs 1 job or more, not {jobs_a_connection}")
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="Worker")
        self._limit = jobs_a_connection

    def submit(
        self,
        connection: TcpConnection,
        function: Callable[..., Any],
        *args: object,
        then: Then = TcpConnection.send,
    ) -> None:
        """Call ``function(*args)`` in a worker, and ``then(connection, result)`` in the loop.

        The results of one connection arrive in the order of their jobs, whichever is done first;
        by default they are sent.  If the function raises, that is logged and the connection
        aborted.  If the connection closes meanwhile, the results are dropped.  In the thread of
        the connection's loop.
        """
        connection.loop.assert_in_loop_thread()
        future = self._executor.submit(function, *args)
        if connection.jobs is None:
            connection.jobs = deque()
        connection.jobs.append((future, then))
        if len(connection.jobs) == self._limit:
            connection.hold_reading(True)
        future.add_done_callback(lambda _: self._announce(connection))

    def close(self, wait: bool = True) -> None:
        """Start no more jobs, and ``wait`` for those that run.  Any thread."""
        self._executor.shutdown(wait, cancel_futures=True)

    def _announce(self, connection: TcpConnection) -> None:
        """In the worker's thread."""
        try:
            connection.loop.queue_in_loop(self._deliver, connection)
        except RuntimeError:
            log.debug("%s: a result came after its loop was closed", connection.name)

    def _deliver(self, connection: TcpConnection) -> None:
        """Pass on what is done, up to the first that is not."""
        jobs = connection.jobs
        assert jobs is not None
        was_full = len(jobs) >= self._limit
        while jobs and jobs[0][0].done():
            future, then = jobs.popleft()
            if not connection.closed:
                connection.guard(_finish, connection, future, then)
        if was_full and len(jobs) < self._limit:
            connection.hold_reading(False)
        if not jobs:
            connection.finish_jobs()


def _finish(connection: TcpConnection, future: Future[Any], then: Then) -> None:
    then(connection, future.result())
