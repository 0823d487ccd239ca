"""Wait for bytes, but not for ever: a time-out on read, set in three ways.

Chapter 18.  A client that crashed, or whose cable was pulled, sends nothing any more, not even
that it left; who only reads would wait for ever.  Watch "read timeout": the client is given up
and the next one served.  A client that sends `quit` is answered `COMMAND OK`, eleven bytes and
with no NUL after them.

\b
    $ yolanda run samplebuffer01 --by select
    $ yolanda run bufferclient 127.0.0.1    (in another terminal; then type nothing)
"""

import errno
import select
import socket
import struct
from collections.abc import Callable

import click

from yolanda.programs.blocking import (
    PORT,
    endpoint,
    explain,
    run_program,
    tcp_server_listen,
    visible,
)


def by_rcvtimeo(connection: socket.socket, size: int, timeout: float) -> bytes:
    """Let the kernel end a blocking recv, which then fails with EAGAIN."""
    microseconds = max(1, round(timeout * 1_000_000))  # 0 would be for ever
    timeval = struct.pack("@ll", *divmod(microseconds, 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    try:
        return connection.recv(size)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            raise TimeoutError from error
        raise


def by_select(connection: socket.socket, size: int, timeout: float) -> bytes:
    """Wait in select, which returns without a descriptor when the time is over."""
    readable, _, _ = select.select([connection], [], [], timeout)
    if not readable:
        raise TimeoutError
    return connection.recv(size)


def by_settimeout(connection: socket.socket, size: int, timeout: float) -> bytes:
    """Leave it to Python, which makes the descriptor non-blocking and waits in poll."""
    connection.settimeout(timeout)
    return connection.recv(size)


WAYS: dict[str, Callable[[socket.socket, int, float], bytes]] = {
    "rcvtimeo": by_rcvtimeo,
    "select": by_select,
    "settimeout": by_settimeout,
}


def serve(connection: socket.socket, way: str, size: int, timeout: float) -> None:
    """Print what one client sends, each recv for itself."""
    while True:
        try:
            data = WAYS[way](connection, size, timeout)
        except TimeoutError:
            print("read timeout")
            return
        if not data:
            print("client closed")
            return
        print(f"received {len(data)} bytes: {visible(data.rstrip())}")
        if data.rstrip(b"\r\n") == b"quit":  # taking one recv for one command, as the course does
            print("client quit")
            connection.sendall(b"COMMAND OK\n")


@click.command("samplebuffer01", help=__doc__)
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
    "--timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="How long a client may be silent.",
)
@click.option(
    "--by",
    "way",
    type=click.Choice(list(WAYS)),
    default="rcvtimeo",
    show_default=True,
    help="Who watches the clock: the socket option SO_RCVTIMEO, select, or Python's settimeout.",
)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    metavar="BYTES",
    help="The buffer: the most that a recv may take.",
)
def main(host: str, port: int, timeout: float, way: str, size: int) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, _ = listener.accept()
            with connection:
                try:
                    serve(connection, way, size, timeout)
                except OSError as error:
                    print(f"error read message: {explain(error)}")


if __name__ == "__main__":
    run_program(main)
