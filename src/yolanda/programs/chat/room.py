"""The chat room: who is in it, what goes round, and what a guest may do.

Nothing here knows of sockets: lines come from guests, and guests hear events.  That is why those
who come by telnet and those who come in a browser can be in the same room.
"""

import json
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Protocol

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

LONGEST_NAME = 20
"""Characters."""

MOST_NAMED = 50
"""Names that a line lists where a program broke and took many along."""

HELP = """\
  /who              who is here (also /list)
  /msg NAME TEXT    say something to one alone
  /nick NAME        take another name
  /quit             leave
  /help             this
All else that you type goes to everybody."""


class Event:
    """Something that guests hear: text for a terminal, and the same as data for a program.

    It is encoded once in each form, however many hear it.

    - ``text``: a line, or several;
    - ``kind`` and ``fields``: what happened, and to whom.
    """

    def __init__(self, text: str, kind: str, /, **fields: object) -> None:
        self.text = text
        self.kind = kind
        self.fields = fields

    @cached_property
    def line(self) -> bytes:
        """As terminals of the network read it, each line ended with CR LF."""
        return self.text.replace("\n", "\r\n").encode() + b"\r\n"

    @cached_property
    def message(self) -> str:
        """As JSON."""
        return json.dumps({"kind": self.kind, **self.fields}, ensure_ascii=False)


def notice(text: str) -> Event:
    """An answer to one guest, which is only to be shown."""
    return Event(f"* {text}", "notice", text=text)


def said(name: str, text: str) -> Event:
    """What one says to all."""
    return Event(f"<{name}> {text}", "said", name=name, text=text)


def joined(names: Sequence[str]) -> Event:
    """Somebody has come in."""
    return Event(f"* {_some(names)} joined", "joined", names=names)


def left(names: Sequence[str], reason: str = "") -> Event:
    """Somebody is gone."""
    why = f" ({reason})" if reason else ""
    return Event(f"* {_some(names)} left{why}", "left", names=names, reason=reason)


def renamed(before: str, name: str) -> Event:
    """Somebody has another name."""
    return Event(f"* {before} is now {name}", "renamed", before=before, name=name)


def whispered(sender: str, text: str) -> Event:
    """What one says to the one who hears this."""
    return Event(f"<{sender} to you alone> {text}", "whisper", sender=sender, text=text)


def whisper_heard(recipient: str, text: str) -> Event:
    """What the one who hears this has said to ``recipient``, who has got it."""
    return Event(f"<you to {recipient} alone> {text}", "whispered", recipient=recipient, text=text)


class Guest(ABC):
    """Somebody who is connected: without a name at first, then in the room.

    - ``address``: where from, to be shown;
    - ``clock()``: seconds, from any moment on.
    """

    def __init__(self, address: object, clock: Callable[[], float]) -> None:
        self.address = address
        self.name = ""
        self.named_at = 0.0  # the time of day, which other machines have as well
        self.reason = ""  # for which it was shown out
        self.leaving = False
        self._clock = clock
        self._lines = 0  # in the second that began then:
        self._since = clock()

    @abstractmethod
    def hear(self, event: Event) -> None:
        """Send ``event``; nothing to one who is about to be shown out for its slowness."""

    @abstractmethod
    def end(self) -> None:
        """End the connection when what was sent is out, and after `FAREWELL` in any case."""

    def talks_too_fast(self) -> bool:
        """Count a line."""
        now = self._clock()
        if now - self._since >= 1:
            self._since, self._lines = now, 0
        self._lines += 1
        return self._lines > LINES_A_SECOND


class Elsewhere(Protocol):
    """What a room has to know of those with which it is one, and what it tells them."""

    @property
    def apart(self) -> bool:
        """Whether they are out of reach at the moment."""

    def names(self) -> Iterable[str]:
        """Who is there."""

    def find(self, name: str) -> str | None:
        """Who is there under ``name``, however it is written."""

    def entered(self, guest: Guest) -> None:
        """A guest has a name."""

    def renamed(self, guest: Guest, before: str) -> None:
        """A guest has another name than ``before``."""

    def left(self, guest: Guest) -> None:
        """A guest is gone."""

    def said(self, guest: Guest, text: str) -> None:
        """A guest talks to all."""

    def whisper(self, guest: Guest, name: str, text: str) -> None:
        """A guest talks to ``name`` alone, who is there; it hears what became of it."""


class Nowhere:
    """There is no other room."""

    apart = False

    def names(self) -> Iterable[str]:
        """Nobody."""
        return ()

    def find(self, name: str) -> str | None:
        """Nobody."""
        return None

    def entered(self, guest: Guest) -> None:
        """Nobody is to be told."""

    def renamed(self, guest: Guest, before: str) -> None:
        """Nobody is to be told."""

    def left(self, guest: Guest) -> None:
        """Nobody is to be told."""

    def said(self, guest: Guest, text: str) -> None:
        """Nobody is to be told."""

    def whisper(self, guest: Guest, name: str, text: str) -> None:
        """There is nobody."""


class Room:
    """Those who have a name, and what goes round among them.

    It belongs to one thread, that of its guests' loop.
    """

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}
        self.elsewhere: Elsewhere = Nowhere()

    # ---- what a door calls ---------------------------------------------------------------

    def welcome(self, guest: Guest) -> None:
        """Somebody is at the door."""
        guest.hear(Event("* welcome; what is your name?", "welcome"))

    def take(self, guest: Guest, line: str) -> None:
        """A guest has sent a line."""
        if guest.leaving:
            return  # we have said good-bye
        text = clean(line)
        if guest.talks_too_fast():
            self.see_off(guest, "talks too fast")
        elif text.startswith("/"):
            self.obey(guest, text)
        elif not guest.name:
            self.ask_for(guest, text)
        elif text:
            self.tell(said(guest.name, text), but=guest)
            self.elsewhere.said(guest, text)

    def see_off(self, guest: Guest, reason: str = "") -> None:
        """Say good-bye to a guest who wants to go, or has to."""
        if guest.leaving:
            return
        guest.leaving = True
        guest.reason = reason
        text = f"* good-bye ({reason})" if reason else "* good-bye"
        guest.hear(Event(text, "goodbye", reason=reason))
        guest.end()
        self.leave(guest)

    def leave(self, guest: Guest) -> None:
        """Take a guest out of the room, if it is in."""
        guest.leaving = True
        if self.guests.pop(key_of(guest.name), None) is not None:
            say(f"{guest.name} left" + (f" ({guest.reason})" if guest.reason else ""))
            self.tell(left([guest.name], guest.reason))
            self.elsewhere.left(guest)

    # ---- names ---------------------------------------------------------------------------

    def ask_for(self, guest: Guest, name: str) -> None:
        """Let a guest in, or call it something else, if the name is a good one and free."""
        name = unicodedata.normalize("NFKC", name).strip()
        if not is_name(name):
            refuse(guest, "a name has up to 20 letters and digits, and - _ . within")
        elif self.guests.get(key_of(name)) is not guest and self.find(name) is not None:
            refuse(guest, f"{name} is taken", taken=True)
        elif guest.name:
            self.rename(guest, name)
        else:
            guest.named_at = time.time()
            guest.name = name
            self.guests[key_of(name)] = guest
            say(f"{name} joined from {guest.address}")
            names = self.names()
            text = f"* hello {name}, {presence(names)}; /help lists what you can do"
            guest.hear(Event(text, "hello", name=name, names=names))
            if self.elsewhere.apart:
                guest.hear(Event(f"* {APART}", "apart", names=[]))
            self.tell(joined([name]), but=guest)
            self.elsewhere.entered(guest)

    def rename(self, guest: Guest, name: str) -> None:
        """Call a guest something else, which is a good name and nobody else's."""
        before = guest.name
        del self.guests[key_of(before)]
        self.guests[key_of(name)] = guest
        guest.name, guest.named_at = name, time.time()
        self.tell(renamed(before, name))
        self.elsewhere.renamed(guest, before)

    def find(self, name: str) -> str | None:
        """Return who is called so, here or elsewhere."""
        guest = self.guests.get(key_of(name))
        return self.elsewhere.find(name) if guest is None else guest.name

    def names(self) -> list[str]:
        """Return who is here, and elsewhere."""
        return [*(guest.name for guest in self.guests.values()), *self.elsewhere.names()]

    # ---- talking -------------------------------------------------------------------------

    def tell(self, event: Event, but: Guest | None = None) -> None:
        """Let all in this room hear ``event``, except the one who caused it."""
        for guest in self.guests.values():
            if guest is not but:
                guest.hear(event)

    def obey(self, guest: Guest, text: str) -> None:
        """Do what a line with a slash in front asks for."""
        command, _, rest = text.partition(" ")
        match command:
            case "/help":
                guest.hear(Event(HELP, "notice", text=HELP))
            case "/nick":
                self.ask_for(guest, rest)
            case "/who" | "/list":
                names = self.names()
                guest.hear(Event(f"* {presence(names)}", "present", names=names))
            case "/msg":
                self.whisper(guest, rest)
            case "/quit":
                self.see_off(guest)
            case _:
                guest.hear(notice(f"there is no {command}; /help lists what there is"))

    def whisper(self, guest: Guest, rest: str) -> None:
        """Say something to one guest alone."""
        name, _, text = map(str.strip, rest.strip().partition(" "))
        other = self.guests.get(key_of(name))
        if not guest.name:
            guest.hear(notice("your name first, please"))
        elif not text:
            guest.hear(notice("/msg NAME TEXT"))
        elif other is not None:
            other.hear(whispered(guest.name, text))
            guest.hear(whisper_heard(other.name, text))
        elif self.elsewhere.find(name) is not None:
            self.elsewhere.whisper(guest, name, text)
        else:
            guest.hear(notice(f"nobody here is called {name}"))


APART = "the other rooms are out of reach; only those who are in this one hear you"


def refuse(guest: Guest, problem: str, *, taken: bool = False) -> None:
    """Tell a guest that it cannot be called so."""
    text = f"{problem}; another, please"
    guest.hear(Event(f"* {text}", "refused", text=text, taken=taken))


def presence(names: Sequence[str]) -> str:
    """Say who is here."""
    return f"{len(names)} here: {', '.join(names)}" if names else "nobody is here"


def _some(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} has"
    more = len(names) - MOST_NAMED
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {more} more have" if more > 0 else f"{shown} have"


def clean(text: str) -> str:
    """Take out all that would command a terminal or make text run backwards."""
    text = text.replace("\t", " ")
    return "".join(c if c.isprintable() or c in "\u3000\u200d" else "\ufffd" for c in text).strip()


def is_name(name: str) -> bool:
    """Whether somebody can be called so: letters with their marks and numbers, of any script."""
    return (
        0 < len(name) <= LONGEST_NAME
        and name[0].isalnum()
        and all(unicodedata.category(c)[0] in "LMN" or c in "-_." for c in name)
    )


def key_of(name: str) -> str:
    """Return what two ways to write the same name have in common."""
    return unicodedata.normalize("NFKC", name).casefold()


def say(text: str) -> None:
    """Print a line in one piece."""
    print(f"{text}\n", end="")
