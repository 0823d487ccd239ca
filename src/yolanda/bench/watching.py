"""What it costs to wait for events: measured in a process of its own, for `dispatchers`.

Each watched descriptor is a local datagram socket that is connected to itself: what is written to
it can be read from it.  So a watched socket takes one descriptor and not two, and a process that
may have 20,000 can watch 10,000.

A **turn** makes some of the descriptors readable (a byte each), waits, and reads from those that
are reported, until it has had them all.  The time of the waiting alone cannot be taken: to read the
processor's clock costs as much as epoll does.  So the same bytes are also written and read with
nobody watching, and the waiting is what a turn costs more than that.  What the watching adds to the
write itself, which has to enter the descriptor in epoll's ready list, is thereby a part of it.

All waits may block, as those of a server do, though here they never have to: with a time-out of
zero, poll and select would save themselves a part of their work.
"""

import itertools
import os
import random
import resource
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from yolanda.bench.descriptors import raise_limit
from yolanda.bench.probe import serve
from yolanda.reactor.channel import Channel
from yolanda.reactor.dispatcher import READ, EventDispatcher, make_dispatcher
from yolanda.reactor.event_loop import EventLoop

MESSAGE = b"x"
RESERVE = 64
"""Descriptors that are kept for all else: epoll's own, a loop's wake-up, the standard ones."""
_KEPT_FREE = 8

_WRITES = 20_000
"""Messages in one run of turns, about."""
_FEWEST_TURNS, _MOST_TURNS = 4, 512
_BATCH = 64
"""Descriptors that are added, changed or removed between two looks at the clock."""

Wait = Callable[[], Iterable[tuple[int, int]]]


class Descriptors:
    """The sockets.  The first have low numbers, for select cannot watch a high one.

    Some numbers that are lower still stay free, for what a loop has to watch besides.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def first(self, count: int) -> list[int]:
        """Return the first ``count`` of them; those that are missing are made."""
        kept_free = [os.open(os.devnull, os.O_RDONLY) for _ in range(_KEPT_FREE)]
        try:
            while len(self._sockets) < count:
                own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sockets.append(own)
                own.bind("")  # the kernel chooses a name (man 7 unix, autobind)
                own.connect(own.getsockname())
        finally:
            for fd in kept_free:
                os.close(fd)
        return [own.fileno() for own in self._sockets[:count]]


DESCRIPTORS = Descriptors()


# ---- the interfaces of the kernel --------------------------------------------------------


@contextmanager
def select_watching(fds: Sequence[int]) -> Iterator[Wait]:
    """Watch with ``select``."""
    select.select([max(fds)], (), (), 0)  # a descriptor that is too high is refused here
    reading = itertools.repeat(READ)
    yield lambda: zip(select.select(fds, (), ())[0], reading, strict=False)


@contextmanager
def poll_watching(fds: Sequence[int]) -> Iterator[Wait]:
    """Watch with ``poll``."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    yield poll.poll


@contextmanager
def epoll_watching(fds: Sequence[int], flags: int = 0) -> Iterator[Wait]:
    """Watch with ``epoll``."""
    with select.epoll() as epoll:
        for fd in fds:
            epoll.register(fd, select.EPOLLIN | flags)
        yield epoll.poll


WATCHING: dict[str, Callable[[Sequence[int]], AbstractContextManager[Wait]]] = {
    "select": select_watching,
    "poll": poll_watching,
    "epoll": epoll_watching,
    "epoll-et": partial(epoll_watching, flags=select.EPOLLET),
}
"""The interfaces, under the names that Yolanda's dispatchers have."""


# ---- turns -------------------------------------------------------------------------------


class Turns:
    """The descriptors that become active in each of some turns: others every time, by chance.

    They are in the order of their numbers, in which poll and select report them.  Else these two
    would read in an order in which the sockets' memory is nearer at hand than with epoll, which
    reports in the order of the events.
    """

    def __init__(self, fds: Sequence[int], active: int) -> None:
        self.active = active
        count = max(_FEWEST_TURNS, min(_MOST_TURNS, _WRITES // active))
        chance = random.Random(active)
        self.chosen = [sorted(chance.sample(fds, active)) for _ in range(count)]

    def shorten(self, count: float) -> None:
        """Keep about ``count`` of them."""
        del self.chosen[max(_FEWEST_TURNS, int(count)) :]


def read_alone(turns: Turns) -> None:
    """Write and read with nobody watching."""
    write, read = os.write, os.read
    for chosen in turns.chosen:
        for fd in chosen:
            write(fd, MESSAGE)
        for fd in chosen:
            read(fd, 16)


def turn_bare(turns: Turns, wait: Wait) -> int:
    """Make the turns with one of the kernel's interfaces; return how often it waited."""
    write, read, active = os.write, os.read, turns.active
    waits = 0
    for chosen in turns.chosen:
        for fd in chosen:
            write(fd, MESSAGE)
        left = active
        while left > 0:
            ready = wait()
            waits += 1
            for fd, _ in ready:
                read(fd, 16)
                left -= 1
    return waits


class _NoMoreTurns(BaseException):
    """Leaves a loop's `run`, which it can do at once and with nothing to be woken."""


class FeedingDispatcher:
    """A dispatcher of Yolanda that makes descriptors active before it waits.

    So the loop that is measured is `EventLoop.run`, as it is.
    """

    def __init__(self, inner: EventDispatcher) -> None:
        self.name = inner.name
        self.edge_triggered = inner.edge_triggered
        self.add = inner.add
        self.update = inner.update
        self.remove = inner.remove
        self.fileno = inner.fileno
        self.close = inner.close
        self._wait = inner.dispatch
        self._turns: Iterator[Sequence[int]] = iter(())
        self._left = 0
        self.waits = 0

    def feed(self, turns: Turns) -> None:
        """Make these turns in the `run` that comes."""
        self._turns = iter(turns.chosen)
        self.waits = 0

    def dispatch(self, timeout: float | None) -> list[tuple[int, int]]:
        """Make the next descriptors active if the last have all been read; then wait."""
        if self._left == 0:
            chosen = next(self._turns, None)
            if chosen is None:
                raise _NoMoreTurns
            self._left = len(chosen)
            for fd in chosen:
                os.write(fd, MESSAGE)
        ready = self._wait(timeout)
        self.waits += 1
        self._left -= len(ready)
        return ready


@contextmanager
def yolanda_watching(name: str, fds: Sequence[int]) -> Iterator[Callable[[Turns], int]]:
    """Watch with an `EventLoop`, each descriptor with a channel whose callback reads."""
    dispatcher = FeedingDispatcher(make_dispatcher(name))
    with EventLoop(dispatcher) as loop:
        for fd in fds:
            loop.add_channel(Channel(fd, partial(os.read, fd, 16)))

        def turn(turns: Turns) -> int:
            dispatcher.feed(turns)
            try:
                loop.run()
            except _NoMoreTurns:
                return dispatcher.waits
            raise RuntimeError("the loop ended before its turns")

        yield turn


@contextmanager
def _turning(level: str, interface: str, fds: Sequence[int]) -> Iterator[Callable[[Turns], int]]:
    if level == "yolanda":
        with yolanda_watching(interface, fds) as turn:
            yield turn
    else:
        with WATCHING[interface](fds) as wait:
            yield partial(turn_bare, wait=wait)


def measure_reading(watched: int, active: int, seconds: float) -> dict[str, float]:
    """Measure turns in which nobody watches.  Answers what one costs, in seconds."""
    turns = Turns(DESCRIPTORS.first(watched), active)
    return _cost_of_a_turn(turns, lambda: read_alone(turns), seconds)


def measure_turns(
    level: str, interface: str, watched: int, active: int, seconds: float
) -> dict[str, float]:
    """Measure turns.  Answers what one costs altogether, in seconds, and how often it waited.

    ``level`` is ``"kernel"`` for the interface alone, ``"yolanda"`` for an event loop on it.
    """
    fds = DESCRIPTORS.first(watched)
    turns = Turns(fds, active)
    waits = 0

    def run() -> None:
        nonlocal waits
        waits = make(turns)

    with _turning(level, interface, fds) as make:
        costs = _cost_of_a_turn(turns, run, seconds)
    return {**costs, "waits": waits / len(turns.chosen)}


def _cost_of_a_turn(turns: Turns, run: Callable[[], None], seconds: float) -> dict[str, float]:
    """Return the processor time of a turn, of those that go on for ``seconds``.

    The kernel knows the whole exactly, and divides it into the user's and the system's part by
    where its ticks, 100 to 1000 a second, found the process: so these two are rough where the time
    is short.  (man 2 getrusage)
    """
    every = turns.chosen
    turns.chosen = every[:_FEWEST_TURNS]
    run()
    begun = time.process_time()
    run()
    one = (time.process_time() - begun) / len(turns.chosen)
    turns.chosen = every
    turns.shorten(seconds / 4 / one)
    run()  # until Python has specialised the code, and memory is there
    count = 0
    user, system = _user_and_system()
    begun = time.process_time()
    spent = 0.0
    while spent < seconds:
        run()
        count += len(turns.chosen)
        spent = time.process_time() - begun
    user_now, system_now = _user_and_system()
    user, system = user_now - user, system_now - system
    whole = user + system or 1.0
    turn = spent / count
    return {"turn": turn, "user": turn * user / whole, "system": turn * system / whole}


def _user_and_system() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


# ---- changes of what is watched ----------------------------------------------------------


def measure_changes(level: str, interface: str, watched: int, seconds: float) -> dict[str, float]:
    """Measure what it costs to add, update and remove one among ``watched`` descriptors."""
    fds = DESCRIPTORS.first(watched)
    with _changing(level, interface, fds) as (add, update, remove):
        for fd in fds:
            add(fd)
        batch = random.Random(watched).sample(fds, min(_BATCH, watched))
        jobs = {"remove": remove, "add": add, "update": update}  # in this order, round and round
        spent = dict.fromkeys(jobs, 0.0)
        rounds = 0
        clock = _cost_of_the_clock()
        end = time.process_time() + seconds
        while time.process_time() < end:
            for name, job in jobs.items():
                begun = time.process_time()
                for fd in batch:
                    job(fd)
                spent[name] += time.process_time() - begun - clock
            rounds += 1
        for fd in fds:
            remove(fd)
    return {name: max(0.0, total) / rounds / len(batch) for name, total in spent.items()}


Change = Callable[[int], object]


@contextmanager
def _changing(
    level: str, interface: str, fds: Sequence[int]
) -> Iterator[tuple[Change, Change, Change]]:
    if level == "yolanda":
        with EventLoop(interface) as loop:
            channels = {fd: Channel(fd, partial(os.read, fd, 16)) for fd in fds}
            yield (
                lambda fd: loop.add_channel(channels[fd]),
                lambda fd: loop.update_channel(channels[fd]),
                lambda fd: loop.remove_channel(channels[fd]),
            )
    elif interface == "select":
        select.select([max(fds)], (), (), 0)
        watched: set[int] = set()  # what stands for epoll_ctl is the program's own
        yield watched.add, watched.add, watched.discard
    elif interface == "poll":
        poll = select.poll()
        events = select.POLLIN
        yield (
            lambda fd: poll.register(fd, events),
            lambda fd: poll.modify(fd, events),
            poll.unregister,
        )
    else:
        flags = select.EPOLLIN | (select.EPOLLET if interface == "epoll-et" else 0)
        with select.epoll() as epoll:
            yield (
                lambda fd: epoll.register(fd, flags),
                lambda fd: epoll.modify(fd, flags),
                epoll.unregister,
            )


def _cost_of_the_clock() -> float:
    begun = time.process_time()
    for _ in range(100):
        time.process_time()
    return (time.process_time() - begun) / 100


def limit() -> dict[str, int]:
    """Raise the limit of descriptors as far as it goes; answer how many can be watched."""
    return {"descriptors": raise_limit() - RESERVE}


if __name__ == "__main__":
    serve(
        {
            "limit": limit,
            "reading": measure_reading,
            "turns": measure_turns,
            "changes": measure_changes,
        }
    )
