"""The part ``c10k``: ten thousand connections to one process, of which few speak.

A crowd of connections grows step by step: 1,000, 5,000, 10,000, and as many as this machine's
descriptors and memory allow.  At each size it is idle first, and then 1 in 100 and 1 in 10 speak,
ten times a second each.  See `clients.crowd` for how.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from yolanda.bench import (
    contenders,
    cores,
    descriptors,
    kernel_memory,
    memory,
    processes,
    processor_time,
    tools,
)
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.part import (
    Figure,
    Headline,
    Missing,
    Part,
    Plot,
    Progress,
    Settings,
    Table,
    Target,
)
from yolanda.bench.peers import nginx, script
from yolanda.bench.probe import Probe
from yolanda.bench.report.numbers import listed
from yolanda.bench.results import Condition, PartResult, Sample, spread

CROWDS = (1_000, 5_000, 10_000)
SHORT_CROWDS = (1_000,)
FEWEST = 500
"""Connections more than the crowd before, below which the largest crowd tells nothing new."""
MOST = 50_000
"""Connections at most, where the machine allows more: it would take too long."""
SPARE = 100
"""Descriptors of a process that are not for connections."""
ROOM = 64 * 1024
"""Bytes of the machine's memory that a connection may take, both its ends: a thread's price."""

SILENT, FEW, SOME = "nobody speaks", "1 in 100 speaks", "1 in 10 speaks"
SPEAKING = {SILENT: 0.0, FEW: 0.01, SOME: 0.1}
"""Who speaks, and the share of the crowd that is."""
RATE = 10.0
"""Words a second of each who speaks."""
PATIENCE = 120.0
"""Seconds, beyond those of the measurement, that the crowd has for doing what it is asked."""
ONE_CORE_REST = 0.001
"""Seconds for which the crowd sleeps at a time where it has no core of its own."""
LATE = 0.1
"""A crowd that said its last word later, by so much of the time, was the limit."""
MANY = 5_000
"""Connections of which the kernel's memory can be told: that of fewer drowns in what varies."""
IDLE = 0.001
"""A share of a core that is as good as none."""


@dataclass(frozen=True)
class Entry:
    """A contender, and whether its crowd speaks HTTP."""

    contender: Contender
    http: bool


NAMES = (
    "yolanda",
    "yolanda-2-reactors",
    "asyncio",
    "uvloop",
    "threads",
    "yolanda-http",
    "nginx",
)


def entries(most: int) -> list[Entry]:
    """Return the contenders, ready for so many connections: nginx asks before it starts."""
    echoes = [
        Contender("yolanda", script("echo_yolanda.py"), modules=("yolanda",)),
        Contender("yolanda-2-reactors", script("echo_yolanda.py", "2"), modules=("yolanda",)),
        Contender("asyncio", script("echo_asyncio.py", "asyncio"), modules=("asyncio",)),
        Contender("uvloop", script("echo_asyncio.py", "uvloop"), modules=("uvloop",)),
        Contender("threads", script("echo_threads.py"), modules=("threading",)),
    ]
    pages = [
        Contender("yolanda-http", script("yolanda_http.py"), modules=("yolanda",)),
        nginx(connections=most * 9 // 8),  # it closes idle ones when 1 in 16 is left
    ]
    return [Entry(echo, False) for echo in echoes] + [Entry(page, True) for page in pages]


# ---- measuring -----------------------------------------------------------------------------


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """Measure every contender in turn, once a round."""
    if settings.wants("nginx"):
        tools.provide("nginx", install=settings.install)  # what is missing still is said below
    limit = descriptors.raise_limit()
    crowds = _crowds(settings, limit, memory.left())
    present = _present(entries(crowds[-1]), settings, progress, result)
    server_core, client_core = cores.choose()
    result.settings |= {
        "crowds": list(crowds),
        "words a second": RATE,
        "cores": {"server": server_core, "client": client_core},
    }
    result.notes += _notes(crowds[-1], limit, settings.short, server_core == client_core)
    progress.expect(settings.rounds * len(present) * len(crowds) * len(SPEAKING))
    for _ in range(settings.rounds):
        for entry in present:
            _measure(entry, crowds, (server_core, client_core), settings, progress, result)


def _crowds(settings: Settings, limit: int, room: int) -> tuple[int, ...]:
    """Choose how large the crowd shall be, one size after the other."""
    most = min(limit - SPARE, room // ROOM, MOST)
    wanted = SHORT_CROWDS if settings.short else CROWDS
    if most < FEWEST:
        raise Missing(
            f"a process may have {limit:,} descriptors and {room / 2**20:,.0f} MiB of memory are "
            f"left, which allows {max(0, most)} connections"
        )
    crowds = [size for size in wanted if size <= most]
    if not crowds or (not settings.short and most >= crowds[-1] + FEWEST):
        crowds.append(most)
    return tuple(crowds)


def _present(
    entries: Sequence[Entry], settings: Settings, progress: Progress, result: PartResult
) -> list[Entry]:
    present = []
    for entry in entries:
        contender = entry.contender
        if not settings.wants(contender.name):
            continue
        if reason := contender.missing():
            progress.note(f"{contender.name} is skipped: {reason}")
            result.notes.append(f"{contender.name} was skipped: {reason}.")
            continue
        present.append(entry)
        result.versions[contender.name] = contender.version()
    if not present:
        raise Missing("none of the contenders that are wanted can be measured here")
    return present


def _notes(most: int, limit: int, short: bool, one_core: bool) -> list[str]:
    notes = [
        f"Who speaks does so {RATE:.0f} times a second, with 64 bytes that are echoed or a small "
        "GET, whether or not the answer before has come.",
        "The memory of a connection is what the server's processes have grown by since they "
        "served their first, divided by the connections, each of which has spoken once. Nginx "
        "makes room for all of them when it starts, and that is not in it.",
        "What the kernel keeps is for both ends of each connection, since the client is on the "
        "same machine.",
        "A server has one core, also that with two sub-reactors: under the GIL it would hardly "
        "use another.",
    ]
    if not short:
        reason = "which is as many as are tried"
        if most == limit - SPARE:
            reason = f"since a process may have {limit:,} descriptors (ulimit -n)"
        elif most < MOST:
            reason = "since no more memory is left on this machine"
        notes.append(f"The largest crowd is {most:,}, {reason}.")
    if one_core:
        notes.append("Server and client share the only core, so latencies mean little.")
    return notes


def _measure(
    entry: Entry,
    crowds: Sequence[int],
    where: tuple[int, int],
    settings: Settings,
    progress: Progress,
    result: PartResult,
) -> None:
    """Measure one contender in one round; if it gives up, it does so for all that would follow."""
    contender = entry.contender
    left: list[dict[str, Condition]] = [
        {"connections": size, "speaking": who} for size in crowds for who in SPEAKING
    ]
    server_core, client_core = where
    # On a core of its own the crowd never sleeps, and so its clock is exact.
    rest = ONE_CORE_REST if server_core == client_core else 0.0
    try:
        with (
            contenders.running(contender, server_core) as server,
            cores.pinned(client_core),
            Probe("yolanda.bench.clients.crowd", PATIENCE + settings.seconds) as probe,
        ):
            crowd = Gathering(server, probe, entry.http, rest)
            while left:
                at = left[0]
                progress.advance(f"{contender.name}, {at['connections']:,}, {at['speaking']}")
                if at["speaking"] == SILENT:
                    sample = crowd.grow(int(at["connections"]), settings.seconds)
                else:
                    sample = crowd.speak(SPEAKING[str(at["speaking"])], settings.seconds)
                result.add(contender.name, at, sample)
                del left[0]
            _note_objects(crowd, result)
    except RuntimeError as error:
        reason = "; ".join(str(error).split("\n"))[:300]
        progress.note(f"{contender.name} gave up: {reason}")
        for at in left:
            result.give_up(contender.name, at, reason)
        for _ in left[1:]:
            progress.advance(f"{contender.name} gave up")


class Gathering:
    """Connections to a server that become more, with ``probe`` as their other end.

    - ``rest``: seconds that it may sleep at a time.
    """

    def __init__(self, server: Server, probe: Probe, http: bool, rest: float) -> None:
        self._server = server
        self._probe = probe
        # A server may have started only when it has served the first.
        self.members = probe.ask("meet", port=server.port, http=http, rest=rest)["members"]
        self._memory = memory.of_session(server.session)
        self._kernel = kernel_memory.total()
        self._objects = kernel_memory.objects()
        self._taken = 0.0  # seconds, to gather all of them

    def grow(self, total: int, seconds: float) -> Sample:
        """Gather ``total`` connections, then do nothing for so many seconds.

        Returns what it took to take them in, and what they cost while they are there.
        """
        before, members = self._server_time(), self.members
        done = self._probe.ask("gather", total=total)
        self.members = done["members"]
        if done["problem"] or self.members < total:
            raise RuntimeError(f"of {total:,} it serves {self.members:,}: {done['problem']}")
        running = self._server_time() - before
        self._taken += done["seconds"]
        used = memory.of_session(self._server.session)
        sample: Sample = {
            "accept": self._taken,
            "accept_cpu": running / (total - members),
            "client_ran": done["cpu"] / done["seconds"],
            "memory": used,
            "memory_each": (used - self._memory) / total,
        }
        if total >= MANY:
            sample["kernel_each"] = (kernel_memory.total() - self._kernel) / total
        before, begin = self._server_time(), time.perf_counter()
        time.sleep(seconds)  # this is what is measured
        running = self._server_time() - before
        return sample | {"idle_cpu": running / (time.perf_counter() - begin)}

    def speak(self, share: float, seconds: float) -> Sample:
        """Let a share of the connections speak, and return how long they waited for an answer."""
        speakers = max(1, round(self.members * share))
        before = self._server_time()
        done = self._probe.ask("speak", speakers=speakers, rate=RATE, seconds=seconds)
        running = self._server_time() - before
        if done["closed"] or done["unanswered"] or not done["words"]:
            raise RuntimeError(
                f"{done['unanswered']:,} words of {speakers:,} of {self.members:,} connections "
                f"were not answered, and {done['closed']:,} connections were closed"
            )
        return {
            **done["trips"],
            "cpu": running / done["words"],
            "rate": done["words"] / done["seconds"],
            "late": max(0.0, done["late"]) / seconds,
        }

    def grown_objects(self) -> dict[str, float]:
        """Return the bytes of the kernel's objects for a connection, the largest first."""
        grown = {
            name: (size - self._objects.get(name, 0)) / self.members
            for name, size in kernel_memory.objects().items()
        }
        return dict(sorted(grown.items(), key=lambda item: -item[1]))

    def _server_time(self) -> float:
        # Without the waiting times of `processor_time.snapshot`, which take long to read where
        # there are ten thousand threads.
        return sum(map(processor_time.of_process, processes.of_session(self._server.session)))


def _note_objects(crowd: Gathering, result: PartResult) -> None:
    """Note once what the kernel keeps; it is the same for all who have no threads."""
    start = "The kernel's objects of a connection, both ends"
    grown = crowd.grown_objects()
    if grown and not any(note.startswith(start) for note in result.notes):
        listed = ", ".join(f"{name} {size:,.0f}" for name, size in grown.items())
        result.notes.append(f"{start}, in bytes: {listed} (slabinfo, at {crowd.members:,}).")


# ---- what can be said of it ----------------------------------------------------------------

OURS = ("yolanda", "yolanda-http")
_WORDS = {
    "yolanda": "Yolanda's TcpServer",
    "yolanda-2-reactors": "Yolanda's two sub-reactors",
    "yolanda-http": "Yolanda's HttpServer",
    "asyncio": "a protocol on asyncio",
    "uvloop": "a protocol on uvloop",
    "threads": "a thread for each",
    "nginx": "nginx",
}


def findings(result: PartResult) -> list[str]:
    """Say what the figures show, as far as they were measured."""
    tell = _Teller(result)
    sentences = [
        tell.memory(),
        tell.kernel(),
        tell.taking_in(),
        tell.growing(),
        tell.answers(),
        tell.idling(),
        tell.largest(),
        tell.giving_up(),
        tell.limits_of_the_client(),
    ]
    return [sentence for sentence in sentences if sentence]


class _Teller:
    """Finds figures, and makes a sentence of them; an empty one if they are not there."""

    def __init__(self, result: PartResult) -> None:
        self._result = result
        sizes = sorted(int(size) for size in result.values("connections"))
        self._least = sizes[0] if sizes else 0
        self._most = sizes[-1] if sizes else 0
        # What the part is named for, if it was measured.
        self._usual = 10_000 if 10_000 in sizes else self._most

    def memory(self) -> str:
        """What a connection takes of the server."""
        found = self._all("memory_each", self._usual)
        words = [f"{value / 1024:,.1f} KiB with {_WORDS[name]}" for name, value in found.items()]
        if not words:
            return ""
        each = f"Each of {self._usual:,} connections that has spoken and is idle"
        return f"{each} takes {listed(words)}."

    def kernel(self) -> str:
        """What it takes of the kernel beside."""
        found = self._all("kernel_each", self._usual)
        threads = found.pop("threads", None)
        if not found:
            return ""
        least, most = (
            f"{value / 1024:,.1f}" for value in (min(found.values()), max(found.values()))
        )
        size = least if least == most else f"{least} to {most}"
        said = f"The kernel keeps {size} KiB beside for both ends of each"
        if threads is not None:
            said += f", and {threads / 1024:,.1f} KiB where each has a thread"
        return f"{said}."

    def taking_in(self) -> str:
        """How long it takes until all are there."""
        found = self._all("accept", self._usual)
        words = [f"{value:.1f} s with {_WORDS[name]}" for name, value in found.items()]
        if not words:
            return ""
        return (
            f"{self._usual:,} connections are open, and each has been answered once, after "
            f"{listed(words)}."
        )

    def growing(self) -> str:
        """What more who are idle make of the cost of a word: as many speak in both crowds."""
        few, many = self._least, self._least * 10
        before, after = (
            self._all("cpu", few, SOME),
            self._all("cpu", many, FEW),
        )
        words = [
            f"{after[name] / before[name]:.2f} times with {_WORDS[name]}"
            for name in after
            if before.get(name)
        ]
        if not words:
            return ""
        speakers = few // 10
        return (
            f"{many - speakers:,} silent connections in place of {few - speakers:,}, beside "
            f"{speakers:,} that say {speakers * RATE:,.0f} words a second, make a word cost the "
            f"server as much processor time: {listed(words)}."
        )

    def answers(self) -> str:
        """How long those who speak wait."""
        found = self._all("p99", self._usual, SOME)
        words = [f"{value * 1e3:,.2f} ms with {_WORDS[name]}" for name, value in found.items()]
        if not words:
            return ""
        return (
            f"With {self._usual:,} connections of which 1 in 10 speaks {RATE:.0f} times a second, "
            f"99 of 100 words are answered within {listed(words)}."
        )

    def idling(self) -> str:
        """What it costs while nothing happens."""
        found = self._all("idle_cpu", self._usual)
        busy = {name: value for name, value in found.items() if value >= IDLE}
        if not found:
            return ""
        if not busy:
            return f"{self._usual:,} connections that are idle take no processor from any of them."
        words = [f"{_WORDS[name]} {value:.1%} of a core" for name, value in busy.items()]
        return f"While {self._usual:,} connections are idle, {listed(words)} is taken."

    def largest(self) -> str:
        """What the machine's limits allow."""
        if self._most <= self._usual:
            return ""
        found = self._all("memory", self._most)
        words = [f"{value / 2**20:,.0f} MiB with {_WORDS[name]}" for name, value in found.items()]
        if not words:
            return ""
        return f"{self._most:,} connections on one process: the whole server has {listed(words)}."

    def giving_up(self) -> str:
        """Who does not serve all, or at what price."""
        given = {
            point.contender: point
            for point in reversed(self._result.points)
            if point.failure and point.contender in _WORDS
        }
        words = [
            f"{_WORDS[name]} gives up at {point.at['connections']:,}: {point.failure}"
            for name, point in given.items()
        ]
        if words:
            return f"{_capital(listed(words))}."
        each = self._all("memory_each", self._usual) | {}
        ours, threads = each.get("yolanda"), each.get("threads")
        if not ours or not threads:
            return ""
        return (
            f"A thread for each does not give up at {self._most:,} here: it pays, with "
            f"{threads / ours:,.0f} times the memory in user space at {self._usual:,}."
        )

    def limits_of_the_client(self) -> str:
        """Where the crowd could not keep its time."""
        late = [
            f"{_WORDS[point.contender]} at {point.at['connections']:,}"
            for point in self._result.at({"speaking": SOME})
            if (found := spread(point, "late")) is not None
            and found.median > LATE
            and point.contender in _WORDS
        ]
        if not late:
            return ""
        return f"The client fell behind, and was the limit, with {listed(late)}."

    def _all(self, figure: str, connections: int, speaking: str = SILENT) -> dict[str, float]:
        at: dict[str, Condition] = {"connections": connections, "speaking": speaking}
        found = {name: spread(self._result.find(name, at), figure) for name in NAMES}
        return {name: value.median for name, value in found.items() if value is not None}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- what is shown -------------------------------------------------------------------------

FIGURES = (
    Figure("memory_each", "memory a connection", "KiB", 1 / 1024, 2),
    Figure("kernel_each", "kernel memory a connection, both ends", "KiB", 1 / 1024, 2),
    Figure("memory", "memory of the server", "MiB", 1 / 2**20, 1),
    Figure("accept", "until all are served once", "s", 1.0, 2),
    Figure("accept_cpu", "server CPU to take one in", "us", 1e6, 1),
    Figure("client_ran", "the client ran, while they came", "%", 100.0, 0),
    Figure("idle_cpu", "CPU while all are idle", "%", 100.0, 2),
    Figure("p50", "half are answered within", "ms", 1e3, 3),
    Figure("p99", "99 of 100 are answered within", "ms", 1e3, 3),
    Figure("p999", "999 of 1,000 are answered within", "ms", 1e3, 3),
    Figure("cpu", "server CPU a word", "us", 1e6, 1),
    Figure("rate", "words a second", "/s", 1.0, 0, less_is_better=False),
    Figure("late", "the client's delay at the end", "%", 100.0, 1),
)
_IDLE = {"speaking": SILENT}
_USUAL = {"connections": 10_000}

TABLES = (
    Table(
        ("memory_each", "kernel_each", "memory", "accept", "accept_cpu", "client_ran", "idle_cpu"),
        "10,000 connections, all idle",
        where={**_IDLE, **_USUAL},
        peers=("asyncio", "uvloop"),
    ),
    *(
        Table(
            ("p50", "p99", "p999", "cpu", "rate", "late"),
            f"10,000 connections of which {who}",
            where={"speaking": who, **_USUAL},
        )
        for who in (FEW, SOME)
    ),
    *(
        Table((figure,), title, columns="connections", where={"speaking": who})
        for figure, who, title in (
            ("memory_each", SILENT, "Memory of an idle connection"),
            ("kernel_each", SILENT, "Kernel memory of a connection, both ends"),
            ("accept", SILENT, "Until all are served once"),
            ("p99", FEW, "1 in 100 speaks: 99 of 100 are answered within"),
            ("p99", SOME, "1 in 10 speaks: 99 of 100 are answered within"),
            ("cpu", SOME, "1 in 10 speaks: server CPU a word"),
        )
    ),
)

PLOTS = (
    Plot(
        "bars",
        "memory_each",
        "Memory of an idle connection, of 10,000",
        where={**_IDLE, **_USUAL},
        caption="User space alone; the kernel's own is in the table.",
    ),
    Plot(
        "lines",
        "memory",
        "Memory of the server",
        x="connections",
        where=_IDLE,
        log_x=True,
        log_y=True,
        caption="A thread for each takes many times what an event loop keeps.",
    ),
    Plot(
        "lines",
        "p99",
        "1 in 10 speaks: 99 of 100 words are answered within",
        x="connections",
        where={"speaking": SOME},
        log_x=True,
        log_y=True,
        caption="Ten times the connections say ten times as many words a second.",
    ),
    Plot(
        "lines",
        "p99",
        "1 in 100 speaks: 99 of 100 words are answered within",
        x="connections",
        where={"speaking": FEW},
        log_x=True,
        log_y=True,
    ),
    Plot(
        "lines",
        "accept",
        "Until all connections are served once",
        x="connections",
        where=_IDLE,
        log_x=True,
        log_y=True,
        caption="The client opens them one after the other, at most 500 of them unanswered.",
    ),
)

TARGETS = tuple(Target("memory_each", {**_IDLE, **_USUAL}, name, 3 * 1024) for name in OURS)

PART = Part(
    name="c10k",
    title="C10K: ten thousand connections on one process",
    question=(
        "What do ten thousand connections cost a process, and as many as this machine allows: how "
        "much memory each, how long until all are there, how long do those wait who speak while "
        "the others are idle? Chapter 24 calls it the C10K problem."
    ),
    contenders=NAMES,
    figures=FIGURES,
    measure=measure,
    findings=findings,
    tables=TABLES,
    plots=PLOTS,
    targets=TARGETS,
    headlines=(
        Headline(
            "memory_each",
            {**_IDLE, **_USUAL},
            "yolanda-http",
            "of memory for each of 10,000 idle HTTP connections",
        ),
        Headline(
            "memory_each",
            {**_IDLE, "connections": 1_000},
            "yolanda-http",
            "of memory for each of 1,000 idle HTTP connections",
        ),
    ),
    rounds=2,
    seconds=1.0,
    short_rounds=1,
    short_seconds=0.1,
)
