"""What a request to an ASGI or WSGI application costs, behind `yolanda serve` and other servers.

The page as an ASGI application, bare and with Starlette and FastAPI, and as a WSGI application,
bare and with Flask; each in one process, ASGI on uvloop, WSGI with the same number of threads.
"""

import functools

from yolanda.bench import findings, load, peers, rounds, tools, wrk
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Headline, Missing, Part, Plot, Progress, Settings, Table, Where
from yolanda.bench.results import PartResult
from yolanda.bench.rounds import Entry

ASGI = {"ASGI": "asgi_app", "Starlette": "starlette_app", "FastAPI": "fastapi_app"}
WSGI = {"WSGI": "wsgi_app", "Flask": "flask_app"}
REQUESTS = {"small GET": wrk.SMALL, "browser's GET": wrk.BROWSER}
PEERS = ("uvicorn", "gunicorn", "granian")


def servers_of(title: str) -> list[Contender]:
    """Return the servers, each with the application called ``title``."""
    if title in ASGI:
        app = ASGI[title]
        return [
            peers.uvicorn(app),
            peers.gunicorn_with_uvicorn(app),
            peers.hypercorn(app),
            peers.granian(app),
            peers.yolanda_serve(app),
        ]
    app = WSGI[title]
    return [
        peers.gunicorn(app),
        peers.granian_wsgi(app),
        peers.waitress(app),
        peers.yolanda_serve(app),
    ]


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", install=settings.install)
    if lacking:
        raise Missing(lacking)
    result.versions["wrk"] = wrk.version()
    entries = []
    for title in (*ASGI, *WSGI):
        loads = [
            Load(_at(title, name), functools.partial(wrk.run, request=request))
            for name, request in REQUESTS.items()
        ]
        entries += [Entry(contender, loads, _prepare) for contender in servers_of(title)]
    rounds.measure(entries, settings, progress, result)


def _at(title: str, request: str) -> Where:
    return {"application": title, "load": request}


def _prepare(server: Server) -> None:
    wrk.check(server)
    wrk.warm_up(server)


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    return [
        sentence
        for title in (*ASGI, *WSGI)
        for sentence in findings.comparison(
            result,
            PART.figure("cpu"),
            _at(title, "small GET"),
            f"{title}, small GET",
            "yolanda",
            PEERS,
        )
    ]


PART = Part(
    name="applications",
    title="Servers of applications",
    question=(
        "What does a request cost when an application of others answers it, through ASGI or WSGI? "
        "The framework's own share is the same behind every server."
    ),
    contenders=("uvicorn", "gunicorn", "hypercorn", "granian", "waitress", "yolanda"),
    figures=load.figures("request"),
    measure=measure,
    findings=find,
    tables=(Table(("cpu", "rate", "p99"), f"{load.CONNECTIONS} connections", peers=PEERS),),
    plots=(
        Plot(
            "bars",
            "cpu",
            "Server CPU a request",
            x="application",
            where={"load": "small GET"},
        ),
    ),
    headlines=(
        Headline(
            "cpu",
            _at("ASGI", "small GET"),
            "yolanda",
            "of server CPU for a small GET of a bare ASGI application",
            "granian",
        ),
    ),
    seconds=2.0,
    by_default=False,
)
