"""The mid-term's client: what is typed goes to the server, what comes back to the screen.

Chapter 19, together with telnet-server (or any server that is spoken to in lines).  `select` waits
for the keyboard and the socket at once, so that an answer is shown whenever it comes.  Watch quit:
this side only half-closes (chapter 11), so that answers which are on their way still come.

\b
$ yolanda run telnet-server
$ yolanda run telnet-client 127.0.0.1 43211        (in another terminal)
pwd
quit
"""

import codecs
import os
import select
import socket

import click

from yolanda.programs.blocking import failed, run_program, tcp_client

STDIN = 0


@click.command("telnet-client", help=__doc__)
@click.argument("address", default="127.0.0.1")
@click.argument("port", type=click.IntRange(1, 65535), default=43211)
@click.option("--port", "also_port", type=click.IntRange(1, 65535), help="The same as PORT.")
def main(address: str, port: int, also_port: int | None) -> None:
    """Connect, and pass on both ways until the server closes."""
    with tcp_client(address, also_port or port) as connection:
        try:
            talk(connection)
        except OSError as error:
            raise failed("server lost", error) from error
    print("server closed")


def talk(connection: socket.socket) -> None:
    """Watch both sides at once, until the server closes."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character
    typed = unsent = b""
    typing, shut = True, False
    lost: OSError | None = None
    connection.setblocking(False)
    while True:
        # No more is read from the keyboard before the server has taken what there was: a client
        # that only writes and a server that only writes would wait for each other for ever.
        readers: list[socket.socket | int] = [connection]
        if typing and not unsent:
            readers.append(STDIN)
        readable, writable, _ = select.select(readers, [connection] if unsent else [], [])
        if connection in readable:
            received = connection.recv(4096)
            if not received and lost:
                raise lost
            if not received:
                return
            print(printable(decoder.decode(received)), end="", flush=True)
        if STDIN in readable:
            piece = os.read(STDIN, 4096)
            typing = bool(piece)
            *lines, typed = (typed + piece).split(b"\n")
            if not piece and typed:
                lines.append(typed)  # the last line has no end
            for line in lines:
                if line.strip() == b"quit":
                    typing = False
                    break
                unsent += line + b"\n"
        # A server that has hung up may have said why: what it sent before is read all the same.
        try:
            if connection in writable:
                unsent = unsent[connection.send(unsent) :]
            if not (typing or unsent or shut):
                shut = True
                connection.shutdown(socket.SHUT_WR)  # answers may still come
        except OSError as error:
            lost, typing, unsent, shut = error, False, b"", True


def printable(text: str) -> str:
    """Leave out what would command the terminal: the server is not to be trusted that far."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t\u3000")


if __name__ == "__main__":
    run_program(main)
