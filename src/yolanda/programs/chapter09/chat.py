"""A chat room: what one says, all others hear.

Chapter 9 suggests it as a first task of one's own.  One loop, one thread, and so no locks: nobody
joins while a message goes round.  Watch that no guest can harm the room: one who is killed is
announced as gone, one who does not read is shown out, and what could upset somebody's terminal is
not passed on.

\b
$ yolanda run chat
$ telnet 127.0.0.1 43211        (in other terminals; or: yolanda run chatclient --name ann)
/help
"""

import logging
import re
import socket
import unicodedata

import click

from yolanda import Address, EventLoop, TcpConnection, TcpServer, framing

FAREWELL = 1.0
"""Seconds that a guest has to read our last words; then the connection is closed."""

LONGEST_LINE = 4096
"""Bytes that a line may have."""

MOST_UNREAD = 256 * 1024
"""Bytes that may wait here for a guest who reads slowly; then it is shown out."""

MOST_SENT = 64 * 1024
"""Bytes that may wait in the kernel; by itself it would take megabytes for each guest."""

LINES_A_SECOND = 100
"""Lines that a guest may send; each means work for all others."""

HELP = """\
  /who              who is here (also /list)
  /msg NAME TEXT    say something to one alone
  /nick NAME        take another name
  /quit             leave
  /help             this
All else that you type goes to everybody."""

# What a telnet program says about its options, or sends for Ctrl+C (RFC 854): not meant for us.
TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].?|\xfa.*?(?:\xff\xf0|$)|.?)", re.DOTALL)


class Guest:
    """Somebody who is connected: without a name at first, then in the room."""

    def __init__(self, connection: TcpConnection) -> None:
        self.connection = connection
        self.name = ""
        self.reason = ""  # for which it was shown out
        self.lines = 0  # in the second that began then:
        self.since = connection.loop.time()

    def hear(self, text: str) -> None:
        """Send a line, or several."""
        self.send(encode(text))

    def send(self, data: bytes) -> None:
        """Send what is encoded; nothing to one who is about to be shown out for its slowness."""
        if self.connection.queued <= MOST_UNREAD:
            self.connection.send(data)

    def talks_too_fast(self) -> bool:
        """Count a line."""
        now = self.connection.loop.time()
        if now - self.since >= 1:
            self.since, self.lines = now, 0
        self.lines += 1
        return self.lines > LINES_A_SECOND


class Room:
    """Those who have a name, and what goes round among them."""

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}

    # ---- the hooks -----------------------------------------------------------------------

    def on_connection_completed(self, connection: TcpConnection) -> None:
        """Somebody is at the door."""
        connection.context = guest = Guest(connection)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_SENT)
        connection.set_water_marks(MOST_UNREAD, 0)
        connection.on_high_water = self.on_high_water
        connection.set_keep_alive(60, 15, 4)  # a pulled cable is not heard otherwise
        guest.hear("* welcome; what is your name?")

    def on_line(self, connection: TcpConnection, line: bytes) -> None:
        """A line has come."""
        guest: Guest = connection.context
        text = clean(line)
        if not connection.connected:
            return  # we have said good-bye
        if guest.talks_too_fast():
            self.see_off(guest, "talks too fast")
        elif text.startswith("/"):
            self.obey(guest, text)
        elif not guest.name:
            self.rename(guest, text)
        elif text:
            self.tell(f"<{guest.name}> {text}", but=guest)

    def on_error(self, connection: TcpConnection, error: framing.FrameError) -> None:
        """A line is too long; where it ends, nobody knows."""
        self.see_off(connection.context, f"sent a line of more than {LONGEST_LINE} bytes")

    def on_high_water(self, connection: TcpConnection, queued: int) -> None:
        """A guest does not read what it is told, and the room cannot keep it all for ever."""
        guest: Guest = connection.context
        guest.reason = "reads too slowly"
        connection.abort()

    def on_connection_closed(self, connection: TcpConnection) -> None:
        """A guest is gone: it said so, or it was killed and the kernel did."""
        self.leave(connection.context)

    # ---- coming and going ----------------------------------------------------------------

    def rename(self, guest: Guest, name: str) -> None:
        """Let a guest in, or call it something else, if the name is a good one and free."""
        name = unicodedata.normalize("NFKC", name).strip()
        holder = self.guests.get(name.casefold())
        if not is_name(name):
            guest.hear(
                "* a name has up to 20 letters and digits, and - _ . within; another, please"
            )
        elif holder not in (None, guest):
            guest.hear(f"* {name} is taken; another, please")
        else:
            self.guests.pop(guest.name.casefold(), None)
            self.guests[name.casefold()] = guest
            before, guest.name = guest.name, name
            if before:
                self.tell(f"* {before} is now {name}")
            else:
                say(f"{name} joined from {guest.connection.peer_address}")
                guest.hear(f"* hello {name}, {self.presence()}; /help lists what you can do")
                self.tell(f"* {name} has joined", but=guest)

    def see_off(self, guest: Guest, reason: str = "") -> None:
        """Say good-bye to a guest who wants to go, or has to."""
        guest.reason = reason
        guest.hear(f"* good-bye ({reason})" if reason else "* good-bye")
        guest.connection.shutdown()
        # The other side may never close, nor ever read what is left.
        guest.connection.loop.call_later(FAREWELL, guest.connection.close)
        self.leave(guest)

    def leave(self, guest: Guest) -> None:
        """Take a guest out of the room, if it is in."""
        if self.guests.pop(guest.name.casefold(), None) is not None:
            why = f" ({guest.reason})" if guest.reason else ""
            say(f"{guest.name} left{why}")
            self.tell(f"* {guest.name} has left{why}")

    # ---- talking -------------------------------------------------------------------------

    def tell(self, text: str, but: Guest | None = None) -> None:
        """Let all in the room hear ``text``, except the one who said it."""
        data = encode(text)
        for guest in self.guests.values():
            if guest is not but:
                guest.send(data)

    def obey(self, guest: Guest, text: str) -> None:
        """Do what a line with a slash in front asks for."""
        command, _, rest = text.partition(" ")
        match command:
            case "/help":
                guest.hear(HELP)
            case "/nick":
                self.rename(guest, rest)
            case "/who" | "/list":
                guest.hear(f"* {self.presence()}")
            case "/msg":
                self.whisper(guest, rest)
            case "/quit":
                self.see_off(guest)
            case _:
                guest.hear(f"* there is no {command}; /help lists what there is")

    def whisper(self, guest: Guest, rest: str) -> None:
        """Say something to one guest alone."""
        name, _, text = map(str.strip, rest.strip().partition(" "))
        other = self.guests.get(unicodedata.normalize("NFKC", name).casefold())
        if not guest.name:
            guest.hear("* your name first, please")
        elif not text:
            guest.hear("* /msg NAME TEXT")
        elif other is None:
            guest.hear(f"* nobody here is called {name}")
        else:
            other.hear(f"<{guest.name} to you alone> {text}")
            guest.hear(f"<you to {other.name} alone> {text}")

    def presence(self) -> str:
        """Say who is here."""
        names = ", ".join(guest.name for guest in self.guests.values())
        return f"{len(self.guests)} here: {names}" if names else "nobody is here"


def encode(text: str) -> bytes:
    """Write lines as terminals of the network end them, with CR LF."""
    return text.replace("\n", "\r\n").encode() + b"\r\n"


def clean(line: bytes) -> str:
    """Read what was typed, without all that would command a terminal or make text run backwards."""
    text = TELNET.sub(b"", line).decode(errors="replace").replace("\t", " ")
    return "".join(c if c.isprintable() or c in "\u3000\u200d" else "\ufffd" for c in text).strip()


def is_name(name: str) -> bool:
    """Whether somebody can be called so: letters with their marks and numbers, of any script."""
    return (
        0 < len(name) <= 20
        and name[0].isalnum()
        and all(unicodedata.category(c)[0] in "LMN" or c in "-_." for c in name)
    )


def say(text: str) -> None:
    """Print a line in one piece."""
    print(f"{text}\n", end="")


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
    room = Room()
    with EventLoop() as loop:
        server = TcpServer(
            loop,
            Address(host, port),
            on_connection_completed=room.on_connection_completed,
            on_message=framing.lines(room.on_line, limit=LONGEST_LINE, on_error=room.on_error),
            on_connection_closed=room.on_connection_closed,
        )
        server.run(FAREWELL, on_started=lambda: say(f"listening on {server.address}"))


if __name__ == "__main__":
    main()
