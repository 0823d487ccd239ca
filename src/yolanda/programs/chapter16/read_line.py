"""Read lines that end with LF, CR LF or CR, and see what arrived for each.

Chapter 16, with the versions of chapter 18.  Every `recv` is shown and then the lines made of it.
Choose with --reader who makes them:

\b
    line       ours: keeps what is over, finds any of the three endings, has a limit
    recv       takes what one recv gave for a line
    byte       the course's first: a recv for every byte, and a look ahead after a CR
    forgetful  the course's second: one buffer, but each call forgets what is left in it

\b
    $ yolanda run read_line --reader forgetful
    $ printf 'network\\r\\nprogram\\n' | yolanda run bufferclient 127.0.0.1 --size 1024 --pause 0
"""

import socket
from collections.abc import Callable, Iterator

import click

from yolanda.programs.blocking import (
    MAX_LINE,
    PORT,
    LineReader,
    endpoint,
    explain,
    run_program,
    tcp_server_listen,
    visible,
)


class Watched:
    """A socket that shows what its `recv` gives, and counts the calls."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._sock = sock
        self._size = size
        self.calls = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive at most ``size`` bytes, and no more than the command line allows."""
        data = self._sock.recv(min(size, self._size), flags)
        self.calls += 1
        if data and size > 1:
            print(f"recv {len(data)} bytes: {data!r}")
        return data


def read_lines(sock: Watched) -> Iterator[bytes]:
    """Ours: what is over stays in the reader, for the next line."""
    reader = LineReader(sock.recv)
    while (line := reader.read_line()) is not None:
        yield line


def naive_lines(sock: Watched) -> Iterator[bytes]:
    """One recv, one line: right as long as nobody looks."""
    while data := sock.recv(MAX_LINE):
        yield data.rstrip(b"\r\n")


def bytewise_lines(sock: Watched) -> Iterator[bytes]:
    """Ask the kernel for every single byte.

    Two more faults beside the price: after a CR it waits for the next byte, so a line ended by CR
    alone is held back until more arrives; and what the end of the stream cut short looks whole.
    """
    line = b""
    while byte := sock.recv(1):
        if byte == b"\r":
            if sock.recv(1, socket.MSG_PEEK) == b"\n":
                sock.recv(1)
            byte = b"\n"
        if byte == b"\n":
            yield line
            line = b""
        else:
            line += byte
    if line:
        yield line


def forgetful_lines(sock: Watched) -> Iterator[bytes]:
    """Fill a buffer, take one line out of it, and forget the rest on the next call.

    The course's buffer is static, but the count of what is left in it is not.
    """
    while True:
        line = b""
        while True:  # one call of the course's readline
            data = sock.recv(512)
            if not data:
                return
            head, newline, _lost = data.partition(b"\n")
            line += head
            if newline:
                break
        yield line


READERS: dict[str, Callable[[Watched], Iterator[bytes]]] = {
    "line": read_lines,
    "recv": naive_lines,
    "byte": bytewise_lines,
    "forgetful": forgetful_lines,
}


def serve(connection: socket.socket, reader: str, size: int) -> None:
    """Print the lines of one client."""
    watched = Watched(connection, size)
    try:
        for line in READERS[reader](watched):
            text = visible(line.replace(b"\r", b"\\r").replace(b"\n", b"\\n"))
            print(f"received {len(line)} bytes: {text}")
        print(f"client closed, {watched.calls} calls of recv")
    except (OSError, ValueError) as error:
        why = explain(error) if isinstance(error, OSError) else error
        print(f"error read line: {why}")


@click.command("read_line", help=__doc__)
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
    "--reader",
    type=click.Choice(list(READERS)),
    default="line",
    show_default=True,
    help="Who makes lines of the bytes.",
)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=MAX_LINE,
    show_default=True,
    metavar="BYTES",
    help="The most that a recv may take.",
)
def main(host: str, port: int, reader: str, size: int) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, _ = listener.accept()
            with connection:
                serve(connection, reader, size)


if __name__ == "__main__":
    run_program(main)
