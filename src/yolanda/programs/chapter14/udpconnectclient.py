"""Connect a UDP socket, and hear that nobody is there.

Chapter 14.  ``connect`` sends nothing: it only notes the peer.  But when a datagram is answered
with an ICMP message that nobody listens on that port, the kernel knows now whom to tell, and does
with the next call: without a server this client ends with Connection refused, where the udpclient
of chapter 6, or this one with ``--no-connect``, waits in vain.  It sends with ``sendto``, as the
course does; Linux takes an address although the socket has a peer, other systems refuse it.
Compare udpconnectclient2.

\b
    $ yolanda run udpconnectclient 127.0.0.1          (and type a line)
    $ yolanda run udpconnectclient 127.0.0.1 --no-connect --timeout 5
"""

import socket
import sys

import click

from yolanda.programs.blocking import PORT, failed, resolve, run_program, visible


@click.command("udpconnectclient", help=__doc__)
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
@click.option(
    "--connect/--no-connect",
    default=True,
    help="Connect the socket, or do as the udpclient of chapter 6.",
)
def main(address: str, port: int, timeout: float, connect: bool) -> None:
    """Send each line, and print its answer."""
    family, server = resolve(address, port, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout or None)
        if connect:
            try:
                client.connect(server)
            except OSError as error:
                raise failed("connect failed", error) from error
        for line in sys.stdin.buffer:
            message = line.rstrip(b"\r\n")
            print(f"now sending {message.decode(errors='replace')}")
            try:
                sent = client.sendto(message, server)
            except OSError as error:
                raise failed("sendto failed", error) from error
            print(f"send bytes: {sent}")
            try:
                answer, _ = client.recvfrom(65535)
            except OSError as error:
                raise failed("recvfrom failed", error) from error
            print(visible(answer))


if __name__ == "__main__":
    run_program(main)
