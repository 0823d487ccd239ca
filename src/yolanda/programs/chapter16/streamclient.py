"""Send lines as messages, each with its length before it.

Chapter 16.  What `send` is called with is not what `recv` gives: --cut and --together change the
first as much as can be, and the server shows the same messages all the same.  Watch the type, too:
it is an integer like the length and needs network order as well.

\b
    $ yolanda run streamserver
    $ yolanda run streamclient 127.0.0.1               (in another terminal; type some lines)
    $ yolanda run streamclient 127.0.0.1 --together    (one send for all, at the end of the input)
"""

import struct
import sys
from collections.abc import Iterator

import click

from yolanda.programs.blocking import PORT, failed, run_program, tcp_client

TEXT = 1
HEADER = struct.Struct("!II")  # length and type; "!" is network order


def messages(kind: int, together: bool) -> Iterator[bytes]:
    """Make a message of every line of the input; of all of them one string, if `together`."""
    lines = sys.stdin.buffer
    encoded = (HEADER.pack(len(line), kind) + line for line in lines)
    if together:
        yield b"".join(encoded)
    else:
        yield from encoded


@click.command("streamclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--cut",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="BYTES",
    help="Send so many bytes at a time; 0: a whole message.",
)
@click.option("--together", is_flag=True, help="Keep all messages for one send at the end.")
@click.option(
    "--type",
    "kind",
    type=click.IntRange(0, 2**32 - 1),
    default=TEXT,
    show_default=True,
    metavar="N",
    help="The type to give; 16777216 is what a little-endian sender makes of 1.",
)
def main(address: str, port: int, cut: int, together: bool, kind: int) -> None:
    """Send what the standard input has."""
    with tcp_client(address, port) as sock:
        for data in messages(kind, together):
            size = cut or max(len(data), 1)
            try:
                for start in range(0, len(data), size):
                    sock.sendall(data[start : start + size])
            except OSError as error:
                raise failed("send", error) from error


if __name__ == "__main__":
    run_program(main)
