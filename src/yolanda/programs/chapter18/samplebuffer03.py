"""Read lines into a buffer that cannot overflow.

Chapter 18.  The course's second `readline` writes one byte past a buffer of ten when the line is
`012345678` and its newline; Python's bytes grow instead, which only moves the danger: a client
that never ends its line would fill the memory.  So a line has a limit here, too.  Watch where it
lies: a line of --limit bytes is taken, and one byte more is refused, be its end in sight or not.

\b
    $ yolanda run samplebuffer03
    $ yolanda run bufferclient 127.0.0.1    (in another terminal; type 0123456789, 0123456789a)
"""

import socket

import click

from yolanda.programs.blocking import (
    PORT,
    LineReader,
    endpoint,
    explain,
    run_program,
    tcp_server_listen,
    visible,
)


def serve(connection: socket.socket, limit: int) -> None:
    """Print the lines of one client until it closes or sends one that is too long."""
    reader = LineReader(connection.recv, limit)
    try:
        while (line := reader.read_line()) is not None:
            print(f"received {len(line)} bytes: {visible(line)}")
        print("client closed")
    except OSError as error:
        print(f"error read message: {explain(error)}")
    except ValueError as error:
        print(f"error read message: {error}")


@click.command("samplebuffer03", help=__doc__)
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
    "--limit",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="BYTES",
    help="The longest line, its ending not counted.",
)
def main(host: str, port: int, limit: int) -> None:
    """Serve one client after the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, _ = listener.accept()
            with connection:
                serve(connection, limit)


if __name__ == "__main__":
    run_program(main)
