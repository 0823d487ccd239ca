"""Serve one client over a local path, and end with it.

Chapter 7.  The program is that of TCP, but for the address: a path, which ``bind`` makes (look at
it with ``ls -l``) and ``close`` does not remove.  So this server removes what a dead one has left
over, and never a file of another kind; and in the end its own path.  Connecting to a path needs
the right to write to it, binding one the right to write to its folder.

\b
    $ yolanda run unixstreamserver /tmp/unixstream.sock
    $ yolanda run unixstreamclient /tmp/unixstream.sock     (in another terminal)
"""

import socket

import click

from yolanda.programs.blocking import (
    LineReader,
    endpoint,
    failed,
    local_server,
    run_program,
    visible,
)

LONGEST = 1 << 20
"""Bytes that a line may have."""


@click.command("unixstreamserver", help=__doc__)
@click.argument("local_path")
def main(local_path: str) -> None:
    """Listen, accept one client, and serve it."""
    with local_server(local_path, socket.SOCK_STREAM) as listener:
        listener.listen()
        print(f"listening on {endpoint(listener.getsockname())}")
        connection, _ = listener.accept()  # of the client there is no address to print
        with connection:
            try:
                answer_lines(connection)
            except ValueError as error:
                raise click.ClickException(f"read error: {error}") from error
        print("client quit")


def answer_lines(connection: socket.socket) -> None:
    """Answer each line until the client leaves; a line may come in pieces, or several in one."""
    reader = LineReader(connection.recv, LONGEST)
    while True:
        try:
            line = reader.read_line()
        except OSError as error:
            raise failed("read error", error) from error
        if line is None:
            return
        print(f"Receive: {visible(line)}")
        try:
            connection.sendall(b"Hi, " + line + b"\n")
        except OSError as error:
            raise failed("write error", error) from error


if __name__ == "__main__":
    run_program(main)
