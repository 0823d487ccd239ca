"""Announce 65535 bytes, send twelve, and stay.

Chapter 18.  A client that lies about the length of its message, to be set upon streamserver.  With
its limit the server refuses at once.  Take the guard away, and it waits for bytes that never come
while every other client waits for it; then a time-out is what saves it.

\b
    $ yolanda run streamserver --limit 100000
    $ yolanda run samplebuffer02 127.0.0.1    (in another terminal)
"""

import struct
import time

import click

from yolanda.programs.blocking import PORT, explain, failed, run_program, tcp_client


@click.command("samplebuffer02", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--length",
    type=click.IntRange(0, 2**32 - 1),
    default=65535,
    show_default=True,
    metavar="BYTES",
    help="The length to announce.",
)
@click.option("--text", default="just for fun", show_default=True, help="What to send in truth.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 86400, min_open=True),
    default=100,
    show_default=True,
    metavar="SECONDS",
    help="How long to stay connected.",
)
def main(address: str, port: int, length: int, text: str, wait: float) -> None:
    """Send the message and wait for what the server does about it."""
    body = text.encode()
    with tcp_client(address, port) as sock:
        try:
            sock.sendall(struct.pack("!II", length, 1) + body)
        except OSError as error:
            raise failed("send failure", error) from error
        print(f"send {len(body)} bytes, and say that they are {length}")
        began = time.monotonic()
        sock.settimeout(wait)
        try:
            sock.recv(1)
            print("peer connection closed")
        except TimeoutError:
            print(f"the server has waited for {time.monotonic() - began:g} seconds")
        except OSError as error:
            print(f"peer connection closed: {explain(error)}")


if __name__ == "__main__":
    run_program(main)
