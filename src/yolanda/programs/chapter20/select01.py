"""Talk to a server, and listen to it at the same time.

Chapter 20.  ``select`` waits for the keyboard and for the socket at once.  Watch what comes in
while you do not type: an answer, or the end of the server, is printed that moment.

\b
    $ yolanda run pollserver
    $ yolanda run select01 127.0.0.1          (in another terminal)
"""

import os
import select
import socket
from functools import partial

import click

from yolanda.programs.blocking import MAX_LINE, LineReader, failed, run_program, tcp_client, visible

STDIN_FILENO = 0


@click.command("select01", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
def main(address: str, port: int) -> None:
    """Connect, and talk until one of the two sides ends."""
    with tcp_client(address, port) as connection:
        talk(connection)


def talk(connection: socket.socket) -> None:
    """Send what is typed and print what arrives, whichever comes first."""
    # Bytes are taken from the descriptor itself: sys.stdin reads ahead into a buffer of its own,
    # and select, which asks the kernel, would sleep over the lines that lie there.
    keyboard = LineReader(partial(os.read, STDIN_FILENO))
    all_reads: list[socket.socket | int] = [STDIN_FILENO, connection]
    while True:
        # Python's select returns new lists; C's overwrites the sets that it was given.
        readable, _, _ = select.select(all_reads, [], [])

        if connection in readable:
            try:
                received = connection.recv(MAX_LINE)
            except OSError as error:
                raise failed("read error", error) from error
            if not received and STDIN_FILENO not in all_reads:
                return  # we had said that we were done, and so is the server
            if not received:
                raise click.ClickException("server terminated")
            print(visible(received))

        if STDIN_FILENO in readable and not send_lines(connection, keyboard):
            all_reads.remove(STDIN_FILENO)  # at its end it would be readable for ever
            connection.shutdown(socket.SHUT_WR)


def send_lines(connection: socket.socket, keyboard: LineReader) -> bool:
    """Send a line, and those that came with it; return False at the end of the input."""
    more = True
    while more:
        try:
            line = keyboard.read_line()
        except ValueError as error:
            raise click.ClickException(f"standard input: {error}") from error
        if line is None:
            return False
        print(f"now sending {line.decode(errors='replace')}")
        try:
            connection.sendall(line)
        except OSError as error:
            raise failed("write failed", error) from error
        print(f"send bytes: {len(line)}")
        more = keyboard.pending
    return True


if __name__ == "__main__":
    run_program(main)
