"""What a request costs in an HTTP server: Yolanda's own, and those of others."""

import functools

from yolanda.bench import findings, idle, load, memory, peers, rounds, tools, wrk
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
    Target,
    Where,
)
from yolanda.bench.results import PartResult, Sample
from yolanda.bench.rounds import Entry

REQUESTS = {
    "small GET": wrk.SMALL,
    "browser's GET": wrk.BROWSER,
    "browser's unique GETs": wrk.CHANGING,
    "16 pipelined": wrk.PIPELINED,
    "1 MB download": wrk.DOWNLOAD,
    "1 MB upload": wrk.UPLOAD,
}
BESIDE = "small GET beside idle connections"
IDLE = (0, 1_000, 10_000)


def _at(name: str) -> Where:
    return {"load": name}


def _beside(count: int) -> Where:
    return {"load": BESIDE, "idle": count}


SMALL = _at("small GET")

CONTENDERS = (
    peers.nginx(),
    peers.uvicorn(),
    peers.granian(),
    peers.hypercorn(),
    peers.gunicorn(),
    Contender("aiohttp", peers.script("aiohttp_server.py"), ("aiohttp", "uvloop")),
    Contender("tornado", peers.script("tornado_server.py"), ("tornado", "uvloop")),
    Contender("socketify", peers.script("socketify_server.py"), ("socketify",)),
    Contender("yolanda", peers.script("yolanda_http.py"), ("yolanda", "httptools")),
    peers.yolanda_serve(name="yolanda-asgi"),
    peers.yolanda_serve("wsgi_app", name="yolanda-wsgi"),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", "nginx", install=settings.install)
    if tools.find("wrk") is None:
        raise Missing(lacking)
    result.versions["wrk"] = wrk.version()
    loads = [
        Load(_at(name), functools.partial(_run, request=request))
        for name, request in REQUESTS.items()
    ]
    entries = [Entry(contender, loads, _prepare) for contender in CONTENDERS]
    for count in IDLE[:2] if settings.short else IDLE:
        if not idle.fits(count):
            result.notes.append(f"The limit of descriptors is too low for {count:,} connections.")
            continue
        # On servers of their own: what another load has left free would be taken first.
        load_beside = Load(_beside(count), functools.partial(idle.run, count=count))
        entries += [Entry(contender, [load_beside], wrk.warm_up) for contender in CONTENDERS]
    result.notes.append(
        f"nginx sets memory aside for {peers.CONNECTIONS:,} connections when it starts, so that "
        "an idle connection then takes little more."
    )
    rounds.measure(entries, settings, progress, result)


def _prepare(server: Server) -> None:
    wrk.check_pages(server)
    wrk.warm_up(server)
    wrk.warm_up(server, wrk.UPLOAD)


def _run(server: Server, seconds: float, request: wrk.Request) -> Sample:
    sample = wrk.run(server, seconds, request)
    return sample | {"memory": memory.of_session(server.session)}


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    cpu = PART.figure("cpu")
    sentences = []
    for name in REQUESTS:
        where = _at(name)
        sentences += findings.comparison(result, cpu, where, name, "yolanda", ["nginx"])
        sentences += findings.comparison(
            result, cpu, where, name, "yolanda-asgi", ["uvicorn", "granian"]
        )
        sentences += findings.comparison(result, cpu, where, name, "yolanda-wsgi", ["gunicorn"])
    for count in IDLE[1:]:
        where = _beside(count)
        sentences += findings.comparison(
            result,
            PART.figure("connection_memory"),
            where,
            f"one of {count:,} idle connections",
            "yolanda",
            ["uvicorn", "granian"],
        )
    return sentences


PART = Part(
    name="http",
    title="HTTP servers",
    question=(
        "What does a request cost the server's processor, and what does a connection that is idle "
        "cost its memory, in Yolanda and in the servers that it is compared with? Chapters 32 to "
        "34 of the course build the server."
    ),
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=(
        *load.figures("request"),
        Figure("memory", "memory of the server after it", "MiB", 1 / (1 << 20), 1),
        Figure("connection_memory", "memory an idle connection", "KiB", 1 / 1024, 2),
        Figure("idle_cpu", "processor while all are idle", "%", 100, 1),
    ),
    measure=measure,
    conditions={"idle": "idle connections"},
    findings=find,
    tables=(
        *(
            Table(
                ("cpu", "rate", "p99", "memory", "client_cpu"),
                f"{name}, {load.CONNECTIONS} connections",
                where=_at(name),
                peers=("nginx", "uvicorn"),
            )
            for name in REQUESTS
        ),
        *(
            Table(
                ("connection_memory", "idle_cpu", "cpu", "p99"),
                f"Small GET, {load.CONNECTIONS} connections beside {count:,} that are idle",
                where=_beside(count),
                peers=("uvicorn",),
            )
            for count in IDLE[1:]
        ),
    ),
    plots=(
        *(
            Plot("bars", "cpu", f"Server CPU a request: {name}", where=_at(name))
            for name in REQUESTS
        ),
        Plot(
            "bars",
            "connection_memory",
            "Memory of an idle connection",
            where=_beside(IDLE[-1]),
            caption="What the kernel keeps for the sockets is not in it.",
        ),
        Plot(
            "lines",
            "cpu",
            "Small GET beside idle connections",
            x="idle",
            where=_at(BESIDE),
            log_y=True,
            caption="Where the line rises, a server looks at those who are idle, too.",
        ),
    ),
    targets=(
        Target("cpu", SMALL, "yolanda", 1.5, "nginx"),
        Target("cpu", _at("browser's GET"), "yolanda", 2.0, "nginx"),
        Target("cpu", SMALL, "yolanda-asgi", 0.45, "uvicorn"),
        Target("cpu", SMALL, "yolanda-asgi", 0.45, "granian"),
        Target("connection_memory", _beside(IDLE[-1]), "yolanda", 3 * 1024),
    ),
    headlines=(Headline("cpu", SMALL, "yolanda", "of server CPU for a small GET", "nginx"),),
    rounds=3,  # of some six minutes each
    seconds=2.0,
)
