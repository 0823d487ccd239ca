"""Read a kibibyte at a time, and take a rest after each.

Chapter 5, the buffer experiments, together with tcpclient.  Watch how much later than the client
this side is done: what ``send`` has accepted still lies in the kernel's two buffers.

\b
    $ yolanda run tcpserver --pause 1
    $ yolanda run tcpclient 127.0.0.1          (in another terminal)
"""

import socket
import time

import click

from yolanda.programs.blocking import endpoint, explain, readn, run_program, tcp_server_listen


@click.command("tcpserver", help=__doc__)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=1,
    show_default=True,
    metavar="MS",
    help="Milliseconds of rest after each kibibyte.",
)
@click.option(
    "--receive-buffer",
    type=click.IntRange(1),
    metavar="BYTES",
    help="SO_RCVBUF, which the kernel doubles; without it the kernel lets the buffer grow.",
)
def main(host: str, port: int, pause: float, receive_buffer: int | None) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        if receive_buffer:  # before a connection is made: its window is agreed on then
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:
                try:
                    read_data(connection, pause / 1000)
                except OSError as error:
                    print(f"read from {endpoint(peer)}: {explain(error)}")


def read_data(connection: socket.socket, pause: float) -> None:
    """Read until the client has closed; ``pause`` is in seconds."""
    times = 0
    print("block in read")
    while readn(connection, 1024):
        times += 1
        print(f"1K read for {times}")
        time.sleep(pause)
    print("connection closed by other end")


if __name__ == "__main__":
    run_program(main)
