"""Ask a silent server whether it is alive, and give up after three questions without an answer.

Chapter 12, together with pingserver: what TCP's keep-alive does, done by the application.  After 10
seconds of silence a PING goes out, and then one every 3 seconds; a PONG sets the count back.  The
timer is the time-out of ``select``.  Watch what a server that naps for 60 seconds, and one that
naps for 5, are taken for.

\b
    $ yolanda run pingserver 60
    $ yolanda run pingclient 127.0.0.1          (in another terminal)
"""

import select
import socket
import struct
import sys
import time

import click

from yolanda.programs.blocking import failed, run_program, tcp_client

MESSAGE = struct.Struct("!I1024s")  # the type in network order, and the data
MSG_PING = 1
MSG_PONG = 2
MSG_TYPE1 = 11
MSG_TYPE2 = 21


@click.command("pingclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
@click.option(
    "--time",
    "keep_alive_time",
    type=click.FloatRange(0, min_open=True),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Silence before the first PING.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0, min_open=True),
    default=3,
    show_default=True,
    metavar="SECONDS",
    help="Between a PING and the next.",
)
@click.option(
    "--probes",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="PINGs without an answer before the connection is dead.",
)
@click.option(
    "--send",
    "kinds",
    type=click.Choice(["type1", "type2"]),
    multiple=True,
    help="Send such a message first; may be given again.",
)
def main(
    address: str,
    port: int,
    keep_alive_time: float,
    interval: float,
    probes: int,
    kinds: tuple[str, ...],
) -> None:
    """Keep watch over one connection."""
    with tcp_client(address, port) as connection:
        for name in kinds:
            send(connection, MSG_TYPE1 if name == "type1" else MSG_TYPE2)

        received = b""
        heartbeats = 0
        deadline = time.monotonic() + keep_alive_time
        while True:
            rest = max(0, deadline - time.monotonic())
            readable, _, _ = select.select([connection], [], [], rest)
            if not readable:
                heartbeats += 1
                if heartbeats > probes:
                    print("connection dead")
                    sys.exit(1)
                print(f"sending heartbeat #{heartbeats}")
                send(connection, MSG_PING)
                deadline = time.monotonic() + interval
                continue

            received += receive(connection)
            # A read may bring half a message or several: only a whole one is a sign of life.
            while len(received) >= MESSAGE.size:
                kind, _ = MESSAGE.unpack_from(received)
                received = received[MESSAGE.size :]
                if kind != MSG_PONG:
                    raise click.ClickException(f"unknown message type ({kind})")
                print("received heartbeat, make heartbeats to 0")
                heartbeats = 0
                deadline = time.monotonic() + keep_alive_time


def send(connection: socket.socket, kind: int) -> None:
    """Send a message that has nothing to say but its type."""
    try:
        connection.sendall(MESSAGE.pack(kind, b""))
    except OSError as error:
        raise failed("send failure", error) from error


def receive(connection: socket.socket) -> bytes:
    """Read what is there; end the program when the server has gone."""
    try:
        data = connection.recv(4096)
    except OSError as error:
        raise failed("read error", error) from error
    if not data:
        print("server terminated")
        sys.exit(1)
    return data


if __name__ == "__main__":
    run_program(main)
