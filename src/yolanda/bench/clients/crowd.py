"""A crowd of connections of which few speak, in a process of its own; see `probe`.

To *meet* a server is to have one connection to it.  To *gather* is to open connections until there
are so many; each says something at once, and is there when it was answered.  To *speak* is to let
so many of them, taken from all over the crowd, say something so often a second each, at times that
are fixed beforehand: nobody waits for an answer before the next word is due, so a server that halts
is not spared what others would have said meanwhile.  In between nothing is said.

A word is 64 bytes that are echoed, or a small GET.
"""

import random
import select
import socket
import struct
import time
from array import array
from collections import deque
from typing import Any

from yolanda.bench.clients.echo import ask_once, connect
from yolanda.bench.clients.percentiles import percentiles
from yolanda.bench.probe import serve
from yolanda.programs.blocking import explain

ECHOED = bytes(range(64))
SERVER = "127.0.0.1"
SOURCES = 200
"""Addresses of the client at most; a pair of them has a kernel's whole range of ports."""
PORTS_OF_A_SOURCE = 5_000
"""Connections from one address: so few of its 28,000 ports that a free one is found at once."""
UNANSWERED = 500
"""Connections that wait for their first answer at a time: no server's backlog overflows."""
EVENTS = 512
"""Taken by one wait."""
PATIENCE = 5.0
"""Seconds without any answer, or for one connection, after which nobody is waited for."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 seconds: no TIME_WAIT is left behind to fill the table for who comes next."""

_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, in Python from 3.12 on (man 7 ip)


class Crowd:
    """Connections to one server, in one thread.

    - ``word``: what each says;
    - ``size``: the bytes of an answer;
    - ``rest``: seconds to wait for events while a word is not due.  With none the crowd is always
      awake, and its clock exact: epoll cannot wait for less than a millisecond.
    """

    def __init__(self, port: int, word: bytes, size: int, rest: float = 0.0) -> None:
        self._port = port
        self._rest = rest
        self._word = word
        self._size = size
        self._efd = select.epoll()
        self._members: dict[int, socket.socket] = {}
        self._said: dict[int, deque[float]] = {}  # when, of words that are not answered yet
        self._pieces: dict[int, int] = {}  # bytes of an answer of which more is to come
        self._unanswered = 0  # words
        self._closed = 0
        self._trips = array("d")

    def gather(self, total: int) -> dict[str, Any]:
        """Open connections until there are ``total``, each of which was answered once.

        Returns how long that took until the last answer, the processor time that it took here, and
        why there are fewer, in words.
        """
        problem = ""
        begin = last = time.perf_counter()
        cpu = time.process_time()
        while True:
            while self._unanswered < UNANSWERED and len(self._members) < total and not problem:
                try:
                    self._say(self._open())
                except OSError as error:
                    problem = f"connection {len(self._members) + 1:,} is refused: {explain(error)}"
            if not self._unanswered:
                break
            events = self._efd.poll(PATIENCE, EVENTS)
            if not events:
                problem = f"{self._unanswered:,} are not answered in {PATIENCE:.0f} s"
                break
            self._hear(events)
            last = time.perf_counter()
            if self._closed and not problem:
                problem = "it closes connections"
        self._trips = array("d")
        return {
            "seconds": last - begin,
            "cpu": time.process_time() - cpu,
            "problem": problem,
            **self._state(),
        }

    def speak(self, speakers: int, rate: float, seconds: float) -> dict[str, Any]:
        """Have ``speakers`` of the crowd say a word ``rate`` times a second each.

        Returns the words that were said, how late the last one was, how many were not answered, and
        the percentiles of the round trips.
        """
        chosen = _spread_out(list(self._members), speakers)
        say, hear, poll, clock = self._say, self._hear, self._efd.poll, time.perf_counter
        words = round(len(chosen) * rate * seconds)
        pause = 1 / (len(chosen) * rate)
        self._trips = array("d")
        cpu = time.process_time()
        begin = now = clock()
        said = 0
        while said < words:
            due = min(words, int((now - begin) / pause) + 1)
            while said < due:
                fd = chosen[said % len(chosen)]
                if fd in self._members:
                    say(fd)
                said += 1
            if events := poll(self._rest, EVENTS):
                hear(events)
            now = clock()
        late = now - begin - (words - 1) * pause
        cpu = time.process_time() - cpu
        while self._unanswered and (events := poll(PATIENCE, EVENTS)):
            hear(events)
        answered = len(self._trips)
        return {
            "words": answered,
            "seconds": now - begin,
            "cpu": cpu,
            "late": late,
            "unanswered": self._unanswered,
            "trips": percentiles(self._trips),
            **self._state(),
        }

    def close(self) -> None:
        """Reset every connection."""
        for member in self._members.values():
            member.close()
        self._efd.close()

    def _state(self) -> dict[str, int]:
        return {"members": len(self._members), "closed": self._closed}

    def _open(self) -> int:
        member = socket.socket()
        try:
            member.settimeout(PATIENCE)
            # A port is chosen when the other end is known: the same one may serve several pairs.
            member.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            source = 2 + len(self._members) // PORTS_OF_A_SOURCE % SOURCES
            member.bind((f"127.0.0.{source}", 0))
            member.connect((SERVER, self._port))
            member.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            member.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            member.setblocking(False)
            fd = member.fileno()
            self._efd.register(fd, select.EPOLLIN)
        except OSError:
            member.close()
            raise
        self._members[fd] = member
        self._said[fd] = deque()
        return fd

    def _say(self, fd: int) -> None:
        self._unanswered += 1
        self._said[fd].append(time.perf_counter())
        try:
            self._members[fd].send(self._word)  # so short that there is room for it
        except OSError:
            self._lose(fd)

    def _hear(self, events: list[tuple[int, int]]) -> None:
        for fd, _ in events:
            try:
                count = len(self._members[fd].recv(65536))
            except BlockingIOError:
                continue
            except OSError:
                count = 0
            if not count:
                self._lose(fd)
                continue
            now = time.perf_counter()
            count += self._pieces.pop(fd, 0)
            said = self._said[fd]
            while count >= self._size:
                if not said:
                    raise RuntimeError("there are answers to what was never said")
                self._trips.append(now - said.popleft())
                self._unanswered -= 1
                count -= self._size
            if count:
                self._pieces[fd] = count

    def _lose(self, fd: int) -> None:
        self._closed += 1
        self._members.pop(fd).close()
        self._unanswered -= len(self._said.pop(fd))
        self._pieces.pop(fd, None)


def visitors(port: int, rest: float = 0.0) -> Crowd:
    """Return a crowd of those who ask for a page; its size is learnt from the first answer."""
    request = b"GET / HTTP/1.1\r\nHost: %b:%d\r\n\r\n" % (SERVER.encode(), port)
    with connect(port) as first:
        size = ask_once(first, request)
    return Crowd(port, request, size, rest)


def _spread_out(fds: list[int], count: int) -> list[int]:
    """Choose ``count`` from all over, in an order without a pattern that is always the same."""
    chosen = [fds[index * len(fds) // count] for index in range(count)]
    random.Random(count).shuffle(chosen)
    return chosen


def main() -> None:
    """Do what is asked, with the one crowd of this process."""
    crowds: list[Crowd] = []

    def meet(port: int, http: bool, rest: float) -> dict[str, Any]:
        crowds.append(visitors(port, rest) if http else Crowd(port, ECHOED, len(ECHOED), rest))
        return crowds[0].gather(1)

    def gather(total: int) -> dict[str, Any]:
        return crowds[0].gather(total)

    def speak(speakers: int, rate: float, seconds: float) -> dict[str, Any]:
        return crowds[0].speak(speakers, rate, seconds)

    serve({"meet": meet, "gather": gather, "speak": speak})


if __name__ == "__main__":
    main()
