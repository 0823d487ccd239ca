"""Print what comes in, read by read.

Chapter 13, the other side of batchwrite.  Watch that the two buffers of a ``writev`` come out of
one ``recv``: what was sent is one run of bytes, and nothing tells where its parts met.

\b
    $ yolanda run batchwriteserver
    $ yolanda run batchwrite 127.0.0.1          (in another terminal)
"""

import socket

import click

from yolanda.programs.blocking import (
    MAX_LINE,
    PORT,
    endpoint,
    explain,
    run_program,
    tcp_server_listen,
    visible,
)


@click.command("batchwriteserver", help=__doc__)
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
    default=PORT,
    show_default=True,
    help="0: one the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:
                try:
                    show_reads(connection)
                except OSError as error:
                    print(f"error read from {endpoint(peer)}: {explain(error)}")


def show_reads(connection: socket.socket) -> None:
    """Print each read's size and text, until the client closes."""
    while message := connection.recv(MAX_LINE):
        text = visible(message).removesuffix("\n")
        print(f"received {len(message)} bytes: {text}")
    print("client closed")


if __name__ == "__main__":
    run_program(main)
