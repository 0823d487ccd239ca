"""Which sub-reactor gets the next connection?

Chapter 33, both exercises.  Each new connection is given to one of the threads, which tells so and
how many it has now.  Watch what happens when some clients leave and others come: by turns, one
thread may be left with all the work; with least-connections the idle one gets it.  peer-hash gives
all connections of one address to the same thread.

\b
    $ yolanda run sub-reactors --threads 2
    $ yolanda run sub-reactors --threads 2 --choice least-connections
    $ telnet 127.0.0.1 43211                  (in other terminals, and leave some)
"""

import logging
import sys
import threading
from collections import Counter
from typing import Literal

import click

from yolanda import Address, EventLoop, TcpConnection, TcpServer
from yolanda.programs.blocking import run_program

STOP_WITHIN = 1.0
"""Seconds that Ctrl+C leaves to the clients; a second Ctrl+C leaves none."""


class Tellers:
    """The hooks; they run in the sub-reactors' threads, so that what they share has a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connections: Counter[str] = Counter()

    def on_connection_completed(self, connection: TcpConnection) -> None:
        """A connection has come to this thread."""
        self.tell(connection, "connection completed", +1)

    def on_connection_closed(self, connection: TcpConnection) -> None:
        """A connection of this thread has gone."""
        self.tell(connection, "connection closed", -1)

    def tell(self, connection: TcpConnection, what: str, change: int) -> None:
        """Count and print."""
        name = threading.current_thread().name
        with self.lock:
            self.connections[name] += change
            print(f"{what} {connection.peer_address}, {name} has {self.connections[name]}")


@click.command("sub-reactors", help=__doc__)
@click.option(
    "--threads",
    type=click.IntRange(0),
    show_default="two a processor",
    help="Sub-reactors; 0: the main reactor serves by itself.",
)
@click.option(
    "--choice",
    type=click.Choice(["round-robin", "least-connections", "peer-hash"]),
    default="round-robin",
    show_default=True,
    help="How the main reactor chooses.",
)
@click.option("--trace", is_flag=True, help="Show the framework's [msg] lines.")
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
def main(
    threads: int | None,
    choice: Literal["round-robin", "least-connections", "peer-hash"],
    trace: bool,
    host: str,
    port: int,
) -> None:
    """Echo, and tell which thread serves whom."""
    if trace:
        logging.basicConfig(stream=sys.stdout, format="[msg] %(message)s", level=logging.DEBUG)
    threading.current_thread().name = "main thread"
    tellers = Tellers()
    with EventLoop() as loop:
        server = TcpServer(
            loop,
            Address(host, port),
            on_connection_completed=tellers.on_connection_completed,
            on_message=lambda connection, buffer: connection.send(buffer.retrieve_all()),
            on_connection_closed=tellers.on_connection_closed,
            threads="auto" if threads is None else threads,
            choice=choice,
        )

        def on_started() -> None:
            print(f"listening on {server.address}")
            print(f"{len(server.loops)} loops serve connections, {choice}")

        server.run(STOP_WITHIN, on_started)


if __name__ == "__main__":
    run_program(main)
