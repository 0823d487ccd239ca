"""Send lines to a local path, and print the answers.

Chapter 7.  Without a server there is no path, and ``connect`` says so: No such file or directory.
A path that a dead server has left over is there, and refuses.  The server is found by its path
alone, and nothing goes through the network's protocols.

\b
    $ yolanda run unixstreamclient /tmp/unixstream.sock     (alone)
    $ yolanda run unixstreamserver /tmp/unixstream.sock     (in another terminal, and again)
"""

import os
import socket
import sys
from functools import partial

import click

from yolanda.programs.blocking import LineReader, failed, local_address, named, run_program, visible

LONGEST = 1 << 20
"""Bytes that a line may have."""


@click.command("unixstreamclient", help=__doc__)
@click.argument("local_path")
def main(local_path: str) -> None:
    """Connect, and send each line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(local_address(local_path))
        except OSError as error:
            raise failed(f"connect {named(local_path)} failed", error) from error
        try:
            ask(connection)
        except ValueError as error:
            raise click.ClickException(f"read error: {error}") from error


def ask(connection: socket.socket) -> None:
    """Send what is typed, line by line, and print the answer to each."""
    typed = LineReader(partial(os.read, sys.stdin.fileno()), LONGEST)
    answers = LineReader(connection.recv, LONGEST + len("Hi, "))
    while (line := typed.read_line()) is not None:
        try:
            connection.sendall(line + b"\n")
        except OSError as error:
            raise failed("write error", error) from error
        try:
            answer = answers.read_line()
        except OSError as error:
            raise failed("read error", error) from error
        if answer is None:
            raise click.ClickException("server terminated prematurely")
        print(visible(answer))


if __name__ == "__main__":
    run_program(main)
