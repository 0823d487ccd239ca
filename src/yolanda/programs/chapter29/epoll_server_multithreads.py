"""The main reactor and the sub-reactors of chapter 28, on `epoll`.

Chapter 29.  Nothing of the application changes but a name.  What changes is below it: the kernel
keeps the set of descriptors, and hands over those that are ready and no others.  Watch the trace:
``epoll_wait wakeup``, and then exactly the descriptors that have something to say.

\b
    $ yolanda run epoll-server-multithreads
    $ telnet 127.0.0.1 43211                (in another terminal; five of them)
"""

import logging
import select
import sys

import click

from yolanda import Address, Buffer, EventLoop, TcpConnection, TcpServer
from yolanda.programs.blocking import rot13, run_program, visible

STOP_WITHIN = 1.0
"""Seconds that Ctrl+C leaves to the clients; a second Ctrl+C leaves none."""


def on_connection_completed(connection: TcpConnection) -> None:
    """The connection is there."""
    say("connection completed")


def on_message(connection: TcpConnection, buffer: Buffer) -> None:
    """Bytes have come; in the thread of the connection's sub-reactor.

    Whether the edge or the level was reported makes no difference here: the framework reads until
    there is no more, and what a hook leaves in the buffer it finds there next time.
    """
    data = buffer.retrieve_all()
    text = visible(data.rstrip(b"\r\n"))
    say(f"get message from tcp connection {connection.name}\n{text}")
    connection.send(rot13(data))


def on_write_completed(connection: TcpConnection) -> None:
    """All that was sent is in the kernel's hands."""
    say("write completed")


def on_connection_closed(connection: TcpConnection) -> None:
    """The connection is gone."""
    say("connection closed")


def say(text: str) -> None:
    """Print in one piece: other threads print too."""
    print(f"{text}\n", end="")


@click.command("epoll-server-multithreads", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one the kernel chooses.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    metavar="N",
    help="Sub-reactors; 0: the main one does all.",
)
@click.option("--edge", is_flag=True, help="Edge-triggered, where the course is level-triggered.")
@click.option(
    "--trace/--no-trace", default=True, show_default=True, help="Print what the reactors do."
)
def main(host: str, port: int, threads: int, edge: bool, trace: bool) -> None:
    """Make a main loop and a server with sub-reactors, and run them."""
    if not hasattr(select, "epoll"):
        raise click.ClickException("this system has no epoll; try poll-server-multithreads")
    dispatcher = "epoll-et" if edge else "epoll"
    logging.basicConfig(
        stream=sys.stdout,  # where the hooks print, so that all is in its order
        format="[msg] %(message)s",
        level=logging.DEBUG if trace else logging.WARNING,
    )
    with EventLoop(dispatcher) as loop:
        server = TcpServer(
            loop,
            Address(host, port),
            on_connection_completed=on_connection_completed,
            on_message=on_message,
            on_write_completed=on_write_completed,
            on_connection_closed=on_connection_closed,
            threads=threads,
            dispatcher=dispatcher,
        )
        server.run(STOP_WITHIN, on_started=lambda: say(f"listening on {server.address}"))


if __name__ == "__main__":
    run_program(main)
