"""Connect a UDP socket, then send and recv without an address.

Chapter 14.  The same as udpconnectclient in the way that works everywhere: a connected socket sends
with ``send`` and receives with ``recv``, and gets datagrams from its peer alone.  Start a second
one while the server is connected to the first, and it is refused.

\b
    $ yolanda run udpconnectserver
    $ yolanda run udpconnectclient2 127.0.0.1          (in two other terminals)
"""

import socket
import sys

import click

from yolanda.programs.blocking import PORT, failed, resolve, run_program, visible


@click.command("udpconnectclient2", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Give up an answer that is not there after so long; 0: never.",
)
def main(address: str, port: int, timeout: float) -> None:
    """Send each line, and print its answer."""
    family, server = resolve(address, port, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout or None)
        try:
            client.connect(server)
        except OSError as error:
            raise failed("connect failed", error) from error
        for line in sys.stdin.buffer:
            message = line.rstrip(b"\r\n")
            print(f"now sending {message.decode(errors='replace')}")
            try:
                sent = client.send(message)
            except OSError as error:
                raise failed("send failed", error) from error
            print(f"send bytes: {sent}")
            if message.startswith(b"goodbye"):
                break  # the server leaves without an answer
            try:
                answer = client.recv(65535)
            except OSError as error:
                raise failed("recv failed", error) from error
            print(visible(answer))


if __name__ == "__main__":
    run_program(main)
