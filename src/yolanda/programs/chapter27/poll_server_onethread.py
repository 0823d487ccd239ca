"""The first server on the framework: one thread, one reactor, `poll`, any number of clients.

Chapter 27.  The loop waits for all descriptors at once, the listening socket among them, and calls
back whoever an event concerns; here is only what is done with the bytes.  Watch the trace: main
thread, whichever client it is.

\b
    $ yolanda run poll-server-onethread
    $ telnet 127.0.0.1 43211                (in another terminal; several)
"""

import logging
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
    """Bytes have come: decode, compute and encode are here, in the thread that also reads."""
    data = buffer.retrieve_all()
    say(f"get message from tcp connection {connection.name}")
    say(visible(data.rstrip(b"\r\n")))
    connection.send(rot13(data))


def on_write_completed(connection: TcpConnection) -> None:
    """All that was sent is in the kernel's hands."""
    say("write completed")


def on_connection_closed(connection: TcpConnection) -> None:
    """The connection is gone."""
    say("connection closed")


def say(text: str) -> None:
    """Print a line in one piece."""
    print(f"{text}\n", end="")


@click.command("poll-server-onethread", help=__doc__)
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
    "--trace/--no-trace", default=True, show_default=True, help="Print what the reactor does."
)
def main(host: str, port: int, trace: bool) -> None:
    """Make a loop and a server, and run them."""
    logging.basicConfig(
        stream=sys.stdout,  # where the hooks print, so that all is in its order
        format="[msg] %(message)s",
        level=logging.DEBUG if trace else logging.WARNING,
    )
    with EventLoop("poll") as loop:
        server = TcpServer(
            loop,
            Address(host, port),
            on_connection_completed=on_connection_completed,
            on_message=on_message,
            on_write_completed=on_write_completed,
            on_connection_closed=on_connection_closed,
            threads=0,
        )
        server.run(STOP_WITHIN, on_started=lambda: say(f"listening on {server.address}"))


if __name__ == "__main__":
    run_program(main)
