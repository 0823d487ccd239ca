"""What a WebSocket message costs: many clients that all echo, and broadcasts to all of them.

Against Yolanda's own API stand uvicorn with each of its WebSocket protocols and granian, with one
ASGI application that does the same, and the library websockets by itself (``library``).  Nothing is
compressed.
"""

import functools

from yolanda.bench import findings, load, peers, rounds
from yolanda.bench.contenders import Contender
from yolanda.bench.load import Load
from yolanda.bench.part import Headline, Part, Plot, Progress, Settings, Table, Where
from yolanda.bench.results import PartResult
from yolanda.bench.rounds import Entry

CONNECTIONS = 1000
LOADS = {
    "echo of 64 bytes": ("--size", "64"),
    "echo of 4 KiB": ("--size", "4096"),
    "broadcast of 64 bytes": ("--size", "64", "--broadcast"),
}
PEERS = ("uvicorn", "library")


def _uvicorn(name: str, protocol: str) -> Contender:
    plain = peers.uvicorn("websocket_asgi", name=name, options=f"--ws {protocol}")
    library = protocol.partition("-")[0]
    return Contender(name, plain.command, (*plain.modules, library))


CONTENDERS = (
    _uvicorn("uvicorn", "websockets"),
    _uvicorn("uvicorn-sansio", "websockets-sansio"),
    _uvicorn("uvicorn-wsproto", "wsproto"),
    peers.granian("websocket_asgi", options="--ws"),
    Contender("library", peers.script("websocket_library.py"), ("websockets", "uvloop")),
    Contender("yolanda", peers.script("websocket_yolanda.py"), ("yolanda", "websockets")),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    count = CONNECTIONS // 10 if settings.short else CONNECTIONS
    result.settings["connections"] = count
    connections = ("--connections", str(count))
    loads = [
        Load(
            _at(title),
            functools.partial(load.run_client, module="websocket", options=connections + options),
        )
        for title, options in LOADS.items()
    ]
    entries = [Entry(contender, loads, rounds.no_preparation) for contender in CONTENDERS]
    rounds.measure(entries, settings, progress, result)


def _at(title: str) -> Where:
    return {"load": title}


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    cpu = PART.figure("cpu")
    return [
        sentence
        for title in LOADS
        for sentence in findings.comparison(result, cpu, _at(title), title, "yolanda", PEERS)
    ]


PART = Part(
    name="websocket",
    title="WebSocket",
    question=(
        f"What does a message cost when {CONNECTIONS:,} clients stay connected, one that is sent "
        "back and one that all of them get? A message of a broadcast is one that a client has "
        "received."
    ),
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=load.figures("message"),
    measure=measure,
    findings=find,
    tables=(Table(("cpu", "rate", "p99", "client_cpu"), "Messages", peers=PEERS),),
    plots=(Plot("bars", "cpu", "Server CPU a message"),),
    headlines=tuple(
        Headline("cpu", _at(title), "yolanda", f"of server CPU for a message: {title}", "uvicorn")
        for title in LOADS
    ),
    seconds=2.0,
    by_default=False,
)
