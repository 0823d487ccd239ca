"""What a server of the comparison of I/O models does for a message, apart from echoing it.

The first byte of a message says how much is to be done, so that one server can be measured with
every kind of work.  To *compute* is a plain Python loop, which holds the GIL as most of Python
does; to *wait* is to sleep, as if a disk or another server had been asked.  A message is a line
without letters, so the course's programs, which answer lines in rot13, echo it too.
"""

import argparse
import time
from dataclasses import dataclass

SIZE = 64
"""Bytes of a message, and of its answer."""

NONE, SOME, MUCH, WAIT = "no work", "some work", "much work", "waiting"
KINDS = {NONE: b"0", SOME: b"1", MUCH: b"2", WAIT: b"3"}
"""What there can be to do, and the byte that asks for it."""

SECONDS = {SOME: 50e-6, MUCH: 1e-3, WAIT: 2e-3}
"""For how long a message asks to compute, or to wait."""

_SOME, _MUCH, _WAIT = (KINDS[kind][0] for kind in (SOME, MUCH, WAIT))


def message(kind: str) -> bytes:
    """Return the message that asks for a kind of work."""
    return KINDS[kind].ljust(SIZE - 1, b".") + b"\n"


def compute(turns: int) -> None:
    """Keep a processor busy; how long, `seconds_a_turn` knows."""
    for _ in range(turns):
        pass


def seconds_a_turn() -> float:
    """Measure what one turn of `compute` takes on this processor; the best of some tries counts."""
    turns, best = 20_000, 1.0
    for _ in range(20):
        begin = time.perf_counter()
        compute(turns)
        best = min(best, time.perf_counter() - begin)
    return best / turns


@dataclass(frozen=True)
class Work:
    """What each kind of work costs: turns of `compute`, and seconds of sleep."""

    some: int
    much: int
    wait: float

    def __call__(self, message: bytes) -> bytes:
        """Do what a message asks for, and return its answer: the same bytes.  Any thread."""
        kind = message[0]
        if kind == _WAIT:
            time.sleep(self.wait)
        elif kind == _SOME:
            compute(self.some)
        elif kind == _MUCH:
            compute(self.much)
        return message

    def arguments(self) -> list[str]:
        """Write it as the arguments that `parse` reads."""
        return [str(self.some), str(self.much), str(self.wait)]


def parse(models: list[str], description: str) -> tuple[str, int, Work]:
    """Read a server's arguments: ``MODEL PORT SOME MUCH WAIT``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", choices=models)
    parser.add_argument("port", type=int)
    parser.add_argument("some", type=int, help="turns of the loop for some work")
    parser.add_argument("much", type=int, help="turns of the loop for much work")
    parser.add_argument("wait", type=float, help="seconds of sleep")
    options = parser.parse_args()
    return options.model, options.port, Work(options.some, options.much, options.wait)
