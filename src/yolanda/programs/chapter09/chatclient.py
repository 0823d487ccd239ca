"""Take part in the chat room: what is typed goes there, what others say comes here.

Chapter 9, together with chat; telnet does as well.  `select` waits for both sides at once, so that
one hears while one thinks about what to say.  Ctrl+D or /quit leaves.

\b
$ yolanda run chat
$ yolanda run chatclient --name ann        (in another terminal)
$ yolanda run chatclient --name bob        (in a third)
"""

import codecs
import os
import select
import socket

import click

from yolanda.programs.blocking import failed, run_program, tcp_client

STDIN = 0


@click.command("chatclient", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.option("--port", type=click.IntRange(1, 65535), default=43211, show_default=True)
@click.option("--name", metavar="NAME", help="What to be called; the room asks if not given.")
def main(address: str, port: int, name: str | None) -> None:
    """Connect, say the name, and pass on both ways until the room closes the connection."""
    with tcp_client(address, port) as connection:
        try:
            if name is not None:
                connection.sendall(f"{name}\n".encode())
            talk(connection)
        except ConnectionError as error:
            raise failed("the room is lost", error) from error


def talk(connection: socket.socket) -> None:
    """Watch both sides at once."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character
    watched: list[socket.socket | int] = [connection, STDIN]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if connection in readable:
            heard = connection.recv(4096)
            if not heard:
                return
            print(decoder.decode(heard).replace("\r", ""), end="", flush=True)
        if STDIN in readable:
            typed = os.read(STDIN, 4096)
            if typed:
                connection.sendall(typed)
            else:
                watched.remove(STDIN)  # a file at its end is readable for ever
                connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    run_program(main)
