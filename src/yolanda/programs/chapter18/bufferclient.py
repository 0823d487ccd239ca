"""Send the standard input in pieces of eleven bytes.

Chapter 18.  The course reads its input into a buffer of twelve, so that a longer line goes out in
several sends: what a server of raw reads takes for several messages.  At the end of the input it
prints what the server has answered.

\b
    $ yolanda run samplebuffer01
    $ yolanda run bufferclient 127.0.0.1 --size 2 --pause 100    (in another terminal; type quit)
"""

import socket
import sys
import time

import click

from yolanda.programs.blocking import PORT, failed, run_program, tcp_client, visible


@click.command("bufferclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=11,
    show_default=True,
    metavar="BYTES",
    help="The most that one send takes.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    metavar="MS",
    help="Rest after each send, so that the pieces arrive as pieces.",
)
def main(address: str, port: int, size: int, pause: float) -> None:
    """Send all, end the sending half, and print the answer."""
    with tcp_client(address, port) as sock:
        try:
            for line in sys.stdin.buffer:
                for start in range(0, len(line), size):
                    sock.sendall(line[start : start + size])
                    time.sleep(pause / 1000)
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise failed("send failure", error) from error
        try:
            while answer := sock.recv(1024):
                print(f"received {len(answer)} bytes: {visible(answer.rstrip())}")
        except OSError as error:
            raise failed("read failed", error) from error


if __name__ == "__main__":
    run_program(main)
