"""Read without haste, and never answer.

Chapter 17.  Kill this server with `kill -9` while reliable_client02 sends.  Watch what the client
gets: a reset at once where bytes lay unread in the dead server's buffer, a broken pipe one send
later where it had read them all.

\b
    $ yolanda run reliable_server02
    $ yolanda run reliable_client02 127.0.0.1    (in another terminal)
"""

import socket
import time

import click

from yolanda.programs.blocking import PORT, endpoint, explain, run_program, tcp_server_listen


def read_data(connection: socket.socket, pause: float) -> None:
    """Read up to a kibibyte at a time and rest after each."""
    times = 0
    while data := connection.recv(1024):
        times += 1
        print(f"1K read for {times} ({len(data)} bytes)")
        time.sleep(pause)
    print("client closed")


@click.command("reliable_server02", help=__doc__)
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
    default=1,
    show_default=True,
    metavar="MS",
    help="Rest after each read.",
)
def main(host: str, port: int, pause: float) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:
                try:
                    read_data(connection, pause / 1000)
                except OSError as error:
                    print(f"error with {endpoint(peer)}: {explain(error)}")


if __name__ == "__main__":
    run_program(main)
