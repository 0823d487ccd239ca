"""The mid-term's commands on the framework: pwd, cd and ls, for many clients at once.

Chapter 27, the exercise.  The same `DirectorySession` answers as in telnet-server; only what is
around it has changed.  A disk may take its time, so the answers are made by workers, and the one
loop goes on serving all others.  Watch two clients: each has its own current directory.

\b
$ yolanda run midterm-server
$ yolanda run telnet-client 127.0.0.1 43211        (in two other terminals)
cd /
pwd
quit
"""

import logging

import click

from yolanda import Address, Buffer, EventLoop, TcpConnection, TcpServer, framing
from yolanda.programs.blocking import MAX_LINE, run_program
from yolanda.programs.directory_session import DirectorySession

STOP_WITHIN = 1.0
"""Seconds that Ctrl+C leaves to the clients; a second Ctrl+C leaves none."""


def on_connection_completed(connection: TcpConnection) -> None:
    """A client is there: it begins where the server was started."""
    connection.context = DirectorySession()
    say(f"{connection.name}: connection completed")


def on_line(connection: TcpConnection, line: bytes) -> None:
    """Have a command done, and look at no further one until its answer is sent.

    Two at a time could overtake each other (`cd`, then `ls`), and a client that asks and asks but
    does not read would pile up answers here.  As it is, its commands wait in its own buffers.
    """
    if not connection.connected:
        return  # the client has said quit
    if line.strip() == b"quit":
        connection.shutdown()
        return
    connection.pause_reading()  # leave what comes in the kernel
    connection.on_message = leave_alone  # and what has come in the connection's buffer
    connection.owner.workers.submit(connection, connection.context.answer, line)


def leave_alone(connection: TcpConnection, buffer: Buffer) -> None:
    """A command is being done; the next ones wait where they are."""


def on_error(connection: TcpConnection, error: framing.FrameError) -> None:
    """The line has no end: say so, and leave it at that."""
    connection.send(f"error: {error}\n".encode())
    connection.shutdown()


on_message = framing.lines(on_line, limit=MAX_LINE, on_error=on_error)


def on_write_completed(connection: TcpConnection) -> None:
    """The answer is in the kernel's hands: on with the next command, if it has come already."""
    if connection.on_message is leave_alone:
        connection.on_message = on_message
        connection.resume_reading()
        on_message(connection, connection.input)


def on_connection_closed(connection: TcpConnection) -> None:
    """The client is gone, and its directory with it."""
    say(f"{connection.name}: connection closed")


def say(text: str) -> None:
    """Print a line in one piece."""
    print(f"{text}\n", end="")


@click.command("midterm-server", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen.  Whoever can connect sees your directories.",
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
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="Threads that look into directories.",
)
def main(host: str, port: int, workers: int) -> None:
    """Make a loop and a server with workers, and run them."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    with EventLoop() as loop:
        server = TcpServer(
            loop,
            Address(host, port),
            on_connection_completed=on_connection_completed,
            on_message=on_message,
            on_write_completed=on_write_completed,
            on_connection_closed=on_connection_closed,
            workers=workers,
        )
        server.run(STOP_WITHIN, on_started=lambda: say(f"listening on {server.address}"))


if __name__ == "__main__":
    run_program(main)
