"""Send what is typed, and end with `close` or with `shutdown`.

Chapter 11, together with graceserver, whose answers take a while.  Type data1, data2, and then one
of the two.  Watch the answers: after ``close`` none arrives any more, for both directions are shut;
after ``shutdown`` this end writes no more and still reads, so they arrive, and then the end.

\b
    $ yolanda run graceserver
    $ yolanda run graceclient 127.0.0.1          (in another terminal)
"""

import os
import select
import socket
import sys
import time

import click

from yolanda.programs.blocking import MAX_LINE, failed, run_program, tcp_client, visible

STDIN = 0  # its descriptor


@click.command("graceclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
@click.option(
    "--stay",
    type=click.FloatRange(0),
    default=6,
    show_default=True,
    metavar="SECONDS",
    help="How long to live on after `close`.",
)
def main(address: str, port: int, stay: float) -> None:
    """Watch the connection and the standard input at once."""
    typed = b""
    with tcp_client(address, port) as connection:
        watched = [connection.fileno(), STDIN]
        while True:
            readable, _, _ = select.select(watched, [], [])
            if connection.fileno() in readable and not show_answer(connection):
                print("server terminated")
                # Only after a shutdown is this the end that was asked for.
                sys.exit(1 if STDIN in watched else 0)
            if STDIN not in readable:
                continue

            data = os.read(STDIN, MAX_LINE)
            *lines, typed = (typed + data).split(b"\n")
            if not data:  # the end of the input means as much as `shutdown`
                lines = [typed, b"shutdown"] if typed else [b"shutdown"]
            for line in lines:
                match line.removesuffix(b"\r"):
                    case b"shutdown":
                        watched.remove(STDIN)
                        half_close(connection)
                        break
                    case b"close":
                        connection.close()
                        time.sleep(stay)
                        return
                    case text:
                        send_line(connection, text)


def show_answer(connection: socket.socket) -> bool:
    """Print what has arrived; return False at the end of the stream."""
    try:
        answer = connection.recv(MAX_LINE)
    except OSError as error:
        raise failed("read error", error) from error
    if answer:
        print(visible(answer))
    return bool(answer)


def send_line(connection: socket.socket, line: bytes) -> None:
    """Send a line without its ending, as the course does."""
    print(f"now sending {line.decode(errors='replace')}")
    try:
        connection.sendall(line)
    except OSError as error:
        raise failed("write failed", error) from error
    print(f"send bytes: {len(line)}")


def half_close(connection: socket.socket) -> None:
    """Send a FIN, and go on reading."""
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        raise failed("shutdown failed", error) from error


if __name__ == "__main__":
    run_program(main)
