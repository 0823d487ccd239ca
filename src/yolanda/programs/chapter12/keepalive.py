"""Let the kernel ask whether the peer is alive, and pull the cable.

Chapter 12: SO_KEEPALIVE, on a connection to any server that is in no hurry to talk; pingserver will
do.  Watch the system's own values, the kernel's timer run down, and a probe and its answer go by
without either program knowing: the answers come from the peer's kernel, even while its process is
stopped.  Type ``unplug``, and all that arrives is dropped before TCP sees it, as if the cable were
out; ``plug`` puts it back; anything else is sent.

\b
    $ yolanda run pingserver
    $ yolanda run keepalive 127.0.0.1 --time 3 --interval 1      (in another terminal)
"""

import ctypes
import os
import select
import socket
import struct
import sys
import time
from datetime import timedelta

import click

from yolanda.programs.blocking import endpoint, explain, failed, run_program, tcp_client
from yolanda.programs.socket_table import tcp_sockets

STDIN = 0  # its descriptor
TCP_KEEPIDLE = getattr(socket, "TCP_KEEPIDLE", 0x10)  # macOS has TCP_KEEPALIVE, of that number
OPTIONS = (TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)

SO_ATTACH_FILTER = 26  # Linux's numbers, which the socket module does not name
SO_DETACH_FILTER = 27
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # a packet filter's program: return 0 bytes


@click.command("keepalive", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
@click.option(
    "--time",
    "idle",
    type=click.IntRange(1, 32767),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Silence before the first probe (TCP_KEEPIDLE).",
)
@click.option(
    "--interval",
    type=click.IntRange(1, 32767),
    default=3,
    show_default=True,
    metavar="SECONDS",
    help="Between a probe and the next (TCP_KEEPINTVL).",
)
@click.option(
    "--probes",
    type=click.IntRange(1, 127),
    default=3,
    show_default=True,
    help="Probes without an answer before the connection is dead (TCP_KEEPCNT).",
)
@click.option(
    "--report",
    type=click.FloatRange(0, min_open=True),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="How often to ask the kernel.",
)
def main(address: str, port: int, idle: int, interval: int, probes: int, report: float) -> None:
    """Be silent, and report what the kernel does meanwhile."""
    with tcp_client(address, port) as connection:
        print(f"as the system has it: {settings(connection)}")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in zip(OPTIONS, (idle, interval, probes), strict=True):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        print(f"as it is set now: {settings(connection)}")

        connecting = segments(connection)
        started = next_report = time.monotonic()
        watched = [connection.fileno(), STDIN]
        typed = b""
        while True:
            rest = max(0, next_report - time.monotonic())
            readable, _, _ = select.select(watched, [], [], rest)
            if not readable:
                print(f"{time.monotonic() - started:.1f} s: {observe(connection, connecting)}")
                next_report = time.monotonic() + report
            if connection.fileno() in readable and not receive(connection):
                sys.exit(1)
            if STDIN in readable:
                data = os.read(STDIN, 4096)
                if not data:
                    watched.remove(STDIN)
                *lines, typed = (typed + data).split(b"\n")
                for line in lines:
                    command(connection, line.removesuffix(b"\r"))


def settings(connection: socket.socket) -> str:
    """Ask the kernel for the four options, and work out what they come to."""
    on = connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, probes = (connection.getsockopt(socket.IPPROTO_TCP, name) for name in OPTIONS)
    return (
        f"SO_KEEPALIVE {'on' if on else 'off'}, TCP_KEEPIDLE {idle} s, TCP_KEEPINTVL {interval} s, "
        f"TCP_KEEPCNT {probes}: dead after {timedelta(seconds=idle + interval * probes)}"
    )


def segments(connection: socket.socket) -> tuple[int, int, int]:
    """Ask the kernel for segments sent and received so far, and probes unanswered right now."""
    if not sys.platform.startswith("linux"):
        return 0, 0, 0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)  # struct tcp_info
    sent, received = struct.unpack_from("II", info.ljust(144, b"\0"), 136)
    return sent, received, info[3]


def observe(connection: socket.socket, connecting: tuple[int, int, int]) -> str:
    """Say what the kernel has done since the connection was made, and what it will do next.

    While both programs are silent, all that is sent is probes, and all that comes is answers.
    """
    try:
        # Both ends: a port may be in use towards several peers, or in TIME_WAIT towards one.
        ends = endpoint(connection.getsockname()), endpoint(connection.getpeername())
        rows = tcp_sockets(connection.getpeername()[1])
        row = next((row for row in rows if (row.local, row.peer) == ends), None)
    except OSError as error:
        return explain(error)
    sent, received, unanswered = segments(connection)
    timer = f"{row.timer} in {row.timer_seconds:.1f} s" if row and row.timer != "off" else "off"
    return (
        f"segments sent {sent - connecting[0]}, received {received - connecting[1]}, "
        f"probes unanswered {unanswered}; timer: {timer}"
    )


def receive(connection: socket.socket) -> bool:
    """Read what has arrived; return False when that is the end, of whatever kind."""
    try:
        data = connection.recv(4096)
    except OSError as error:
        print(f"connection dead: {explain(error)}")
        return False
    print(f"received {len(data)} bytes" if data else "server terminated")
    return bool(data)


def command(connection: socket.socket, line: bytes) -> None:
    """Do what was typed."""
    if line in (b"unplug", b"plug"):
        try:
            drop_all(connection, line == b"unplug")
        except OSError as error:
            print(f"{line.decode()}: {explain(error)}")
        else:
            print(f"{line.decode()}ged")
        return
    try:
        connection.sendall(line)
    except OSError as error:
        raise failed("send failure", error) from error
    print(f"send bytes: {len(line)}")


def drop_all(connection: socket.socket, on: bool) -> None:
    """Drop each segment that arrives for this socket, before TCP acts on it; or no more.

    The filter is an old Berkeley packet filter, which needs no special right (`socket(7)`).
    """
    if not sys.platform.startswith("linux"):
        raise OSError("only Linux has filters for a socket")
    if on:
        program = ctypes.create_string_buffer(DROP_ALL, len(DROP_ALL))
        fprog = struct.pack("HP", 1, ctypes.addressof(program))  # struct sock_fprog
        connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
    else:
        connection.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


if __name__ == "__main__":
    run_program(main)
