"""Take messages out of the stream by the length that goes before each.

Chapter 16.  A message is four bytes of length, four bytes of type, both in network order, and the
body.  However the sender and the network cut the stream, the same messages come out.  Watch what
becomes of a client that announces more than --limit: it is refused before a byte of the body is
read, and the next client is served.

\b
    $ yolanda run streamserver
    $ yolanda run streamclient 127.0.0.1            (in another terminal; type some lines)
    $ yolanda run streamclient 127.0.0.1 --cut 1    (the same messages, a byte at a time)
"""

import socket

import click

from yolanda.programs.blocking import (
    PORT,
    endpoint,
    explain,
    read_message,
    run_program,
    tcp_server_listen,
    visible,
)

TEXT = 1  # the only type of message that the course has


def receive(connection: socket.socket, limit: int) -> int:
    """Print the messages of one client; return how many there were."""
    count = 0
    try:
        while (message := read_message(connection, limit)) is not None:
            kind, body = message
            count += 1
            what = f"{len(body)} bytes" if kind == TEXT else f"{len(body)} bytes of type {kind}"
            print(f"received {what}: {visible(body.rstrip())}")
        print("client closed")
    except TimeoutError:
        print("read timeout")
    except OSError as error:
        print(f"error read message: {explain(error)}")
    except ValueError as error:  # nobody knows where the next message would begin
        print(f"error read message: {error}")
    return count


@click.command("streamserver", help=__doc__)
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
    default=128,
    show_default=True,
    metavar="BYTES",
    help="The longest body that is taken.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Give up a client that is silent for so long (chapter 18); 0: never.",
)
def main(host: str, port: int, limit: int, timeout: float) -> None:
    """Serve one client after the other."""
    count = 0
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(timeout or None)
                    count += receive(connection, limit)
        except KeyboardInterrupt:
            print(f"\nreceived {count} messages")
            raise


if __name__ == "__main__":
    run_program(main)
