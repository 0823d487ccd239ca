"""A model of epoll's inside, stepped side by side with the kernel's own.

Chapter 31.  An eventpoll is three things: a tree of the descriptors that interest it, a list of
those that may be ready, and a callback that hangs in each descriptor's wait queue and links it
into the list.  Watch the list: level-triggered entries are linked again by epoll_wait itself,
edge-triggered ones only by the next event, and EPOLLONESHOT ones not before they are modified.

Every step is done to the model and, on Linux, to a real epoll on socket pairs; the last column
says whether the two gave the same answer.

\b
    $ yolanda run epoll-model
    $ yolanda run epoll-model --scene edge --step
    $ printf 'add a in et\\nwrite a 5\\nwait\\nwait\\n' | yolanda run epoll-model -

\b
The steps:
    add NAME in|out|rdhup|et|oneshot ...    EPOLL_CTL_ADD; likewise mod NAME ...
    del NAME                                EPOLL_CTL_DEL
    wait [N]                                epoll_wait, for N events at most
    write NAME [N]                          the other end writes N bytes
    read NAME [N]                           NAME reads up to N bytes
    fill NAME                               NAME writes until its buffer is full
    drain NAME                              the other end reads everything
    shut NAME, close NAME                   the other end ends its stream, or is gone
"""

import bisect
import errno
import os
import re
import select
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import click

from yolanda.programs.blocking import run_program

# Numbers of the kernel's, written out so that the model runs everywhere.
IN, OUT, ERR, HUP, RDHUP = 0x1, 0x4, 0x8, 0x10, 0x2000
ONESHOT, ET = 1 << 30, 1 << 31
EP_PRIVATE_BITS = ONESHOT | ET
FLAGS = {"in": IN, "out": OUT, "err": ERR, "hup": HUP, "rdhup": RDHUP, "oneshot": ONESHOT, "et": ET}

ACTS = ("write", "read", "fill", "drain", "shut", "close")
MOST_BYTES, MOST_PIECES = 1000, 50  # that a socket is sure to hold

Ready = list[tuple[str, int]]
"""What epoll_wait returns: names instead of descriptors, and events."""


# ---- the model: a file, which knows whom to wake -------------------------------------------------


class File:
    """One end of a socket pair, as far as poll can see it; the world is at the other end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.wait_queue: list[Callable[[int], None]] = []
        self.unread: deque[int] = deque()  # sizes of the pieces that came and were not read
        self.full = False  # the send buffer is
        self.end_of_stream = False
        self.hung_up = False
        self.error = False

    def poll(self) -> int:
        """Say what could be done now; the kernel's `file->f_op->poll`."""
        events = 0
        if self.unread or self.end_of_stream:
            events |= IN
        if not self.full:
            events |= OUT
        if self.end_of_stream:
            events |= RDHUP
        if self.hung_up:
            events |= HUP
        if self.error:
            events |= ERR
        return events

    def wake_up(self, events: int) -> None:
        """Call everybody in the wait queue; ``events`` 0 says that anything may have changed."""
        for callback in self.wait_queue:
            callback(events)

    def write(self, size: int) -> None:
        """The other end writes: a piece arrives."""
        self.unread.append(size)
        self.wake_up(IN)

    def read(self, size: int) -> None:
        """This end reads up to ``size`` bytes, which wakes nobody here."""
        if not self.unread:
            self.error = False  # the read has returned it
        while size and self.unread:
            taken = min(size, self.unread[0])
            size -= taken
            self.unread[0] -= taken
            if not self.unread[0]:
                self.unread.popleft()

    def fill(self) -> None:
        """This end writes until the kernel takes no more."""
        self.full = True

    def drain(self) -> None:
        """The other end reads everything: there is room again."""
        if self.full:
            self.full = False
            self.wake_up(OUT)

    def shut(self) -> None:
        """The other end writes no more."""
        self.end_of_stream = True
        self.wake_up(0)

    def close(self) -> None:
        """The other end is gone; what it had not read is an error."""
        self.end_of_stream = self.hung_up = True
        self.error = self.full
        self.wake_up(0)
        self.drain()


# ---- the model: an eventpoll, with the kernel's names --------------------------------------------


class EpItem:
    """A descriptor that interests an eventpoll (`struct epitem`)."""

    def __init__(self, eventpoll: "EventPoll", file: File, events: int) -> None:
        self.eventpoll = eventpoll
        self.file = file
        self.events = events

    @property
    def key(self) -> str:
        """Orders the tree; the kernel compares the file's address, then the descriptor."""
        return self.file.name

    def poll(self) -> int:
        """What could be done now and is of interest (`ep_item_poll`)."""
        return self.file.poll() & self.events

    def ep_poll_callback(self, events: int) -> None:
        """Hangs in the file's wait queue and is called when something happens to the file."""
        if not self.events & ~EP_PRIVATE_BITS:
            return  # a one-shot that has been told
        if events and not events & self.events:
            return  # not of interest
        self.eventpoll.link(self)


class EventPoll:
    """An epoll instance (`struct eventpoll`).  It never sleeps: epoll_wait has a time-out of 0.

    Left out: locks, `ovflist` (events that come while epoll_wait copies), EPOLLEXCLUSIVE, and an
    eventpoll that watches another.
    """

    def __init__(self) -> None:
        self.rbr: list[EpItem] = []  # sorted, and searched by halves: in place of a red-black tree
        self.rdllist: deque[EpItem] = deque()

    def link(self, item: EpItem) -> None:
        """Append to the ready list, unless it is in it already."""
        if item not in self.rdllist:
            self.rdllist.append(item)

    def ep_find(self, name: str) -> EpItem | None:
        """Search the tree."""
        at = bisect.bisect_left(self.rbr, name, key=lambda item: item.key)
        return self.rbr[at] if at < len(self.rbr) and self.rbr[at].key == name else None

    def add(self, file: File, events: int) -> None:
        """EPOLL_CTL_ADD: put it into the tree, hang the callback up, and look at once."""
        if self.ep_find(file.name):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        item = EpItem(self, file, events | ERR | HUP)
        bisect.insort(self.rbr, item, key=lambda item: item.key)
        file.wait_queue.append(item.ep_poll_callback)
        if item.poll():
            self.link(item)

    def modify(self, file: File, events: int) -> None:
        """EPOLL_CTL_MOD: other events from now on, and look at once."""
        item = self._require(file)
        item.events = events | ERR | HUP
        if item.poll():
            self.link(item)

    def delete(self, file: File) -> None:
        """EPOLL_CTL_DEL: out of the wait queue, the ready list and the tree."""
        item = self._require(file)
        file.wait_queue.remove(item.ep_poll_callback)
        if item in self.rdllist:
            self.rdllist.remove(item)
        self.rbr.remove(item)

    def epoll_wait(self, maxevents: int) -> Ready:
        """Look at what is in the ready list, and copy out what is ready (`ep_send_events`)."""
        told: Ready = []
        txlist, self.rdllist = self.rdllist, deque()
        while txlist and len(told) < maxevents:
            item = txlist.popleft()
            events = item.poll()
            if not events:
                continue  # it was ready once; it is not any more, and leaves the list
            told.append((item.file.name, events))
            if item.events & ONESHOT:
                item.events &= EP_PRIVATE_BITS
            elif not item.events & ET:
                self.rdllist.append(item)  # level-triggered: to be looked at again
        self.rdllist.extendleft(reversed(txlist))  # those that found no room come first
        return told

    def _require(self, file: File) -> EpItem:
        item = self.ep_find(file.name)
        if item is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return item


# ---- two worlds that understand the same commands ------------------------------------------------


class World(Protocol):
    """Sockets by name, and an epoll that may watch them."""

    def add(self, name: str, events: int) -> None:
        """EPOLL_CTL_ADD."""

    def modify(self, name: str, events: int) -> None:
        """EPOLL_CTL_MOD."""

    def delete(self, name: str) -> None:
        """EPOLL_CTL_DEL."""

    def wait(self, maxevents: int) -> Ready:
        """Call epoll_wait, which does not sleep."""

    def interest(self) -> dict[str, int]:
        """The tree: what is watched, and for what."""

    def act(self, verb: str, name: str, size: int) -> None:
        """Do something to a socket, one of `ACTS`.  Raises `ValueError` if that cannot be."""


class ModelWorld:
    """The world as the model sees it."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.epoll = EventPoll()

    def _file(self, name: str) -> File:
        return self.files.setdefault(name, File(name))

    def add(self, name: str, events: int) -> None:
        """EPOLL_CTL_ADD."""
        self.epoll.add(self._file(name), events)

    def modify(self, name: str, events: int) -> None:
        """EPOLL_CTL_MOD."""
        self.epoll.modify(self._file(name), events)

    def delete(self, name: str) -> None:
        """EPOLL_CTL_DEL."""
        self.epoll.delete(self._file(name))

    def wait(self, maxevents: int) -> Ready:
        """Call epoll_wait."""
        return self.epoll.epoll_wait(maxevents)

    def interest(self) -> dict[str, int]:
        """The tree."""
        return {item.file.name: item.events for item in self.epoll.rbr}

    def act(self, verb: str, name: str, size: int) -> None:
        """Do something to a socket."""
        file = self._file(name)
        if (file.hung_up and verb != "read") or (file.end_of_stream and verb in ("write", "shut")):
            raise ValueError(f"{verb} {name}: the other end has gone")
        match verb:
            case "write":
                if size > MOST_BYTES or len(file.unread) == MOST_PIECES:
                    raise ValueError(f"write {name}: that might be more than a socket holds")
                file.write(size)
            case "read":
                file.read(size)
            case "fill":
                file.fill()
            case "drain":
                file.drain()
            case "shut":
                file.shut()
            case "close":
                file.close()


class RealWorld:
    """The same with the kernel's epoll and socket pairs: the near end is watched.  Linux only."""

    def __init__(self) -> None:
        self.pairs: dict[str, tuple[socket.socket, socket.socket]] = {}
        self.epoll = select.epoll()

    def close(self) -> None:
        """Give the descriptors back."""
        self.epoll.close()
        for pair in self.pairs.values():
            for end in pair:
                end.close()

    def _pair(self, name: str) -> tuple[socket.socket, socket.socket]:
        if name not in self.pairs:
            self.pairs[name] = socket.socketpair()
            for end in self.pairs[name]:
                end.setblocking(False)
        return self.pairs[name]

    def _name(self, fd: int) -> str:
        return next(name for name, pair in self.pairs.items() if pair[0].fileno() == fd)

    def add(self, name: str, events: int) -> None:
        """EPOLL_CTL_ADD."""
        self.epoll.register(self._pair(name)[0], events)

    def modify(self, name: str, events: int) -> None:
        """EPOLL_CTL_MOD."""
        self.epoll.modify(self._pair(name)[0], events)

    def delete(self, name: str) -> None:
        """EPOLL_CTL_DEL."""
        self.epoll.unregister(self._pair(name)[0])

    def wait(self, maxevents: int) -> Ready:
        """Call epoll_wait."""
        return [(self._name(fd), events) for fd, events in self.epoll.poll(0, maxevents)]

    def interest(self) -> dict[str, int]:
        """The tree, which the kernel shows in /proc."""
        with open(f"/proc/self/fdinfo/{self.epoll.fileno()}", encoding="ascii") as file:
            lines = re.findall(r"^tfd:\s*(\d+) events:\s*([0-9a-f]+)", file.read(), re.MULTILINE)
        return {self._name(int(fd)): int(events, 16) for fd, events in lines}

    def act(self, verb: str, name: str, size: int) -> None:
        """Do something to a socket."""
        near, far = self._pair(name)
        match verb:
            case "write":
                far.send(b"x" * size)
            case "read":
                read(near, size)
            case "fill":
                while write(near):
                    continue
            case "drain":
                while read(far, 65536):
                    continue
            case "shut":
                far.shutdown(socket.SHUT_WR)
            case "close":
                far.close()


def read(sock: socket.socket, size: int) -> int:
    """Read up to ``size`` bytes; 0 where there is nothing, whyever."""
    try:
        return len(sock.recv(size))
    except (BlockingIOError, ConnectionResetError):
        return 0


def write(sock: socket.socket) -> int:
    """Write some bytes; 0 where the kernel takes no more."""
    try:
        return sock.send(bytes(4096))
    except BlockingIOError:
        return 0


# ---- the play ------------------------------------------------------------------------------------

SCENES = {
    "level": (
        "level-triggered: epoll_wait links what it told again, and looks again",
        "add a in, write a 3, wait, wait, read a 3, wait, wait",
    ),
    "edge": (
        "edge-triggered: told once; what is left unread is told with the next event only",
        "add a in et, write a 3, wait, wait, read a 1, wait, write a 1, wait, mod a in et, wait",
    ),
    "oneshot": (
        "one shot: told once, then silent until it is modified",
        "add a in oneshot, write a 1, wait, write a 1, wait, mod a in oneshot, wait",
    ),
    "filter": (
        "the callback drops what is of no interest; hang-ups always are",
        "add a in, fill a, drain a, mod a out et, wait, write a 1, wait, close a, wait",
    ),
    "fair": (
        "room for one: those that found no room come first, those that were told go behind",
        "add a in, add b in, add c in, write c 1, write a 1, write b 1, "
        "wait 1, wait 1, wait 1, wait 1, del c, wait",
    ),
    "late": (
        "what was ready before it was added is told; what was read meanwhile is not",
        "write a 1, add a in et, add b in et, write b 1, read b 1, wait",
    ),
    "errors": (
        "what the tree is searched for: EEXIST and ENOENT",
        "add a in, add a out, mod b in, del a, del a",
    ),
}


class Stepper:
    """Does each step in the model and, where there is one, in the real world, and compares."""

    def __init__(self, real: RealWorld | None) -> None:
        self.model = ModelWorld()
        self.real = real
        self.steps = 0
        self.disagreements = 0

    def step(self, line: str) -> None:
        """Do one step and print it; raises `ValueError` for what is no step."""
        before = self.ready_list()
        answer, tree = outcome(self.model, line)
        columns = [f"{line:<18}", f"ready list {before} -> {self.ready_list()}".ljust(32)]
        columns.append(f"model {answer}".ljust(24))
        if self.real is not None:
            real_answer, real_tree = outcome(self.real, line)
            agrees = (answer, tree) == (real_answer, real_tree)
            self.disagreements += not agrees
            columns.append(f"epoll {real_answer}".ljust(24))
            columns.append("agree" if agrees else f"DISAGREE: tree {tree}, epoll's {real_tree}")
        self.steps += 1
        print("  " + " ".join(columns).rstrip())

    def ready_list(self) -> str:
        """Show the model's list; the kernel's is not to be seen."""
        return f"[{' '.join(item.file.name for item in self.model.epoll.rdllist)}]"


def outcome(world: World, line: str) -> tuple[str, dict[str, int]]:
    """Do the step in a world; its answer as text, and the tree that is left."""
    answer = "-"
    try:
        told = obey(world, line)
        if told is not None:
            answer = ", ".join(f"{name}:{spell(events)}" for name, events in told) or "nothing"
    except OSError as error:
        answer = errno.errorcode.get(error.errno or 0, str(error))
    return answer, world.interest()


def obey(world: World, line: str) -> Ready | None:
    """Do the step that ``line`` names; raises `ValueError` for what is no step."""
    verb, *arguments = line.split()
    if verb == "wait" and len(arguments) <= 1:
        return world.wait(number(arguments, 16))
    if verb in ACTS and 1 <= len(arguments) <= 2:
        world.act(verb, arguments[0], number(arguments[1:], 1))
        return None
    if verb in ("add", "mod") and arguments:
        events = sum(flag(word) for word in dict.fromkeys(arguments[1:]))
        (world.add if verb == "add" else world.modify)(arguments[0], events)
        return None
    if verb == "del" and len(arguments) == 1:
        world.delete(arguments[0])
        return None
    raise ValueError(f"{line!r} is no step; 'yolanda run epoll-model --help' lists them")


def number(arguments: list[str], default: int) -> int:
    """Read the one argument, if it is there: 1 or more."""
    if not arguments:
        return default
    if not arguments[0].isascii() or not arguments[0].isdigit() or int(arguments[0]) < 1:
        raise ValueError(f"{arguments[0]!r} is not a number from 1 on")
    return int(arguments[0])


def flag(word: str) -> int:
    """Look an event or a flag up."""
    if word not in FLAGS:
        raise ValueError(f"{word!r} is none of {', '.join(FLAGS)}")
    return FLAGS[word]


def spell(events: int) -> str:
    """Name the events, for instance ``in|hup``."""
    return "|".join(word for word, bit in FLAGS.items() if events & bit) or "0"


def play(lines: Iterable[str]) -> Stepper:
    """Do all steps of a scene, in new worlds."""
    real = RealWorld() if hasattr(select, "epoll") else None
    try:
        stepper = Stepper(real)
        for line in lines:
            try:
                stepper.step(line)
            except ValueError as error:
                print(f"  {error}")
        return stepper
    finally:
        if real is not None:
            real.close()


def chosen(scene: str | None) -> Iterator[tuple[str, Iterable[str]]]:
    """Titles and steps of one scene, or of all."""
    for name, (title, steps) in SCENES.items():
        if scene in (None, name):
            yield f"{name}: {title}", steps.split(", ")


def typed() -> Iterator[str]:
    """Steps from the standard input; empty lines and comments are none."""
    for line in sys.stdin:
        if step := line.partition("#")[0].strip():
            yield step


def after_enter(lines: Iterable[str]) -> Iterator[str]:
    """Wait for Enter before each step."""
    for line in lines:
        print(f"next: {line} [Enter]")
        if not sys.stdin.readline():
            return
        yield line


@click.command("epoll-model", help=__doc__)
@click.argument("steps", required=False, type=click.Choice(["-"]), metavar="[-]")
@click.option("--scene", type=click.Choice(list(SCENES)), help="One scene instead of all.")
@click.option("--step", "stepwise", is_flag=True, help="Wait for Enter before each step.")
def main(steps: str | None, scene: str | None, stepwise: bool) -> None:
    """Play the scenes, or with - what the standard input tells."""
    if steps and (scene or stepwise):
        raise click.UsageError("- takes neither --scene nor --step")
    if not hasattr(select, "epoll"):
        print("this platform has no epoll: the model plays alone")
    total = disagreements = 0
    for title, lines in [("typed", typed())] if steps else chosen(scene):
        print(title)
        stepper = play(after_enter(lines) if stepwise else lines)
        total += stepper.steps
        disagreements += stepper.disagreements
    if disagreements:
        raise click.ClickException(f"{disagreements} of {total} steps disagree")
    agree = "the model and the kernel agree" if hasattr(select, "epoll") else "by the model alone"
    print(f"{total} steps: {agree}")


if __name__ == "__main__":
    run_program(main)
