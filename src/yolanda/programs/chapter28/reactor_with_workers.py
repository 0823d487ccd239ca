"""Reactor and worker threads: the loop reads and sends, a pool decodes, computes and encodes.

Chapter 28 (27 has the picture without sub-reactors, ``--threads 0``).  A line is answered in rot13;
one that begins with a number takes so many milliseconds to compute, as if it asked a database.
Watch, with two clients, whether the quick line of one waits for the slow line of the other: without
workers it does.

\b
    $ yolanda run reactor-with-workers --workers 0
    $ telnet 127.0.0.1 43211                (in another terminal: 5000 slow)
    $ telnet 127.0.0.1 43211                (in a third: quick)
"""

import logging
import threading

import click

from yolanda import Address, EventLoop, TcpConnection, TcpServer, framing
from yolanda.programs.blocking import MAX_LINE, rot13, run_program

STOP_WITHIN = 1.0
"""Seconds that Ctrl+C leaves to the clients; a second Ctrl+C leaves none."""

LONGEST = 10_000
"""Milliseconds that one line may cost us, whatever the client asks for."""

ending = threading.Event()
"""Set when the server ends: no answer will be needed any more."""


def decode(line: bytes) -> tuple[int, bytes]:
    """Read what is asked for: milliseconds, 0 unless the line begins with a number, and a text."""
    number, _, text = line.partition(b" ")
    if number.isdigit() and len(number) <= len(str(LONGEST)):
        return min(int(number), LONGEST), text
    return 0, line


def compute(milliseconds: int, text: bytes) -> bytes:
    """Take one's time."""
    ending.wait(milliseconds / 1000)
    return rot13(text)


def encode(text: bytes) -> bytes:
    """Write an answer as it is to be sent."""
    return text + b"\r\n"


def handle(name: str, line: bytes) -> bytes:
    """All that has nothing to do with sockets; in whatever thread."""
    milliseconds, text = decode(line)
    say(f"{name}: compute for {milliseconds} ms, {threading.current_thread().name}")
    return encode(compute(milliseconds, text))


def send(connection: TcpConnection, answer: bytes) -> None:
    """The way back: in the loop's thread, as all that touches a socket."""
    say(f"{connection.name}: send, {connection.loop.name}")
    connection.send(answer)


def on_line(connection: TcpConnection, line: bytes) -> None:
    """A line has come; in the loop's thread, where nothing else goes on while this takes."""
    say(f"{connection.name}: read {line.decode(errors='replace')!r}, {connection.loop.name}")
    workers = connection.owner.workers
    if workers is None:
        send(connection, handle(connection.name, line))
    else:  # answers to one client keep their order, whichever is done first
        workers.submit(connection, handle, connection.name, line, then=send)


def say(text: str) -> None:
    """Print in one piece: other threads print too."""
    print(f"{text}\n", end="")


@click.command("reactor-with-workers", help=__doc__)
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
    default=43211,
    show_default=True,
    help="0: one the kernel chooses.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    metavar="N",
    help="Threads that compute; 0: the loop does it, and everybody waits.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Sub-reactors; 0: the main one does all the reading and sending.",
)
def main(host: str, port: int, workers: int, threads: int) -> None:
    """Make a loop and a server with workers, and run them."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    with EventLoop() as loop:
        server = TcpServer(
            loop,
            Address(host, port),
            on_message=framing.lines(on_line, limit=MAX_LINE),
            threads=threads,
            workers=workers,
        )
        try:
            server.run(STOP_WITHIN, on_started=lambda: say(f"listening on {server.address}"))
        finally:
            ending.set()


if __name__ == "__main__":
    run_program(main)
