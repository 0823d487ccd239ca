"""Echo to any number of clients from one thread, with poll.

Chapter 21.  Watch that no client waits for another: not for one that says nothing, nor for one that
does not read its answers.  The course's array ends at 128 clients; a ``poll`` object grows.

\b
    $ yolanda run pollserver
    $ telnet 127.0.0.1 43211          (in two other terminals, or more)
"""

import errno
import select
import socket

import click

from yolanda.programs.blocking import MAX_LINE, endpoint, explain, run_program, tcp_server_listen


@click.command("pollserver", help=__doc__)
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
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        PollServer(listener).run()


class Client:
    """A connection, and the bytes that its socket did not take yet."""

    def __init__(self, connection: socket.socket, peer: str) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.peer = peer
        self.waiting = b""

    def echo(self) -> bool:
        """Send what waits, or read and send it back; return False at the end of the stream."""
        if not self.waiting:
            self.waiting = self.connection.recv(MAX_LINE)
            if not self.waiting:
                return False
        self.waiting = self.waiting[self.connection.send(self.waiting) :]
        return True


class PollServer:
    """The course's loop: ``event_set`` knows what to watch, ``clients`` who it is."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.listener = listener
        self.clients: dict[int, Client] = {}
        self.event_set = select.poll()
        self.event_set.register(listener, select.POLLIN)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for fd, revents in self.event_set.poll():
                if fd != self.listener.fileno():
                    self.serve(fd)
                elif revents & select.POLLIN:
                    self.accept()

    def accept(self) -> None:
        """Take the next client in."""
        try:
            connection, address = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone meanwhile
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self.clients:
                raise
            print(f"can not hold so many clients: {explain(error)}")
            # It would be readable until one leaves: look away, instead of asking again and again.
            self.event_set.modify(self.listener, 0)
            return
        fd = connection.fileno()
        self.clients[fd] = Client(connection, endpoint(address))
        self.event_set.register(fd, select.POLLIN)
        print(f"{endpoint(address)} connected, clients: {len(self.clients)}")

    def serve(self, fd: int) -> None:
        """Do what is next for a client: the rest of an answer comes before the next question."""
        client = self.clients[fd]
        try:
            alive = client.echo()
        except BlockingIOError:
            alive = True
        except OSError as error:
            print(f"{client.peer}: {explain(error)}")
            alive = False
        if alive:
            # While it does not read its answers nothing more is read from it, so that neither a
            # blocked write stops all others nor a heap of answers grows.
            self.event_set.modify(fd, select.POLLOUT if client.waiting else select.POLLIN)
        else:
            self.close(fd)

    def close(self, fd: int) -> None:
        """Forget a client; its place is free for the next."""
        self.event_set.unregister(fd)
        client = self.clients.pop(fd)
        client.connection.close()
        self.event_set.modify(self.listener, select.POLLIN)
        print(f"{client.peer} closed, clients: {len(self.clients)}")


if __name__ == "__main__":
    run_program(main)
