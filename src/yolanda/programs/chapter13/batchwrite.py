"""Send a greeting and a line from two buffers with one writev.

Chapter 13.  ``writev`` sends the bytes of several buffers, in order, as if they had been copied
into one: no copy, no second call, and no small packet that another has to wait behind.  With more
greetings there are more buffers: a system takes so many (IOV_MAX) and no more.

\b
    $ yolanda run batchwriteserver
    $ yolanda run batchwrite 127.0.0.1          (in another terminal; then type lines)
"""

import os
import socket
import sys

import click

from yolanda.programs.blocking import PORT, failed, run_program, tcp_client

GREETING = b"hello,"


@click.command("batchwrite", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--greetings",
    type=click.IntRange(0, 1_000_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Greet so often, each time from a buffer of its own.",
)
def main(address: str, port: int, greetings: int) -> None:
    """Send ``hello,`` and a line for every line of the standard input."""
    with tcp_client(address, port) as connection:
        for line in sys.stdin.buffer:
            try:
                write_all(connection, [*[GREETING] * greetings, line])
            except OSError as error:
                raise failed("writev failure", error) from error


def write_all(connection: socket.socket, buffers: list[bytes]) -> None:
    """Write all of ``buffers``: `writev`, as any write, may take less than it is given."""
    written = os.writev(connection.fileno(), buffers)
    if rest := b"".join(buffers)[written:]:
        connection.sendall(rest)


if __name__ == "__main__":
    run_program(main)
