"""Listen without SO_REUSEADDR, and be refused the port after a restart.

Chapter 15.  Close the client first, and the server can be started again at once.  End the server
first, with Ctrl+C, and its end of the connection stays in TIME_WAIT, for a minute on Linux: as long
as it does, the next ``bind`` to the port fails, although no process has it.

\b
    $ yolanda run addressused
    $ telnet 127.0.0.1 9527          (in another terminal; type a line, then Ctrl+C here)
    $ yolanda run addressused
"""

import socket

import click

from yolanda.programs.blocking import MAX_LINE, endpoint, failed, resolve, run_program, visible


@click.command("addressused", help=__doc__)
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
