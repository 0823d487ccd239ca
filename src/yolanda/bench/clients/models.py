"""The client of the comparison of I/O models; a `probe`.

One thread with epoll, and a closed loop: a connection asks again when it was answered.  So that
many connections are not the same as much to do at once, a limit can be set to the messages that are
under way: then those that were answered stand in a queue for their next turn.  Between two jobs
nothing is under way, so that the server's accounts can be read.
"""

import select
import socket
import struct
import time
from array import array
from collections import deque
from typing import Any

from yolanda.bench.clients.percentiles import percentiles
from yolanda.bench.probe import serve
from yolanda.bench.servers.model_work import NONE, SIZE, message
from yolanda.programs.blocking import explain

CONNECT_PATIENCE = 2.0
"""Seconds that one connection may take; the kernel's second attempt comes after one."""
EVENTS = 1024
"""Taken by one wait."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 seconds: no TIME_WAIT is left behind to fill the table for who comes next."""


class Client:
    """Many connections to one server, in one thread.

    A connection is *under way* from its question to the answer, then *ready* for the next one.  It
    is neither if it was not answered in time.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._efd = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._sent_at: dict[int, float] = {}  # of those under way
        self._ready: deque[int] = deque()  # those whose answer is the longest ago first
        self._pieces: dict[int, bytes] = {}  # of answers that came in more than one
        self._attempts = 0
        self._closed = 0

    def state(self) -> dict[str, int]:
        """Count the connections: tried, open, closed by the server, and those that it serves."""
        return {
            "attempts": self._attempts,
            "open": len(self._connections),
            "closed": self._closed,
            "served": len(self._ready),
        }

    def connect(self, count: int, patience: float) -> dict[str, Any]:
        """Open ``count`` connections more, and wait until each was answered.

        - ``patience``: seconds without any answer after which nobody waits any longer.  Whoever is
          not answered asks nothing more, unless the answer comes one day.

        Returns how long it took until the last answer, and why fewer were opened than asked for.
        """
        asks = message(NONE)
        begin = last = time.perf_counter()
        problem = ""
        before = len(self._ready)
        for _ in range(count):
            self._attempts += 1
            try:
                fd = self._open()
            except OSError as error:
                problem = explain(error)
                break
            self._ask(fd, asks)
        while self._sent_at and (events := self._efd.poll(patience, EVENTS)):
            for fd, _ in events:
                if self._receive(fd, asks) is not None:
                    last = time.perf_counter()
        self._sent_at.clear()
        answered = len(self._ready) - before
        taken = {"seconds": last - begin, "answered": answered, "problem": problem}
        return taken | self.state()

    def load(self, kind: str, seconds: float, in_flight: int, patience: float) -> dict[str, Any]:
        """Keep up to ``in_flight`` messages under way for so many seconds, then await the rest.

        - ``kind``: of work, see `model_work.KINDS`;
        - ``patience``: seconds without any answer that end it.

        Returns the messages answered within that time and after it, the percentiles of all round
        trips, and the processor time that it took.
        """
        asks = message(kind)
        sent_at, ready, poll = self._sent_at, self._ready, self._efd.poll
        trips = array("d")
        at = begin = time.perf_counter()
        cpu = time.process_time()
        end = begin + seconds
        while ready and len(sent_at) < in_flight:
            self._ask(ready.popleft(), asks)
        while at < end and sent_at and (events := poll(patience, EVENTS)):
            for fd, _ in events:
                trip = self._receive(fd, asks)
                if trip is not None:
                    trips.append(trip)
                while ready and len(sent_at) < in_flight:
                    self._ask(ready.popleft(), asks)
            at = time.perf_counter()
        window, busy, in_time = at - begin, time.process_time() - cpu, len(trips)
        while sent_at and (events := poll(patience, EVENTS)):
            for fd, _ in events:
                trip = self._receive(fd, asks)
                if trip is not None:
                    trips.append(trip)
        figures = {
            "messages": in_time,
            "seconds": window,
            "busy": busy / window if window else 0.0,
            "late": len(trips) - in_time,
            "elapsed": time.perf_counter() - begin,
            "cpu": time.process_time() - cpu,
            "unanswered": len(sent_at),
            "trips": percentiles(trips),
        }
        sent_at.clear()
        return figures | self.state()

    def close(self) -> None:
        """Reset every connection."""
        for connection in self._connections.values():
            connection.close()
        self._efd.close()

    def _open(self) -> int:
        connection = socket.socket()
        try:
            connection.settimeout(CONNECT_PATIENCE)
            connection.connect(self._server)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.setblocking(False)
            fd = connection.fileno()
            self._efd.register(fd, select.EPOLLIN)
        except OSError:
            connection.close()
            raise
        self._connections[fd] = connection
        return fd

    def _ask(self, fd: int, asks: bytes) -> None:
        self._sent_at[fd] = time.perf_counter()
        try:
            self._connections[fd].send(asks)  # the one under way, and so short that it fits
        except OSError:
            self._lose(fd)

    def _receive(self, fd: int, asks: bytes) -> float | None:
        """Read; return how long the round trip took, in seconds, if that is the end of one."""
        try:
            answer = self._connections[fd].recv(SIZE)
        except BlockingIOError:
            return None
        except OSError:
            answer = b""
        if answer == asks and fd in self._sent_at:
            self._ready.append(fd)
            return time.perf_counter() - self._sent_at.pop(fd)
        if not answer:
            self._lose(fd)
            return None
        answer = self._pieces.pop(fd, b"") + answer
        if len(answer) < SIZE:
            self._pieces[fd] = answer
            return None
        self._ready.append(fd)
        if fd not in self._sent_at:  # to a question whose answer nobody awaited any more
            return None
        if answer != asks:
            raise RuntimeError(f"{asks!r} was answered with {answer!r}")
        return time.perf_counter() - self._sent_at.pop(fd)

    def _lose(self, fd: int) -> None:
        self._closed += 1
        self._connections.pop(fd).close()
        self._sent_at.pop(fd, None)
        self._pieces.pop(fd, None)
        if fd in self._ready:
            self._ready.remove(fd)


def main() -> None:
    """Be the probe; it is to ``meet`` a server first."""
    clients: list[Client] = []

    def meet(port: int) -> dict[str, Any]:
        clients.append(Client(port))
        return {}

    def connect(**wanted: Any) -> dict[str, Any]:
        return clients[-1].connect(**wanted)

    def load(**wanted: Any) -> dict[str, Any]:
        return clients[-1].load(**wanted)

    serve({"meet": meet, "connect": connect, "load": load})


if __name__ == "__main__":
    main()
