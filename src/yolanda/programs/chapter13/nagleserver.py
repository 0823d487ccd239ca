"""Answer each line, and put off the acknowledgements.

Chapter 13, the other side of nagle.  The kernel keeps the acknowledgement (ACK) of what it received
back for 40 ms or more, in the hope that an answer will carry it.  Run it with ``--ack quick``, and
see what becomes of the waiting of nagle.

\b
    $ yolanda run nagleserver
    $ yolanda run nagle 127.0.0.1          (in another terminal)
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
)


@click.command("nagleserver", help=__doc__)
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
@click.option(
    "--ack",
    type=click.Choice(["delayed", "quick", "kernel"]),
    default="delayed",
    show_default=True,
    help="Acknowledge later, at once, or as the kernel likes best.",
)
def main(host: str, port: int, ack: str) -> None:
    """Serve one client after the other."""
    if ack != "kernel" and not hasattr(socket, "TCP_QUICKACK"):
        raise click.ClickException(f"--ack {ack} needs TCP_QUICKACK, which only Linux has")
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:
                try:
                    answer_lines(connection, ack)
                except OSError as error:
                    print(f"error with {endpoint(peer)}: {explain(error)}")


def answer_lines(connection: socket.socket, ack: str) -> None:
    """Answer every line, however many pieces it comes in, until the client closes."""
    requests = reads = size = 0
    while True:
        if ack != "kernel":
            # The first packets of a connection are acknowledged at once (Linux calls it the
            # quick-ack mode), which would hide the effect.  The setting does not last: the kernel
            # changes modes as it sees fit, so it is made anew before each read.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, ack == "quick")
        piece = connection.recv(MAX_LINE)
        if not piece:
            break
        reads += 1
        size += len(piece)
        if lines := piece.count(b"\n"):
            requests += lines
            connection.sendall(b"ok\n" * lines)
    print(f"answered {requests} requests: {size} bytes in {reads} reads")


if __name__ == "__main__":
    run_program(main)
