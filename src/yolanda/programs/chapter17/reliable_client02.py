"""Send and send, and never read, until the connection breaks.

Chapter 17.  Kill the server meanwhile.  Whoever only writes learns of it by an error: ECONNRESET
where the dead server had left bytes unread, EPIPE where it had not.  In C the second comes as the
signal SIGPIPE, which ends a program without a word unless it is ignored; Python ignores it.

\b
    $ yolanda run reliable_server02
    $ yolanda run reliable_client02 127.0.0.1 --pause 500    (in another terminal)
"""

import time

import click

from yolanda.programs.blocking import PORT, failed, run_program, tcp_client

MESSAGE = b"network programming"


@click.command("reliable_client02", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=10_000_000,
    show_default=True,
    metavar="N",
    help="How often to send.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    metavar="MS",
    help="Rest after each send.",
)
def main(address: str, port: int, count: int, pause: float) -> None:
    """Send until the count is full or the connection broken."""
    with tcp_client(address, port) as sock:
        for _ in range(count):
            try:
                n_written = sock.send(MESSAGE)
            except OSError as error:
                print("send into buffer -1")  # what send(2) returns then
                raise failed("send error", error) from error
            print(f"send into buffer {n_written}")
            time.sleep(pause / 1000)


if __name__ == "__main__":
    run_program(main)
