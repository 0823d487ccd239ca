"""Connect without waiting, and do something else meanwhile.

Chapter 22.  On a non-blocking socket ``connect`` returns EINPROGRESS.  When the connection is there
or has failed the socket is writable, and SO_ERROR says which of the two.

\b
    $ yolanda run nonblockingconnect 127.0.0.1          (with a server, and without one)
    $ yolanda run nonblockingconnect 192.0.2.1          (an address that nobody has)
"""

import errno
import os
import select
import socket
import time

import click

from yolanda.programs.blocking import endpoint, explain, failed, resolve, run_program


@click.command("nonblockingconnect", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the server.",
)
@click.option(
    "--tick",
    type=click.FloatRange(0, min_open=True),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="How often to do other work meanwhile.",
)
def main(address: str, port: int, timeout: float, tick: float) -> None:
    """Connect, and say who is at the other end."""
    with nonblocking_connect(address, port, timeout, tick) as connection:
        ends = connection.getsockname(), connection.getpeername()
        print(f"connected: {endpoint(ends[0])} to {endpoint(ends[1])}")


def nonblocking_connect(host: str, port: int, timeout: float, tick: float) -> socket.socket:
    """Return a connected socket; `OSError` says why there is none."""
    family, address = resolve(host, port)
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(address)
        print("connect: done at once")
    except BlockingIOError as error:
        print(f"connect: {explain(error)}")
        try:
            wait_until_connected(connection, timeout, tick)
        except OSError as error:
            connection.close()
            raise failed(f"connect {endpoint(address)}", error) from error
    except OSError as error:
        connection.close()
        raise failed(f"connect {endpoint(address)}", error) from error
    return connection


def wait_until_connected(connection: socket.socket, timeout: float, tick: float) -> None:
    """Wait in select until the kernel has decided, a tick at a time; then ask for its decision."""
    deadline = time.monotonic() + timeout
    while True:
        left = max(deadline - time.monotonic(), 0)
        readable, writable, _ = select.select([connection], [connection], [], min(left, tick))
        if writable:
            break
        if not left:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        print("doing other work")

    print(f"select: {'readable and ' if readable else ''}writable")
    # Writable alone proves nothing, nor does readable: a server may have spoken first.
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    print(f"SO_ERROR: {error}")
    if error:
        raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    run_program(main)
