"""Write, write, read: find out what Nagle's algorithm makes of it.

Chapter 13.  A request in two small writes, and the answer waited for.  The second write stays here
until the first one is acknowledged (Nagle's algorithm), and the server's kernel takes its time with
that (delayed ACK): 40 ms on Linux, each time.  TCP_NODELAY ends the waiting for the price of a
packet a write; one ``writev`` of both parts needs neither.

\b
    $ yolanda run nagleserver
    $ yolanda run nagle 127.0.0.1          (in another terminal)
"""

import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable

import click

from yolanda.programs.blocking import PORT, failed, run_program, tcp_client

HEAD = b"hello,"
BODY = b"network\n"


def write_write(connection: socket.socket) -> None:
    """Send the request in two parts."""
    connection.sendall(HEAD)
    connection.sendall(BODY)


def write_once(connection: socket.socket) -> None:
    """Send both parts in one call.  (They are too short for the kernel to take half of them.)"""
    os.writev(connection.fileno(), [HEAD, BODY])


@click.command("nagle", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Requests of each kind.",
)
def main(address: str, port: int, rounds: int) -> None:
    """Send requests in three ways, and say how long an answer took."""
    print(f"{rounds} requests of {len(HEAD)} + {len(BODY)} bytes; median (least to most):")
    measure("write, write, read", write_write, address, port, rounds)
    measure("with TCP_NODELAY", write_write, address, port, rounds, nodelay=True)
    measure("writev, read", write_once, address, port, rounds)


def measure(
    title: str,
    send: Callable[[socket.socket], None],
    address: str,
    port: int,
    rounds: int,
    *,
    nodelay: bool = False,
) -> None:
    """Print how long the answers took, on a connection of their own, and how many packets."""
    with tcp_client(address, port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        # The median, for the first request of a connection may be acknowledged at once: a kernel
        # begins in that mode, and the server's setting can come too late for it.
        try:
            times = [request(connection, send) for _ in range(rounds)]
        except OSError as error:
            raise failed(title, error) from error
        print(
            f"{title:20} {statistics.median(times):6.2f} ms"
            f" ({min(times):.2f} to {max(times):.2f}){packets(connection)}"
        )


def request(connection: socket.socket, send: Callable[[socket.socket], None]) -> float:
    """Send a request and read its answer; return the milliseconds that both took."""
    began = time.perf_counter()
    send(connection)
    answer = b""
    while not answer.endswith(b"\n"):
        piece = connection.recv(16)
        if not piece:
            raise click.ClickException("the server closed the connection, and gave no answer")
        answer += piece
    return (time.perf_counter() - began) * 1000


def packets(connection: socket.socket) -> str:
    """Say in how many packets the kernel sent the requests, where it tells."""
    if not sys.platform.startswith("linux"):
        return ""
    # tcpi_data_segs_out of struct tcp_info (linux/tcp.h; kernel 4.6 and later), at offset 156.
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return f", {struct.unpack_from('=I', info, 156)[0]} packets" if len(info) == 160 else ""


if __name__ == "__main__":
    run_program(main)
