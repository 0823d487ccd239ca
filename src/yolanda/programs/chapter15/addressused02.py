"""Listen with SO_REUSEADDR, and have the port again right after a restart.

Chapter 15.  The one difference to addressused is the option, set before ``bind``: a connection in
TIME_WAIT is no hindrance then, provided that the socket it was accepted from had the option, too.
Two servers cannot listen on one port for all that: try a second one while this one runs.

\b
    $ yolanda run addressused02
    $ telnet 127.0.0.1 9527          (in another terminal; type a line, then Ctrl+C here)
    $ yolanda run addressused02
"""

import socket

import click

from yolanda.programs.blocking import MAX_LINE, endpoint, failed, resolve, run_program, visible


@click.command("addressused02", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen; 0.0.0.0: on every address.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9527,
    show_default=True,
    help="0: one the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Serve one client, and end with it."""
    family, address = resolve(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # On the listening socket and before bind: it is bind that asks whether the port is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise failed(f"bind {endpoint(address)} failed", error) from error
        print(f"listening on {endpoint(listener.getsockname())}")
        connection, _ = listener.accept()
        with connection:
            show_messages(connection)


def show_messages(connection: socket.socket) -> None:
    """Print what comes, until the client closes."""
    count = 0
    try:
        while message := connection.recv(MAX_LINE):
            count += 1
            text = visible(message).removesuffix("\n")
            print(f"received {len(message)} bytes: {text}")
        print("client closed")
    except KeyboardInterrupt:
        print(f"\nreceived {count} messages")
        raise
    except OSError as error:
        raise failed("error read", error) from error


if __name__ == "__main__":
    run_program(main)
