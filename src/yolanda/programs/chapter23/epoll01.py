"""Turn letters by 13 for many clients with epoll, told only of what changes.

Chapter 23.  Edge-triggered: an event is told once, so whoever is told must accept, read or write
until EAGAIN, or nobody will ever remind him.  Watch how ``epoll_wait`` wakes for each event once.

\b
    $ yolanda run epoll01
    $ telnet 127.0.0.1 43211          (in two other terminals)
"""

import errno
import select
import socket

import click

from yolanda.programs.blocking import endpoint, explain, rot13, run_program, tcp_server_listen

TURN = 128
"""Pieces that a client may send before it is another's turn."""


@click.command("epoll01", help=__doc__)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Listen, and serve whoever comes."""
    if not hasattr(select, "epoll"):
        raise click.ClickException("epoll is Linux's own, this system has none")
    with tcp_server_listen(host, port) as listener, select.epoll() as efd:
        print(f"listening on {endpoint(listener.getsockname())}")
        EpollServer(listener, efd).run()


class Client:
    """A connection, and the bytes that its socket did not take yet."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.waiting = b""
        self.watched_for = select.EPOLLIN

    def answer(self) -> bool:
        """Send what waits, or read and answer; return False at the end of the stream.

        Raises `BlockingIOError` when it can do neither for now.
        """
        if not self.waiting:
            self.waiting = rot13(self.connection.recv(512))
            if not self.waiting:
                return False
        self.waiting = self.waiting[self.connection.send(self.waiting) :]
        return True


class EpollServer:
    """The course's loop: the kernel keeps the list of what to watch, ``clients`` who it is."""

    def __init__(self, listener: socket.socket, efd: "select.epoll") -> None:
        listener.setblocking(False)
        self.listener = listener
        self.efd = efd
        self.clients: dict[int, Client] = {}
        self.full = False
        self.efd.register(listener, select.EPOLLIN | select.EPOLLET)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            events = self.efd.poll()
            print("epoll_wait wakeup")
            for fd, _ in events:
                if fd == self.listener.fileno():
                    self.accept_all()
                else:
                    print(f"get event on socket fd == {fd}")
                    self.serve(fd)

    def accept_all(self) -> None:
        """Accept until there is nobody left: one edge may stand for many connections."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self.clients:
                    raise
                print(f"accept failed: {explain(error)}")
                self.full = True  # until one leaves
                return
            fd = connection.fileno()
            self.clients[fd] = Client(connection)
            self.efd.register(fd, select.EPOLLIN | select.EPOLLET)

    def serve(self, fd: int) -> None:
        """Read and answer until EAGAIN: there is no second event for what is left."""
        client = self.clients[fd]
        turn_is_over = True
        try:
            alive = all(client.answer() for _ in range(TURN))
        except BlockingIOError:
            alive, turn_is_over = True, False
        except OSError as error:
            print(f"socket fd == {fd}: {explain(error)}")
            alive = False
        if not alive:
            self.close(fd)
            return
        wanted = select.EPOLLOUT if client.waiting else select.EPOLLIN
        if turn_is_over or wanted != client.watched_for:
            # To modify is to ask anew: what is there already is told by the next epoll_wait.  So a
            # client that never stops sending has its turn like all others, and no edge is lost.
            client.watched_for = wanted
            self.efd.modify(fd, wanted | select.EPOLLET)

    def close(self, fd: int) -> None:
        """Forget a client; closing its descriptor takes it out of epoll."""
        self.clients.pop(fd).connection.close()
        if self.full:  # whoever waits to be accepted was told of once, and that is over
            self.full = False
            self.efd.modify(self.listener, select.EPOLLIN | select.EPOLLET)


if __name__ == "__main__":
    run_program(main)
