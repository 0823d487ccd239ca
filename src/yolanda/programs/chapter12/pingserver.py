"""Answer heartbeats, after a nap.

Chapter 12, together with pingclient: a heartbeat of one's own over TCP.  The nap plays a server
that is out of reach: with 60 seconds the client gives the connection up, with 5 it stays.  Watch
that the kernel acknowledges the PINGs all the same, so that nothing but the missing PONG tells.

\b
    $ yolanda run pingserver 60
    $ yolanda run pingclient 127.0.0.1          (in another terminal)
"""

import socket
import struct
import time

import click

from yolanda.programs.blocking import endpoint, explain, readn, run_program, tcp_server_listen

MESSAGE = struct.Struct("!I1024s")  # the type in network order, and the data
MSG_PING = 1
MSG_PONG = 2
MSG_TYPE1 = 11
MSG_TYPE2 = 21


@click.command("pingserver", help=__doc__)
@click.argument("sleeping_time", type=click.FloatRange(0), default=5, metavar="[SECONDS]")
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
def main(sleeping_time: float, host: str, port: int) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:
                try:
                    serve(connection, sleeping_time)
                except OSError as error:
                    print(f"{endpoint(peer)}: {explain(error)}")


def serve(connection: socket.socket, sleeping_time: float) -> None:
    """Process messages until the client leaves, or sends one that is none of ours."""
    while message := readn(connection, MESSAGE.size):
        print(f"received {len(message)} bytes")
        if len(message) < MESSAGE.size:
            break
        kind, data = MESSAGE.unpack(message)
        if kind == MSG_TYPE1:
            print("process MSG_TYPE1")
        elif kind == MSG_TYPE2:
            print("process MSG_TYPE2")
        elif kind == MSG_PING:
            time.sleep(sleeping_time)
            connection.sendall(MESSAGE.pack(MSG_PONG, data))
        else:
            print(f"unknown message type ({kind})")
            return
    print("client closed")


if __name__ == "__main__":
    run_program(main)
