"""Echo what was read, but five seconds later.

Chapter 17.  The rest before the answer is there so that you can kill this server in it, or after
it.  The kernel closes the connection of the dead process as `close` would have done, and what the
client notices of that, and when, is the subject of reliable_client01.

\b
    $ yolanda run reliable_server01
    $ yolanda run reliable_client01 127.0.0.1    (in another terminal; then Ctrl+C here)
"""

import socket
import time

import click

from yolanda.programs.blocking import PORT, endpoint, explain, run_program, tcp_server_listen


def echo(connection: socket.socket, pause: float) -> None:
    """Read, rest, and send it back, until the client closes."""
    while data := connection.recv(1024):
        print(f"read bytes: {len(data)}")  # the course prints the next line only
        time.sleep(pause)
        connection.sendall(data)
        print(f"send bytes: {len(data)}")
    print("client closed")


@click.command("reliable_server01", help=__doc__)
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
    "--pause",
    type=click.FloatRange(0),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="Rest before each answer.",
)
def main(host: str, port: int, pause: float) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:
                try:
                    echo(connection, pause)
                except OSError as error:
                    print(f"error with {endpoint(peer)}: {explain(error)}")


if __name__ == "__main__":
    run_program(main)
