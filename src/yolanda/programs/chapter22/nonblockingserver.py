"""Turn letters by 13 for many clients with select, and block nowhere.

Chapter 22.  Every socket is non-blocking, the listening one too: what cannot be done now is tried
again when ``select`` says so.  With ``--blocking-accept`` see what happens if the connection that
select promised has gone before ``accept``: ``--taken 2`` lets another process take the second one.

\b
    $ yolanda run nonblockingserver --pause 0
    $ telnet 127.0.0.1 43211                     (in another terminal)
\b
    $ yolanda run nonblockingserver --blocking-accept
    $ yolanda run nonblockingclient 127.0.0.1    (connects and resets while the server pauses)
"""

import errno
import os
import select
import socket
import time

import click

from yolanda.programs.blocking import endpoint, explain, rot13, run_program, tcp_server_listen

MAX_WAITING = 65536
"""Bytes held for a client before no more are read from it."""


@click.command("nonblockingserver", help=__doc__)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between select and accept, in which a client may change its mind.",
)
@click.option("--blocking-accept", is_flag=True, help="Leave the listening socket blocking.")
@click.option(
    "--taken",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Let another process take the Nth connection during the pause.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 1000),
    default=128,
    show_default=True,
    help="How many to serve at once; select itself ends at descriptor 1023.",
)
@click.option(
    "--sndbuf",
    type=click.IntRange(0),
    default=0,
    metavar="BYTES",
    help="SO_SNDBUF of each connection; 0: what the kernel thinks best.",
)
def main(
    host: str, port: int, pause: float, blocking_accept: bool, taken: int, clients: int, sndbuf: int
) -> None:
    """Listen, and wait in select alone."""
    with tcp_server_listen(host, port) as listener:
        listener.setblocking(blocking_accept)
        if sndbuf:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)  # is inherited
        print(f"listening on {endpoint(listener.getsockname())}")
        SelectServer(listener, pause, taken, clients).run()


class Buffer:
    """What a client sent, turned already, until its socket takes it back."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.readable = False
        """Whether a line is complete, so that it may be sent back."""
        self.ended = False
        """Whether the client has sent all that it wants to."""

    @property
    def wants_more(self) -> bool:
        """Whether to read on: not while a client that does not read lets its answers pile up."""
        return not self.ended and len(self.data) < MAX_WAITING

    def on_socket_read(self, connection: socket.socket) -> None:
        """Read until nothing is left for now."""
        while self.wants_more:
            try:
                received = connection.recv(1024)
            except BlockingIOError:
                return
            self.data += rot13(received)
            self.ended = not received
            if self.ended or b"\n" in received or len(self.data) >= MAX_WAITING:
                self.readable = True

    def on_socket_write(self, connection: socket.socket) -> None:
        """Send what the kernel takes; the rest waits until the socket is writable again."""
        while self.data:
            try:
                del self.data[: connection.send(self.data)]
            except BlockingIOError:
                fd = connection.fileno()
                print(f"send on socket fd == {fd} would block, {len(self.data)} bytes wait")
                return
        self.readable = False


class SelectServer:
    """The course's loop: a buffer for each connection, and one ``select`` for all."""

    def __init__(self, listener: socket.socket, pause: float, taken: int, clients: int) -> None:
        self.listener = listener
        self.pause = pause
        self.taken = taken
        self.most = clients
        self.buffers: dict[socket.socket, Buffer] = {}
        self.full = False

    def run(self) -> None:
        """Serve for ever."""
        while True:
            readset = [c for c, buffer in self.buffers.items() if buffer.wants_more]
            writeset = [c for c, buffer in self.buffers.items() if buffer.readable]
            if not self.full:
                readset.append(self.listener)
            readable, writable, _ = select.select(readset, writeset, [])
            if self.listener in readable:
                readable.remove(self.listener)
                self.accept()
            for connection in {*readable, *writable}:
                self.serve(connection, connection in readable, connection in writable)

    def accept(self) -> None:
        """Take a connection, some time after select has said that there is one."""
        print("listening socket readable")
        self.taken -= 1
        if self.taken == 0:
            let_another_process_accept(self.listener)
        time.sleep(self.pause)
        try:
            connection, peer = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError) as error:
            print(f"accept: {explain(error)}")  # no harm: back to select
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self.buffers:
                raise
            print(f"too many connections: {explain(error)}")
            self.full = True  # until one ends: select would come back with it at once
            return
        print(f"accepted {endpoint(peer)} on socket fd == {connection.fileno()}")
        if len(self.buffers) < self.most:
            connection.setblocking(False)
            self.buffers[connection] = Buffer()
        else:
            print("too many connections")
            connection.close()

    def serve(self, connection: socket.socket, readable: bool, writable: bool) -> None:
        """Read, write, or both; close when all is answered, or after an error."""
        buffer = self.buffers[connection]
        try:
            if readable:
                buffer.on_socket_read(connection)
            if writable:
                buffer.on_socket_write(connection)
            alive = bool(buffer.data) or not buffer.ended
        except OSError as error:
            print(f"socket fd == {connection.fileno()}: {explain(error)}")
            alive = False
        if not alive:
            print(f"closed socket fd == {connection.fileno()}")
            del self.buffers[connection]
            connection.close()
            self.full = False


def let_another_process_accept(listener: socket.socket) -> None:
    """Be overtaken, as by a worker process that watches the same listening socket."""
    worker = os.fork()
    if worker == 0:
        try:
            _, peer = listener.accept()
            print(f"another process accepted {endpoint(peer)}", flush=True)
        finally:
            os._exit(0)
    os.waitpid(worker, 0)


if __name__ == "__main__":
    run_program(main)
