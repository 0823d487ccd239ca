"""The part ``models``: the ways of chapters 20 to 35 to serve many clients, side by side.

Each model is a server of its own that echoes messages of 64 bytes, started anew in each round.  The
client opens 1 connection, then 10, 100 and so on, and at each number loads the server with messages
that ask for each kind of work.  See `model_run` for how, `clients.models` for the client, and
`servers.model_work` for the work.
"""

import sys
from collections.abc import Sequence

from yolanda.bench import cores, descriptors
from yolanda.bench.contenders import Contender
from yolanda.bench.part import Figure, Headline, Missing, Part, Plot, Progress, Settings, Table
from yolanda.bench.parts.model_findings import SOME_CONNECTIONS, findings
from yolanda.bench.parts.model_run import Cores, started
from yolanda.bench.probe import ProbeError
from yolanda.bench.results import CLIENT_BUSY, CLIENT_CPU, Condition, PartResult, Point
from yolanda.bench.servers import model_blocking, model_multiplexing, model_reactors
from yolanda.bench.servers.model_work import (
    KINDS,
    MUCH,
    NONE,
    SECONDS,
    SIZE,
    SOME,
    WAIT,
    Work,
    seconds_a_turn,
)

CONNECTIONS = (1, 10, 100, 1000, 5000)
SHORT_CONNECTIONS = (1, 100)
SHORT_KINDS = (NONE, WAIT)
IN_FLIGHT = 100
"""Messages that are under way at most, however many connections there are."""
SPARE_DESCRIPTORS = 64
"""What server and client need beside their connections."""
LONGER = {MUCH: 2.0}
"""How much longer a measurement is with work of which little is done in a second."""


_SERVERS = {
    "model_blocking": tuple(model_blocking.MODELS),
    "model_multiplexing": tuple(model_multiplexing.MODELS),
    "model_reactors": tuple(model_reactors.MODELS),
}
MODELS = tuple(name for models in _SERVERS.values() for name in models)
"""Those that are compared."""

COURSE: dict[str, tuple[str, ...]] = {
    "fork01": (),
    "thread01": (),
    "thread02": ("--threads", str(model_blocking.THREADS)),
    "nonblockingserver": ("--pause", "0", "--clients", "1000"),
    "pollserver": (),
    "epoll01": (),
    "poll-server-onethread": ("--no-trace",),
    "poll-server-multithreads": ("--no-trace",),
    "epoll-server-multithreads": ("--no-trace",),
}
"""The course's programs as a reader starts them, with their options."""


def model(name: str, work: Work) -> Contender:
    """One of those that are compared."""
    module = next(module for module, models in _SERVERS.items() if name in models)
    start = [sys.executable, "-m", f"yolanda.bench.servers.{module}", name]
    return Contender(name, lambda port, folder: [*start, str(port), *work.arguments()])


def program(name: str) -> Contender:
    """One of the course's programs."""
    start = [sys.executable, "-m", "yolanda", "run", name, *COURSE[name]]
    return Contender(name, lambda port, folder: [*start, "--port", str(port)])


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """Measure every model in turn, once a round."""
    most = descriptors.raise_limit() - SPARE_DESCRIPTORS
    where = Cores.choose(model_reactors.PROCESSES)
    with cores.pinned(where.server[0]):
        turn = seconds_a_turn()
    work = Work(round(SECONDS[SOME] / turn), round(SECONDS[MUCH] / turn), SECONDS[WAIT])
    wanted = SHORT_CONNECTIONS if settings.short else CONNECTIONS
    connections = tuple(number for number in wanted if number <= most)
    kinds = SHORT_KINDS if settings.short else tuple(KINDS)
    models = [model(name, work) for name in MODELS if settings.wants(name)]
    course = [program(name) for name in COURSE if settings.wants(name)]
    if settings.short and not settings.only:
        course = course[:1]
    if not models and not course:
        raise Missing("no contender of that name is in this part")
    result.settings |= {
        "bytes a message": SIZE,
        "messages under way at most": IN_FLIGHT,
        "seconds of work": SECONDS,
        "turns": {SOME: work.some, MUCH: work.much},
        "cores": {"client": where.client, "server": where.server, "much": where.much},
    }
    result.versions["Python"] = sys.version.split()[0]
    result.notes += _notes(where)
    if connections != wanted:
        result.notes.append(
            f"A process may have {most + SPARE_DESCRIPTORS:,} descriptors here (ulimit -n), "
            f"too few for {max(wanted):,} connections."
        )
    progress.expect(settings.rounds * (len(models) * len(connections) + len(course)))
    for _ in range(settings.rounds):
        for contender in models:
            _measure_model(contender, where, connections, kinds, settings, progress, result)
        for contender in course:
            progress.advance(f"the course's {contender.name}")
            _measure_program(contender, where, settings, result)


def _notes(where: Cores) -> list[str]:
    notes = [
        f"Messages have {SIZE} bytes; however many connections there are, at most {IN_FLIGHT} "
        "messages are under way at once. Connections take turns.",
        f"For each message some work is {SECONDS[SOME] * 1e6:.0f} µs and much work "
        f"{SECONDS[MUCH] * 1e3:.0f} ms of pure Python, which holds the GIL; waiting is "
        f"{SECONDS[WAIT] * 1e3:.0f} ms of sleep.",
        "fork and thread start a process or a thread for each connection; select, poll and epoll "
        "are bare loops in one thread; reactor is Yolanda's TcpServer with one loop, "
        "sub-reactors-N has N loops more, in threads, and processes has workers with a loop each.",
        f"thread-pool has {model_blocking.THREADS} threads, each of which serves one connection to "
        f"its end; reactor-workers has {model_reactors.WORKERS}, each of which has one message at "
        f"a time; processes are {model_reactors.PROCESSES}.",
        "A model that does not serve all connections is not loaded with so many: it gave up.",
        "Memory is that of user space, the proportional set size of all processes of the server; "
        "what the kernel keeps for sockets, threads and page tables is told beside it, as the "
        "growth of the whole machine's: for both ends, and for whatever else the machine does.",
    ]
    if len(where.server) > 1:
        notes.append(f"A server has {len(where.server)} cores, the client has one of its own.")
    elif where.client not in where.server:
        notes.append(
            "A server has one core and the client another, so several processes can win nothing; "
            "except with much work, when the client has little to do: then the server has both."
        )
    else:
        notes.append("Server and client share the only core, so rates and latencies mean little.")
    return notes


def _measure_model(
    contender: Contender,
    where: Cores,
    connections: Sequence[int],
    kinds: Sequence[str],
    settings: Settings,
    progress: Progress,
    result: PartResult,
) -> None:
    """Measure one model in one round; where it gives up, so it does for all that would follow."""
    name = contender.name
    left = [(number, kind) for number in connections for kind in kinds]
    longest = settings.seconds * max(LONGER.values())
    try:
        with started(contender, where, longest) as run:
            for number in connections:
                progress.advance(f"{name}, {number:,} connections")
                held, reason = run.connect(number)
                for kind in kinds:
                    at: dict[str, Condition] = {"connections": number, "work": kind}
                    sample = held if kind == NONE else {}
                    if not reason:
                        seconds = settings.seconds * LONGER.get(kind, 1.0)
                        loaded, trouble = run.load(kind, seconds, IN_FLIGHT)
                        sample = sample | loaded
                    left.pop(0)
                    result.add(name, at, sample or None)
                    _say(result.find(name, at), reason or trouble)
    except ProbeError as error:
        for number, kind in left:
            result.give_up(name, {"connections": number, "work": kind}, str(error))
        # What was announced and what is passed over count the same.
        for _ in {number for number, kind in left if kind == kinds[0]}:
            progress.advance(f"{name} gave up")


def _measure_program(
    contender: Contender, where: Cores, settings: Settings, result: PartResult
) -> None:
    at: dict[str, Condition] = {"program": "as it is"}
    try:
        with started(contender, where, settings.seconds) as run:
            held, reason = run.connect(SOME_CONNECTIONS)
            loaded, trouble = run.load(NONE, settings.seconds, IN_FLIGHT)
            result.add(contender.name, at, loaded | held)
            _say(result.find(contender.name, at), reason or trouble)
    except ProbeError as error:
        result.give_up(contender.name, at, str(error))


def _say(point: Point | None, reason: str) -> None:
    """Keep how a point gave up in part, beside what it gave."""
    if point is not None and reason and not point.failure:
        point.failure = reason


# ---- how it is shown -----------------------------------------------------------------------

_BLOCKING, _MULTIPLEXING, _REACTORS = _SERVERS.values()
_US, _MS, _MIB, _KIB = 1e6, 1e3, 1 / 2**20, 1 / 1024
FIGURES = (
    Figure("rate", "messages a second", digits=0, less_is_better=False),
    Figure("cpu", "server CPU a message", "us", _US, 1),
    Figure("p50", "half are answered within", "us", _US, 0),
    Figure("p99", "99 of 100 are answered within", "ms", _MS, 2),
    Figure("p999", "999 of 1,000 are answered within", "ms", _MS, 2),
    Figure("memory", "memory", "MiB", _MIB, 1),
    Figure("memory_each", "memory a connection", "KiB", _KIB, 1),
    Figure("kernel_each", "the kernel's memory a connection, both ends", "KiB", _KIB, 1),
    Figure("threads", "threads in all processes", digits=0),
    Figure("setup", "to take a connection in", "us", _US, 0),
    Figure("served", "connections served", digits=0, less_is_better=False),
    Figure("voluntary", "waits a message", digits=2),
    Figure("involuntary", "core taken away, a message", digits=3),
    Figure("cores", "cores that the server keeps busy", digits=2, less_is_better=False),
    Figure(CLIENT_CPU, "client CPU a message", "us", _US, 1),
    Figure(CLIENT_BUSY, "client busy", "%", 100, 0),
)

_NO_WORK = {"work": NONE}
_MEDIUM = {"connections": SOME_CONNECTIONS}
_WORDS = {
    NONE: "no work",
    SOME: f"{SECONDS[SOME] * 1e6:.0f} µs of computing",
    MUCH: f"{SECONDS[MUCH] * 1e3:.0f} ms of computing",
    WAIT: f"{SECONDS[WAIT] * 1e3:.0f} ms of waiting",
}


def _by_connections(figure: str, title: str, contenders: tuple[str, ...], caption: str) -> Plot:
    return Plot(
        "lines",
        figure,
        title,
        x="connections",
        where=_NO_WORK,
        log_x=True,
        log_y=figure in ("memory", "p99"),
        caption=caption,
        contenders=contenders,
    )


PLOTS = (
    _by_connections(
        "cpu",
        "One thread for all: CPU a message",
        (*_MULTIPLEXING, "reactor"),
        "At most 100 messages are under way, so what grows is the price of watching. select ends "
        "at descriptor 1023.",
    ),
    _by_connections(
        "cpu",
        "Somebody for each: CPU a message",
        (*_BLOCKING, "epoll"),
        "Beside epoll, which serves all of them in one thread.",
    ),
    _by_connections("cpu", "Reactors: CPU a message", _REACTORS, "What handing over costs."),
    _by_connections(
        "rate",
        "Somebody for each: messages a second",
        (*_BLOCKING, "epoll"),
        "",
    ),
    _by_connections(
        "rate", "One thread for all: messages a second", (*_MULTIPLEXING, "reactor"), ""
    ),
    _by_connections("rate", "Reactors: messages a second", _REACTORS, ""),
    _by_connections(
        "p99",
        "Somebody for each: 99 of 100 are answered within",
        (*_BLOCKING, "epoll"),
        "A process or a thread waits for its turn on the core; who serves one after the other, "
        "for those before.",
    ),
    _by_connections("p99", "Reactors: 99 of 100 are answered within", _REACTORS, ""),
    _by_connections(
        "memory",
        "Memory of the server, all processes",
        ("fork", "thread", "epoll", "reactor", "processes"),
        "User space alone. A process or a thread each grows with the connections, a reactor hardly "
        "does.",
    ),
    *(
        Plot(
            "bars",
            "rate",
            f"Messages a second with {_WORDS[kind]}, 100 connections",
            where={"work": kind, **_MEDIUM},
            caption=caption,
            contenders=MODELS,
        )
        for kind, caption in (
            (NONE, "Where the client was the limit, the CPU a message tells more."),
            (SOME, "The GIL lets one thread of a process compute at a time."),
            (MUCH, "Only processes use a second core, where they have one."),
            (WAIT, "Who answers in one thread waits for each message in turn."),
        )
    ),
    Plot(
        "bars",
        "voluntary",
        "How often somebody waits for a message, 100 connections",
        where={**_NO_WORK, **_MEDIUM},
        contenders=MODELS,
        caption="Voluntary context switches of the server for each message.",
    ),
    Plot(
        "bars",
        "cpu",
        "The course's programs as they are: CPU a message, 100 connections",
        where={"program": "as it is"},
        caption="epoll01 and the framework's programs print lines for each message, too.",
    ),
)

TABLES = (
    *(
        Table(
            ("rate",),
            f"Messages a second with {_WORDS[kind]}",
            columns="connections",
            where={"work": kind},
        )
        for kind in KINDS
    ),
    *(
        Table((figure,), title, columns="connections", where=_NO_WORK)
        for figure, title in (
            ("cpu", "Server CPU a message, no work"),
            ("p99", "99 of 100 are answered within, no work"),
            ("memory", "Memory of the server"),
            ("memory_each", "Memory a connection"),
            ("kernel_each", "The kernel's memory a connection, both ends"),
            ("served", "Connections served"),
        )
    ),
    *(
        Table(
            ("rate", "cpu", "p50", "p99", "p999", "voluntary", "involuntary", "cores")
            + ((CLIENT_CPU, CLIENT_BUSY, "setup", "threads") if kind == NONE else ()),
            f"100 connections, {_WORDS[kind]}",
            where={"work": kind, **_MEDIUM},
        )
        for kind in KINDS
    ),
    Table(
        ("rate", "cpu", "p99", "voluntary", "memory", "served"),
        "The course's programs as they are, 100 connections",
        where={"program": "as it is"},
    ),
)

PART = Part(
    name="models",
    title="I/O models: who waits for whom",
    question=(
        "How does a server wait for many clients: one after the other, with a process or a thread "
        "for each, with select, poll or epoll in one thread, with several reactors? What does each "
        "way cost with more clients and more to do for each message, and where does it end? "
        "Chapters 20 to 29 and 32 to 35."
    ),
    contenders=(*MODELS, *COURSE),
    figures=FIGURES,
    measure=measure,
    findings=findings,
    tables=TABLES,
    plots=PLOTS,
    headlines=tuple(
        Headline(
            "cpu",
            {"connections": number, "work": NONE},
            "epoll",
            f"of server CPU a message with epoll and {number:,} connections",
            "poll",
        )
        for number in (CONNECTIONS[-1], SOME_CONNECTIONS)
    ),
    rounds=3,
    seconds=0.5,
    short_rounds=1,
    short_seconds=0.1,
)
