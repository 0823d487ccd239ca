"""Connect, and take it back at once with a reset.

Chapter 22, together with nonblockingserver: with SO_LINGER on and a time of 0, ``close`` sends RST.
Watch what the server's ``accept`` does with a connection that has ended before it.

\b
    $ yolanda run nonblockingserver --blocking-accept
    $ yolanda run nonblockingclient 127.0.0.1          (in another terminal)
"""

import socket
import struct

import click

from yolanda.programs.blocking import endpoint, run_program, tcp_client


@click.command("nonblockingclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
def main(address: str, port: int) -> None:
    """Connect and reset."""
    with tcp_client(address, port) as connection:
        print(f"connected to {endpoint(connection.getpeername())}")
        on, seconds = 1, 0
        linger = struct.pack("ii", on, seconds)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    print("closed with SO_LINGER {1, 0}: RST is sent")


if __name__ == "__main__":
    run_program(main)
