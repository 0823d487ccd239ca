"""Send each line as a datagram, and wait for its answer.

Chapter 6.  Without a server nothing is refused: the datagram is sent, and the client waits in
``recvfrom`` for ever.  ``--timeout`` makes it give up an answer, say so, and go on; start the
server meanwhile, and the next line is answered.  Nothing in a datagram says what it answers, so
one that comes too late, or from somebody else, is dropped.

\b
    $ yolanda run udpclient 127.0.0.1                  (type a line, and watch nothing)
    $ yolanda run udpclient 127.0.0.1 --timeout 1
    $ yolanda run udpserver                            (in another terminal)
"""

import socket
import sys
import time
from typing import Any

import click

from yolanda.programs.blocking import PORT, endpoint, explain, failed, resolve, run_program, visible


@click.command("udpclient", help=__doc__)
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
    """Send each line, and print its answer; the status is 1 if one had none."""
    lost = 0
    family, server = resolve(address, port, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        for line in sys.stdin.buffer:
            message = line.rstrip(b"\r\n")
            drop_late(client)
            print(f"now sending {message.decode(errors='replace')}")
            try:
                sent = client.sendto(message, server)
            except OSError as error:
                raise failed("sendto failed", error) from error
            print(f"send bytes: {sent}")
            try:
                print(visible(receive(client, server, timeout or None)))
            except TimeoutError as error:
                print(f"recvfrom failed: {explain(error)}")
                lost += 1
    sys.exit(1 if lost else 0)


def drop_late(client: socket.socket) -> None:
    """Drop the answers that came after they were given up."""
    client.setblocking(False)
    while True:
        try:
            late, sender = client.recvfrom(65535)
        except BlockingIOError:
            break
        print(f"dropped {len(late)} bytes from {endpoint(sender)}: too late")
    client.setblocking(True)


def receive(client: socket.socket, server: Any, timeout: float | None) -> bytes:
    """Return the next datagram from ``server``: the socket takes them from everybody.

    Raises `TimeoutError` after ``timeout`` seconds without it; None: never.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:  # not a time-out but "do not block" to a socket
                raise TimeoutError
            client.settimeout(left)
        message, sender = client.recvfrom(65535)
        if sender == server:
            return message
        print(f"dropped {len(message)} bytes from {endpoint(sender)}: not the server")


if __name__ == "__main__":
    run_program(main)
