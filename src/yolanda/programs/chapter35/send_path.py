"""What becomes of bytes that are sent: at once, or queued until there is room.

Chapter 35.  A connection first tries to send by itself; only what the kernel does not take is
queued (a view of the same bytes, no copy), and only then is the channel watched for writing.  Here
the other end is a socket of the same program that begins to read after a while, slowly.  Watch the
small send, which is done before it returns, and the large one, of which most waits; and with
``--trace`` the events with ``revents=4``, room to write, that come only while something is queued.

There are two kinds of callbacks.  The channel's are the framework's own (``activate channel``);
the connection's hooks, such as ``on_write_completed``, are where an application comes in.

\b
    $ yolanda run send-path
    $ yolanda run send-path --size 10000 --trace
    $ yolanda run send-path --size 10000000 --pause 5
"""

import logging
import socket
import sys

import click

from yolanda import EventLoop, TcpConnection
from yolanda.programs.blocking import run_program

PIECE = 65536


class SlowReader:
    """The other end: reads a piece whenever its timer says so, and closes at the end."""

    def __init__(self, loop: EventLoop, end: socket.socket, pause: float) -> None:
        self.socket = end
        self.socket.setblocking(False)
        self.total = 0
        self.timer = loop.call_every(pause, self.read)

    def read(self) -> None:
        """Read what there is, up to a piece."""
        try:
            data = self.socket.recv(PIECE)
        except BlockingIOError:
            return
        self.total += len(data)
        if not data:
            print(f"the other end has read {self.total} bytes, and then the end of the stream")
            self.timer.cancel()
            self.socket.close()


class Sender:
    """The application: sends a little, then a lot, then is done."""

    def __init__(self, connection: TcpConnection, size: int) -> None:
        self.connection = connection
        self.sizes = [100, size]
        connection.on_write_completed = self.on_write_completed
        connection.on_connection_closed = self.on_connection_closed
        connection.on_high_water = self.on_high_water

    def send_next(self) -> None:
        """Send, and look at what is left in the queue when `send` has returned."""
        size = self.sizes.pop(0)
        self.connection.send(bytes(size))
        queued = self.connection.queued
        print(f"send {size}: {size - queued} at once, {queued} queued")

    def on_write_completed(self, connection: TcpConnection) -> None:
        """The kernel has everything: go on, or end."""
        print("on_write_completed: nothing is queued")
        if self.sizes:
            self.send_next()
        else:
            connection.shutdown()

    def on_high_water(self, connection: TcpConnection, queued: int) -> None:
        """The other end reads more slowly than we send."""
        print(f"on_high_water: {queued} queued; better not send more")

    def on_connection_closed(self, connection: TcpConnection) -> None:
        """Both sides are done."""
        print("on_connection_closed")
        connection.loop.stop()


@click.command("send-path", help=__doc__)
@click.option(
    "--size",
    type=click.IntRange(1, 1_000_000_000),
    default=2_000_000,
    show_default=True,
    metavar="BYTES",
    help="Of the second send.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0.1),
    default=10,
    show_default=True,
    metavar="MS",
    help=f"Between two reads, of {PIECE} bytes each, of the other end.",
)
@click.option("--trace", is_flag=True, help="Show the framework's [msg] lines.")
def main(size: int, pause: float, trace: bool) -> None:
    """Send to an end that reads slowly."""
    if trace:
        logging.basicConfig(stream=sys.stdout, format="[msg] %(message)s", level=logging.DEBUG)
    near, far = socket.socketpair()
    near.setblocking(False)
    with far, EventLoop() as loop:
        connection = TcpConnection(loop, near)
        sender = Sender(connection, size)
        connection.establish()
        SlowReader(loop, far, pause / 1000)
        sender.send_next()
        try:
            loop.run()
        finally:
            connection.abort()  # does nothing unless Ctrl+C came first


if __name__ == "__main__":
    run_program(main)
