"""The mid-term: a server that is asked pwd, cd and ls, by one client after the other.

Chapter 19.  Two loops: the outer one accepts clients, the inner one reads the lines of one of them.
Watch that a client may leave as it likes, with quit, with Ctrl+C or killed, and that the next one
is served, from the directory in which the server was started.

\b
$ yolanda run telnet-server
$ yolanda run telnet-client 127.0.0.1 43211        (in another terminal)
pwd
cd /
ls
quit
"""

import socket

import click

from yolanda.programs.blocking import LineReader, endpoint, explain, run_program, tcp_server_listen
from yolanda.programs.directory_session import DirectorySession


@click.command("telnet-server", help=__doc__)
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
    help="0: one that the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, _ = listener.accept()
            with connection:
                try:
                    serve(connection)
                    print("client closed")
                except OSError as error:  # this client's end, not the server's
                    print(f"client lost: {explain(error)}")


def serve(connection: socket.socket) -> None:
    """Answer the lines of one client, until it says quit or closes."""
    session = DirectorySession()
    lines = LineReader(connection.recv)
    while True:
        try:
            line = lines.read_line()
        except ValueError as error:
            connection.sendall(f"error: {error}\n".encode())
            return
        if line is None or line.strip() == b"quit":
            return
        connection.sendall(session.answer(line))


if __name__ == "__main__":
    run_program(main)
