"""Serve the first client that sends something, until it says goodbye.

Chapter 14.  The server connects its socket to that client: from then on the kernel delivers nobody
else's datagrams to it, and tells the others that the port is not there.  It is the client's alone
until ``goodbye``, even if the client is killed: UDP brings no word of that, but to an answer that
comes too late.

\b
    $ yolanda run udpconnectserver
    $ yolanda run udpconnectclient2 127.0.0.1          (in two other terminals)
"""

import errno
import socket
from typing import Any

import click

from yolanda.programs.blocking import (
    PORT,
    endpoint,
    explain,
    failed,
    run_program,
    udp_server,
    visible,
)


@click.command("udpconnectserver", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to receive; 0.0.0.0: on every address.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="0: one the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Serve one client, and end with it."""
    count = 0
    with udp_server(host, port) as server:
        print(f"listening on {endpoint(server.getsockname())}")
        try:
            message, client = server.recvfrom(65535)
            try:
                server.connect(client)
            except OSError as error:
                raise failed("connect failed", error) from error
            while True:
                count += 1
                print(f"received {len(message)} bytes: {visible(message)}")
                if message.startswith(b"goodbye"):
                    break
                try:
                    sent = server.send(b"Hi, " + message)
                    print(f"send bytes: {sent}")
                except OSError as error:
                    if error.errno != errno.EMSGSIZE:  # with its greeting it fits no datagram
                        raise failed("send failed", error) from error
                    print(f"send failed: {explain(error)}")
                message = receive(server, client)
        except KeyboardInterrupt:
            print(f"\nreceived {count} datagrams")
            raise


def receive(server: socket.socket, client: Any) -> bytes:
    """Return the next datagram from ``client``.

    `recv` would do, as in the course, were it not for those that others had sent before the socket
    was connected: they are in its queue, and the answer to them would go to the wrong one.
    """
    while True:
        try:
            message, sender = server.recvfrom(65535)
        except OSError as error:
            raise failed("recv failed", error) from error
        if sender == client:
            return message
        print(f"dropped {len(message)} bytes from {endpoint(sender)}: sent before the connect")


if __name__ == "__main__":
    run_program(main)
