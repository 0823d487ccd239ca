"""Greet each line, after a good while of work.

Chapter 11, together with graceclient: close against shutdown.  Watch what becomes of the answers
under way when the client closes: the first is still sent, its RST comes back, and the next send
fails with EPIPE.  Python ignores SIGPIPE, so that this is an error one can report; ``--sigpipe
default`` gives the signal its effect back, and the server dies without a word.

\b
    $ yolanda run graceserver
    $ yolanda run graceclient 127.0.0.1          (in another terminal)
"""

import signal
import socket
import time
from types import FrameType

import click

from yolanda.programs.blocking import (
    MAX_LINE,
    endpoint,
    explain,
    run_program,
    tcp_server_listen,
    visible,
)


@click.command("graceserver", help=__doc__)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
@click.option(
    "--work",
    type=click.FloatRange(0),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="How long an answer takes.",
)
@click.option(
    "--sigpipe",
    type=click.Choice(["ignore", "default", "handler"]),
    default="ignore",
    show_default=True,
    help="What SIGPIPE does: nothing, end the process, or run a function that says so.",
)
def main(host: str, port: int, work: float, sigpipe: str) -> None:
    """Serve one client after the other."""
    if sigpipe == "default":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    elif sigpipe == "handler":
        signal.signal(signal.SIGPIPE, sig_pipe)
    else:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    count = 0
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    while message := receive(connection):
                        count += 1
                        time.sleep(work)
                        if not send(connection, b"Hi, " + message):
                            break
        except KeyboardInterrupt:
            print(f"\nreceived {count} datagrams")
            raise


def receive(connection: socket.socket) -> bytes:
    """Read what is there; empty when no more will come."""
    try:
        message = connection.recv(MAX_LINE)
    except OSError as error:
        print(f"error read: {explain(error)}")
        return b""
    if message:
        print(f"received {len(message)} bytes: {visible(message)}")
    else:
        print("client closed")
    return message


def send(connection: socket.socket, answer: bytes) -> bool:
    """Send an answer; return False when the connection takes none any more."""
    try:
        connection.sendall(answer)
    except OSError as error:
        print(f"error write: {explain(error)}")
        return False
    print(f"send bytes: {len(answer)}")
    return True


def sig_pipe(signo: int, frame: FrameType | None) -> None:
    """Say that the signal came; the send that caused it fails all the same."""
    print(f"received {signal.Signals(signo).name}")


if __name__ == "__main__":
    run_program(main)
