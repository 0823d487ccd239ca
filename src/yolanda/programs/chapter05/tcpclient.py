"""Send ten million bytes, and say when send returns.

Chapter 5, the buffer experiments, together with tcpserver.  A blocking ``send`` returns when the
kernel has taken all that it was given into its buffer, not when the server has read it: with ten
million bytes that is almost at the end, with fewer than the buffers hold it is at once.

\b
    $ yolanda run tcpserver --pause 1
    $ yolanda run tcpclient 127.0.0.1                    (experiment 1)
    $ yolanda run tcpclient 127.0.0.1 --size 1024000     (experiment 2, with --pause 10)
"""

import socket

import click

from yolanda.programs.blocking import failed, run_program, tcp_client


@click.command("tcpclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=10_240_000,
    show_default=True,
    metavar="BYTES",
    help="How much to send.",
)
@click.option(
    "--send-buffer",
    type=click.IntRange(1),
    metavar="BYTES",
    help="SO_SNDBUF, which the kernel doubles; without it the kernel lets the buffer grow.",
)
def main(address: str, port: int, size: int, send_buffer: int | None) -> None:
    """Connect, send, and leave."""
    with tcp_client(address, port) as connection:
        if send_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        send_data(connection, b"a" * size)


def send_data(connection: socket.socket, query: bytes) -> None:
    """Send ``query`` as the course does: `send` may take less than it is given, so in a loop."""
    remaining = memoryview(query)
    while remaining:
        try:
            n_written = connection.send(remaining)
        except OSError as error:
            raise failed("send", error) from error
        print(f"send into buffer {n_written}")
        remaining = remaining[n_written:]


if __name__ == "__main__":
    run_program(main)
