"""One server of the comparison of I/O models, and its client: started, asked, ended."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from yolanda.bench import (
    contenders,
    cores,
    kernel_memory,
    memory,
    processes,
    processor_time,
    switches,
)
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.probe import Probe, ProbeError
from yolanda.bench.results import CLIENT_BUSY, CLIENT_CPU, Sample
from yolanda.bench.servers.model_work import MUCH

PATIENCE = 1.5
"""Seconds without any answer after which those who wait are not waited for."""
REPLY_TIMEOUT = 60.0
"""Seconds that the client has for doing what it is asked, beside those of a load."""
STEP = 250
"""Connections opened at once; after each step it is looked whether memory is left."""
MANY = 900
"""Connections of which each one's memory can be told: that of a few drowns in what varies."""
TIME_LIMIT = 90.0
"""Seconds after which a server gets no more connections: some take very long for each."""
MEMORY_FLOOR = 512 * 1024 * 1024
"""Bytes that must be left, or no more connections are opened: fork takes much for each."""


@dataclass(frozen=True)
class Cores:
    """Who runs where: the client on one core, a server on others if there are any.

    - ``much``: where the server runs while it computes so much that the client has little to do.
    """

    client: int
    server: tuple[int, ...]
    much: tuple[int, ...]

    @classmethod
    def choose(cls, most: int) -> Self:
        """Leave a core to the client; on two, both are the server's for much work."""
        available = sorted(os.sched_getaffinity(0))
        _, client = cores.choose()
        server = tuple(core for core in available if core != client)[:most] or (client,)
        return cls(client, server, server if len(server) > 1 else tuple(available))


class ModelRun:
    """A server that is loaded with more and more connections.  Made by `started`.

    ``served`` is how many connections it serves by now.
    """

    def __init__(self, server: Server, client: Probe, where: Cores) -> None:
        self.served = 0
        self._server = server
        self.session = server.session
        self._client = client
        self._where = where
        self._attempts = 0
        self._deadline = time.monotonic() + TIME_LIMIT
        self._first = 0  # connections when memory was first looked at: the server's, the kernel's
        self._first_memory = self._first_kernel = 0

    def connect(self, total: int) -> tuple[Sample, str]:
        """Open connections until there are ``total``.

        Returns what that took, and what these connections cost while nothing happens; and, in
        words, how the server gave up if it does not serve them all.

        Raises `ProbeError` if memory or time runs out.
        """
        seconds, answered, problem = 0.0, 0, ""
        state: dict[str, Any] = {}
        step = STEP
        while self._attempts < total and not problem:
            step = min(step, total - self._attempts)
            state = self._client.ask("connect", count=step, patience=PATIENCE)
            self._attempts, self.served = state["attempts"], state["served"]
            seconds += state["seconds"]
            answered += state["answered"]
            problem = state["problem"]
            if state["answered"] < step:
                step = total  # they wait, and so will all others
            if memory.left() < MEMORY_FLOOR:
                raise ProbeError(
                    f"at {state['open']:,} connections the machine had only "
                    f"{memory.left() / 2**20:.0f} MiB of memory left"
                )
            if time.monotonic() > self._deadline:
                raise ProbeError(
                    f"it was given up after {TIME_LIMIT:.0f} s, at {state['open']:,} connections"
                )
        used, kernel = memory.of_session(self.session), kernel_memory.total()
        threads = switches.of_session(self.session).threads
        sample: Sample = {"served": self.served, "memory": used, "threads": threads}
        if answered:
            sample["setup"] = seconds / answered
        if not self._first:
            self._first, self._first_memory, self._first_kernel = self.served, used, kernel
        elif (more := self.served - self._first) >= MANY:
            sample["memory_each"] = (used - self._first_memory) / more
            sample["kernel_each"] = (kernel - self._first_kernel) / more
        return sample, self._how_it_gave_up(total, state)

    def load(self, kind: str, seconds: float, in_flight: int) -> tuple[Sample, str]:
        """Have the client load the server; return the figures, and what went wrong, in words.

        Raises `ProbeError` if there was no answer at all.
        """
        shared = kind == MUCH and self._where.much != self._where.server
        if shared:
            cores.move(self.session, *self._where.much)
        before = processor_time.snapshot(self.session), switches.of_session(self.session)
        wanted = {"kind": kind, "seconds": seconds, "in_flight": in_flight, "patience": PATIENCE}
        done = self._client.ask("load", **wanted)
        times = processor_time.elapsed(before[0], processor_time.snapshot(self.session))
        after = switches.of_session(self.session)
        if shared:
            cores.move(self.session, *self._where.server)
        self.served = done["served"]
        messages = done["messages"] + done["late"]
        if not messages:
            raise ProbeError(self._with_last_words("no message was answered"))
        sample: Sample = {
            "rate": done["messages"] / done["seconds"],
            "cpu": times.running / messages,
            "cores": times.running / done["elapsed"],
            "voluntary": (after.voluntary - before[1].voluntary) / messages,
            "involuntary": (after.involuntary - before[1].involuntary) / messages,
            CLIENT_CPU: done["cpu"] / messages,
            CLIENT_BUSY: done["busy"],
            **done["trips"],
        }
        trouble = ""
        if done["unanswered"]:
            trouble = f"{done['unanswered']:,} messages were not answered within {PATIENCE} s"
        return sample, trouble

    def _how_it_gave_up(self, total: int, state: dict[str, Any]) -> str:
        if self.served >= total:
            return ""
        # Without the total, which stands beside: the same words are then said once for all of them.
        closed, waiting = state["closed"], state["open"] - self.served
        others = []
        if waiting:
            others.append(f"{waiting:,} wait in vain")
        if closed:
            others.append(f"{closed:,} were closed by the server")
        if state["problem"]:
            others.append(f"the {self._attempts:,}th could not be opened: {state['problem']}")
        elif waiting and not closed:
            others = ["the others wait in vain"]
        elif closed and not waiting:
            others = ["the others were closed by the server"]
        return self._with_last_words(f"serves {self.served:,}; {', '.join(others)}")

    def _with_last_words(self, text: str) -> str:
        """Add to ``text`` that the server has ended, and the last line that it wrote."""
        if not processes.of_session(self.session):
            text += "; the server has ended"
        said = self._server.output.read_text(errors="replace").strip()
        return f"{text} ({said.splitlines()[-1]})" if said else text


@contextlib.contextmanager
def started(contender: Contender, where: Cores, longest: float = 0.0) -> Iterator[ModelRun]:
    """Run a server, and a client for it; end both whatever happens.

    - ``longest``: seconds of the longest load.

    Raises `ProbeError` if the server cannot be started, or if its `ModelRun` does.
    """
    gave_up: ProbeError | None = None
    try:
        with contenders.running(contender, *where.server) as server:
            with cores.pinned(where.client):
                client = Probe("yolanda.bench.clients.models", REPLY_TIMEOUT + longest)
            with client:
                try:
                    client.ask("meet", port=server.port)
                    yield ModelRun(server, client, where)
                except ProbeError as error:
                    gave_up = error  # `running` would add all that the server has printed
    except (RuntimeError, OSError) as error:
        first, *said = str(error).strip().split("\n")
        raise ProbeError(f"{first} ({said[-1]})" if said else first) from error
    if gave_up is not None:
        raise gave_up
