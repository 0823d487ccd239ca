"""What a message costs in an echo: Yolanda's `TcpServer`, and what others offer."""

import functools

from yolanda.bench import findings, load, peers, rounds
from yolanda.bench.contenders import Contender
from yolanda.bench.load import Load
from yolanda.bench.part import Headline, Part, Plot, Progress, Settings, Table, Target
from yolanda.bench.results import PartResult
from yolanda.bench.rounds import Entry

SIZES = (64, 4096, 65536)

CONTENDERS = (
    Contender("bare epoll", peers.script("echo_bare.py")),
    Contender("asyncio", peers.script("echo_asyncio.py", "asyncio")),
    Contender("uvloop", peers.script("echo_asyncio.py", "uvloop"), ("uvloop",)),
    Contender("gevent", peers.script("echo_gevent.py"), ("gevent",)),
    Contender("twisted", peers.script("echo_twisted.py"), ("twisted",)),
    Contender("yolanda", peers.script("echo_yolanda.py"), ("yolanda",)),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    loads = [
        Load(
            {"size": size},
            functools.partial(load.run_client, module="echo", options=_options(size)),
        )
        for size in SIZES
    ]
    rounds.measure(
        [Entry(contender, loads, rounds.no_preparation) for contender in CONTENDERS],
        settings,
        progress,
        result,
    )


def _options(size: int) -> tuple[str, ...]:
    return ("--connections", str(load.CONNECTIONS), "--size", str(size))


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    return [
        sentence
        for size in SIZES
        for sentence in findings.comparison(
            result,
            PART.figure("cpu"),
            {"size": size},
            f"echo of {size:,} bytes",
            "yolanda",
            ["uvloop", "asyncio", "bare epoll"],
        )
    ]


PART = Part(
    name="echo",
    title="Echo servers",
    question=(
        "What does it cost to receive a message and to send it back, through Yolanda's TcpServer, "
        "through the protocols of asyncio, uvloop and Twisted and a greenlet of gevent, and with "
        "nothing around the system calls (bare epoll)? Chapters 29 to 31 of the course build the "
        "framework."
    ),
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=load.figures("message"),
    measure=measure,
    findings=find,
    tables=(
        Table(
            ("cpu", "rate", "p99", "client_cpu"),
            f"{load.CONNECTIONS} connections",
            peers=("asyncio", "uvloop"),
        ),
    ),
    plots=(
        Plot(
            "bars",
            "cpu",
            "Server CPU a message",
            caption="The bare loop is the floor of anything that is written in Python.",
        ),
    ),
    targets=(
        Target("cpu", {"size": 64}, "yolanda", 1.2, "uvloop"),
        Target("cpu", {"size": 64}, "yolanda", 1.0, "asyncio"),
    ),
    headlines=(
        Headline("cpu", {"size": 64}, "yolanda", "of server CPU for an echo of 64 bytes", "uvloop"),
    ),
    seconds=2.0,
)
