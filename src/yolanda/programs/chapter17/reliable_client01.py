"""Send a line, read the answer, and learn in doing so that the peer is gone.

Chapter 17.  Type a line and kill the server before it answers: `recv` sees the end of the stream.
Type one, get the answer, kill the server, and nothing happens: between two lines nobody asks the
kernel.  Then type another: `send` succeeds, and only `recv` reports the end (on Linux; a reset,
on macOS).

\b
    $ yolanda run reliable_server01
    $ yolanda run reliable_client01 127.0.0.1    (in another terminal)
"""

import sys

import click

from yolanda.programs.blocking import PORT, failed, readn, run_program, tcp_client, visible


@click.command("reliable_client01", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
def main(address: str, port: int) -> None:
    """Send the standard input line by line."""
    with tcp_client(address, port) as sock:
        for line in sys.stdin.buffer:
            try:
                sock.sendall(line)
            except OSError as error:
                raise failed("write failed", error) from error
            try:
                answer = readn(sock, len(line))  # the echo is as long as the line
            except OSError as error:
                raise failed("read failed", error) from error
            print(visible(answer), end="")
            if len(answer) < len(line):
                raise click.ClickException("peer connection closed")


if __name__ == "__main__":
    run_program(main)
