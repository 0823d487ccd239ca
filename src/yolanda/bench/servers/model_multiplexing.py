"""One thread that waits for all clients at once, ``MODEL PORT SOME MUCH WAIT``.

The loops of chapters 20, 21 and 23 at their barest: no callbacks, no buffers, no time-outs.  What
they differ in is the call that they wait in, and nothing else.
"""

import errno
import select
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from yolanda.bench.servers.model_work import SIZE, Work, parse
from yolanda.programs.blocking import explain, tcp_server_listen

BACKLOG = 4096
"""Connections that may wait in the kernel, if its own limit (net.core.somaxconn) allows it."""
MOST_FOR_SELECT = 1024
"""A descriptor must be below it: select's sets have so many bits.  (man 2 select, FD_SETSIZE)"""


class Waiter(Protocol):
    """Tells which of many descriptors can be read."""

    def add(self, fd: int) -> None:
        """Watch a descriptor; raises `ValueError` for one that cannot be watched."""

    def remove(self, fd: int) -> None:
        """Watch it no longer."""

    def wait(self) -> Iterable[int]:
        """Wait until some can be read."""


class SelectWaiter:
    """The set is given to the kernel anew for each wait, and so is the answer to us."""

    def __init__(self) -> None:
        self._all_reads: list[int] = []

    def add(self, fd: int) -> None:
        """See `Waiter`."""
        if fd >= MOST_FOR_SELECT:
            raise ValueError(f"select watches no descriptor above {MOST_FOR_SELECT - 1}")
        self._all_reads.append(fd)

    def remove(self, fd: int) -> None:
        """See `Waiter`."""
        self._all_reads.remove(fd)

    def wait(self) -> Iterable[int]:
        """See `Waiter`."""
        return select.select(self._all_reads, (), ())[0]


class PollWaiter:
    """Any number of descriptors, but still given anew for each wait."""

    def __init__(self) -> None:
        self._event_set = select.poll()

    def add(self, fd: int) -> None:
        """See `Waiter`."""
        self._event_set.register(fd, select.POLLIN)

    def remove(self, fd: int) -> None:
        """See `Waiter`."""
        self._event_set.unregister(fd)

    def wait(self) -> Iterable[int]:
        """See `Waiter`."""
        return [fd for fd, _ in self._event_set.poll()]


class EpollWaiter:
    """The kernel keeps the set, and tells of those alone that have something to say."""

    def __init__(self) -> None:
        self._efd = select.epoll()

    def add(self, fd: int) -> None:
        """See `Waiter`."""
        self._efd.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """See `Waiter`."""
        self._efd.unregister(fd)

    def wait(self) -> Iterable[int]:
        """See `Waiter`."""
        return [fd for fd, _ in self._efd.poll()]


class Server:
    """The loop around a `Waiter`."""

    def __init__(self, listener: socket.socket, waiter: Waiter, work: Work) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._waiter = waiter
        self._work = work
        self._clients: dict[int, socket.socket] = {}
        self._pieces: dict[int, bytes] = {}
        self._full = False
        waiter.add(listener.fileno())

    def run(self) -> None:
        """Serve for ever."""
        listening = self._listener.fileno()
        while True:
            for fd in self._waiter.wait():
                if fd == listening:
                    self._accept_all()
                else:
                    self._serve(fd)

    def _accept_all(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._clients:
                    raise
                print(f"no client can be accepted: {explain(error)}", flush=True)
                self._full = True  # until one leaves; it would be readable again and again
                self._waiter.remove(self._listener.fileno())
                return
            fd = connection.fileno()
            try:
                self._waiter.add(fd)
            except ValueError as error:
                print(error, flush=True)
                connection.close()
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[fd] = connection

    def _serve(self, fd: int) -> None:
        connection = self._clients[fd]
        pieces = self._pieces
        try:
            if fd in pieces:
                message = pieces.pop(fd)
                message += connection.recv(SIZE - len(message))
            else:
                message = connection.recv(SIZE)
            if len(message) == SIZE:
                # A client that leaves so many answers unread that one more does not fit is closed.
                alive = connection.send(self._work(message)) == SIZE
            else:
                alive = bool(message)
                pieces[fd] = message
        except OSError:
            alive = False
        if not alive:
            self._close(fd)

    def _close(self, fd: int) -> None:
        self._waiter.remove(fd)
        self._clients.pop(fd).close()
        self._pieces.pop(fd, None)
        if self._full:
            self._full = False
            self._waiter.add(self._listener.fileno())


MODELS: dict[str, Callable[[], Waiter]] = {
    "select": SelectWaiter,
    "poll": PollWaiter,
    "epoll": EpollWaiter,
}


def main() -> None:
    """Serve until a signal ends it."""
    model, port, work = parse(list(MODELS), __doc__.splitlines()[0])
    with tcp_server_listen(port=port, backlog=BACKLOG) as listener:
        Server(listener, MODELS[model](), work).run()


if __name__ == "__main__":
    main()
