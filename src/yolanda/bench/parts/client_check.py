"""Our own client against wrk: what each of them finds out about the same servers."""

import functools

from yolanda.bench import load, peers, rounds, tools, wrk
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Headline, Missing, Part, Plot, Progress, Settings, Table, Where
from yolanda.bench.report.numbers import ratio_text
from yolanda.bench.results import PartResult, ratio
from yolanda.bench.rounds import Entry

WRK: Where = {"client": "wrk"}
OURS: Where = {"client": "our own"}
OPTIONS = ("--http", "--connections", str(load.CONNECTIONS))

CONTENDERS = (
    peers.nginx(),
    peers.uvicorn(),
    Contender("yolanda", peers.script("yolanda_http.py"), ("yolanda", "httptools")),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", "nginx", install=settings.install)
    if tools.find("wrk") is None:
        raise Missing(lacking)
    result.versions["wrk"] = wrk.version()
    loads = [
        Load(WRK, wrk.run),
        Load(OURS, functools.partial(load.run_client, module="echo", options=OPTIONS)),
    ]
    entries = [Entry(contender, loads, _prepare) for contender in CONTENDERS]
    rounds.measure(entries, settings, progress, result)


def _prepare(server: Server) -> None:
    wrk.check(server)
    wrk.warm_up(server)


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    sentences = []
    for name in result.contenders():
        wrks, ours = result.find(name, WRK), result.find(name, OURS)
        cpu, client = ratio(ours, wrks, "cpu"), ratio(ours, wrks, "client_cpu")
        if cpu and client:
            sentences.append(
                f"{name}: our own client finds {ratio_text(cpu.median)} the server CPU that wrk "
                f"finds, and takes {ratio_text(client.median)} as much itself."
            )
    return sentences


PART = Part(
    name="clients",
    title="Clients",
    question=(
        "Does a client that is written in Python find what wrk finds? Both ask the same servers "
        "for the same page. The server's cost has to be alike; the rate is not, where a client is "
        "the limit."
    ),
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=load.figures("request"),
    measure=measure,
    findings=find,
    tables=(
        Table(("cpu",), "Server CPU a request", columns="client"),
        Table(("client_cpu",), "Client CPU a request", columns="client"),
        Table(("rate",), "Requests a second", columns="client"),
    ),
    plots=(Plot("bars", "cpu", "Server CPU a request", series="client"),),
    headlines=(
        Headline("cpu", OURS, "yolanda", "of server CPU a small GET, as our own client finds it"),
    ),
    seconds=2.0,
)
