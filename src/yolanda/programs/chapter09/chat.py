"""A chat room: what one says, all others hear.

Chapter 9 suggests it as a first task of one's own.  One loop, one thread, and so no locks: nobody
joins while a message goes round.  Watch that no guest can harm the room: one who is killed is
announced as gone, one who does not read is shown out, and what could upset somebody's terminal is
not passed on.  What the room itself does is in yolanda/programs/chat/room.py; chat-web lets
browsers in as well.

\b
$ yolanda run chat
$ telnet 127.0.0.1 43211        (in other terminals; or: yolanda run chatclient --name ann)
/help
"""

import logging
import re
import socket

import click

from yolanda import Address, EventLoop, TcpConnection, TcpServer, framing
from yolanda.programs.blocking import run_program
from yolanda.programs.chat.room import (
    FAREWELL,
    LONGEST_LINE,
    MOST_SENT,
    MOST_UNREAD,
    Event,
    Guest,
    Room,
    say,
)

# What a telnet program says about its options, or sends for Ctrl+C (RFC 854): not meant for us.
TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].?|\xfa.*?(?:\xff\xf0|$)|.?)", re.DOTALL)


class TelnetGuest(Guest):
    """A guest who sends and reads lines."""

    def __init__(self, connection: TcpConnection) -> None:
        super().__init__(connection.peer_address, connection.loop.time)
        self.connection = connection

    def hear(self, event: Event) -> None:
        """Send a line, or several."""
        if self.connection.queued <= MOST_UNREAD:
            self.connection.send(event.line)

    def end(self) -> None:
        """Close the connection when what was sent is out."""
        self.connection.shutdown()
        # The other side may never close, nor ever read what is left.
        self.connection.loop.call_later(FAREWELL, self.connection.close)


class TelnetDoor:
    """Where guests come in who have a terminal: the hooks of their connections.

    - ``room``: where they go.
    """

    def __init__(self, room: Room) -> None:
        self.room = room

    def open(self, loop: EventLoop, address: Address) -> TcpServer:
        """Return a server for them, which is bound to ``address`` and not started."""
        return TcpServer(
            loop,
            address,
            on_connection_completed=self.on_connection_completed,
            on_message=framing.lines(self.on_line, limit=LONGEST_LINE, on_error=self.on_error),
            on_connection_closed=self.on_connection_closed,
        )

    def on_connection_completed(self, connection: TcpConnection) -> None:
        """Somebody is at the door."""
        connection.context = guest = TelnetGuest(connection)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_SENT)
        connection.set_water_marks(MOST_UNREAD, 0)
        connection.on_high_water = self.on_high_water
        connection.set_keep_alive(60, 15, 4)  # a pulled cable is not heard otherwise
        self.room.welcome(guest)

    def on_line(self, connection: TcpConnection, line: bytes) -> None:
        """A line has come."""
        self.room.take(connection.context, read(line))

    def on_error(self, connection: TcpConnection, error: framing.FrameError) -> None:
        """A line is too long; where it ends, nobody knows."""
        self.room.see_off(connection.context, f"sent a line of more than {LONGEST_LINE} bytes")

    def on_high_water(self, connection: TcpConnection, queued: int) -> None:
        """A guest does not read what it is told, and the room cannot keep it all for ever."""
        guest: Guest = connection.context
        guest.reason = "reads too slowly"
        connection.abort()

    def on_connection_closed(self, connection: TcpConnection) -> None:
        """A guest is gone: it said so, or it was killed and the kernel did."""
        self.room.leave(connection.context)


def read(line: bytes) -> str:
    """Read what was typed, without what the telnet program itself has to say."""
    return TELNET.sub(b"", line).decode(errors="replace")


@click.command("chat", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen; 0.0.0.0 lets in who is not at this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Open the room."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    with EventLoop() as loop:
        server = TelnetDoor(Room()).open(loop, Address(host, port))
        server.run(FAREWELL, on_started=lambda: say(f"listening on {server.address}"))


if __name__ == "__main__":
    run_program(main)
