"""What a second worker process brings.

Servers and client share two cores, as they do on a small machine.  So the client's part of them is
reported, too: what it takes, no worker can have.
"""

import functools

from yolanda.bench import findings, peers, results, rounds, tools, wrk
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import (
    Figure,
    Headline,
    Missing,
    Part,
    Plot,
    Progress,
    Settings,
    Table,
    Where,
)
from yolanda.bench.results import PartResult, ratio
from yolanda.bench.rounds import Entry

WORKERS = (1, 2)
REQUESTS = {"nothing to do": wrk.SMALL, "some work": wrk.Request("/work")}


def servers(workers: int) -> list[Contender]:
    """Return the servers, each with so many workers."""
    return [
        peers.uvicorn(workers=workers),
        peers.granian(workers=workers),
        peers.yolanda_serve(workers=workers),
    ]


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", install=settings.install)
    if lacking:
        raise Missing(lacking)
    result.versions["wrk"] = wrk.version()
    entries = [
        Entry(
            contender,
            [
                Load(_at(title, count), functools.partial(wrk.run, request=request))
                for title, request in REQUESTS.items()
            ],
            _prepare,
        )
        for pair in zip(*map(servers, WORKERS), strict=True)
        for count, contender in zip(WORKERS, pair, strict=True)
    ]
    rounds.measure(entries, settings, progress, result, shared_cores=True)


def _at(title: str, workers: int) -> Where:
    return {"load": title, "workers": workers}


def _prepare(server: Server) -> None:
    wrk.check(server)
    wrk.warm_up(server)


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    sentences = []
    for title in REQUESTS:
        for name in result.contenders():
            one, two = (result.find(name, _at(title, count)) for count in WORKERS)
            if found := ratio(two, one, "rate"):
                sentences.append(
                    f"{title}: a second worker lets {name} answer {findings.times(found)} as many "
                    "requests."
                )
    return sentences


PART = Part(
    name="workers",
    title="Worker processes",
    question=(
        "What does a second worker process bring on two cores that the client uses as well, to an "
        "application that has nothing to do and to one that works for a tenth of a millisecond?"
    ),
    contenders=tuple(contender.name for contender in servers(1)),
    figures=(
        Figure("rate", "requests a second", "/s", 1, 0, less_is_better=False),
        Figure("p99", "p99", "ms", 1e3, 2),
        Figure(results.SERVER_BUSY, "cores that the server kept busy", "", 1, 2),
        Figure(results.CLIENT_BUSY, "cores that the client kept busy", "", 1, 2),
    ),
    measure=measure,
    findings=find,
    tables=(
        Table(
            ("rate", "p99", results.SERVER_BUSY, results.CLIENT_BUSY),
            "Servers and client on two cores",
        ),
    ),
    plots=(Plot("bars", "rate", "Requests a second", x="workers"),),
    headlines=tuple(
        Headline(
            "rate", _at(title, WORKERS[-1]), "yolanda", f"with two workers: {title}", "uvicorn"
        )
        for title in reversed(REQUESTS)
    ),
    seconds=2.0,
    by_default=False,
)
