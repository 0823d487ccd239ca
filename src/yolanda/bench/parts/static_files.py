"""What a static file costs: the same folder behind nginx, behind Starlette on uvicorn, and ours."""

import functools
from pathlib import Path

from yolanda.bench import findings, load, peers, rounds, tools, wrk
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Headline, Missing, Part, Plot, Progress, Settings, Table, Where
from yolanda.bench.results import PartResult
from yolanda.bench.rounds import Entry

SIZES = {"small.txt": 1_000, "medium.bin": 100_000, "large.bin": 1_000_000}
REQUESTS = {
    "1 kB": wrk.Request("/small.txt"),
    "1 kB, a browser's GET": wrk.Request("/small.txt", wrk.BROWSER.script),
    "100 kB": wrk.Request("/medium.bin"),
    "1 MB": wrk.Request("/large.bin"),
}
PEERS = ("nginx", "uvicorn")


def contents(size: int) -> bytes:
    """Return what stands in a file of so many bytes."""
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def make_files(folder: Path) -> Path:
    """Make the folder that is served, in another one."""
    root = folder / "www"
    root.mkdir()
    for name, size in SIZES.items():
        (root / name).write_bytes(contents(size))
    return root


def _nginx() -> Contender:
    plain = peers.nginx("root {folder}/www; sendfile on; gzip_static on;")

    def command(port: int, folder: Path) -> list[str]:
        make_files(folder)
        return plain.command(port, folder)

    return Contender(plain.name, command, program=plain.program)


def _uvicorn() -> Contender:
    plain = peers.uvicorn("files_app")

    def command(port: int, folder: Path) -> list[str]:
        (folder / "files_app.py").write_text(
            "from starlette.staticfiles import StaticFiles\n"
            f"app = StaticFiles(directory={str(make_files(folder))!r})\n"
        )
        return [*plain.command(port, folder), "--app-dir", str(folder)]

    return Contender(plain.name, command, (*plain.modules, "starlette"))


def _yolanda(port: int, folder: Path) -> list[str]:
    return peers.python(f"-m yolanda static {make_files(folder)} 127.0.0.1:{port}")


CONTENDERS = (
    _nginx(),
    _uvicorn(),
    Contender("yolanda", _yolanda, ("yolanda", "httptools")),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", "nginx", install=settings.install)
    if tools.find("wrk") is None:
        raise Missing(lacking)
    result.versions["wrk"] = wrk.version()
    loads = [
        Load(_at(title), functools.partial(wrk.run, request=request))
        for title, request in REQUESTS.items()
    ]
    entries = [Entry(contender, loads, prepare) for contender in CONTENDERS]
    rounds.measure(entries, settings, progress, result)


def _at(title: str) -> Where:
    return {"file": title}


def prepare(server: Server) -> None:
    """Check what is served, and warm the server up."""
    for name, size in SIZES.items():
        fields = wrk.check(server, f"/{name}", contents(size))
        if "etag" not in map(str.lower, fields):
            raise RuntimeError(f"{name} came without an ETag")
    wrk.warm_up(server, REQUESTS["1 kB, a browser's GET"])


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    cpu = PART.figure("cpu")
    return [
        sentence
        for title in REQUESTS
        for sentence in findings.comparison(
            result, cpu, _at(title), f"a file of {title}", "yolanda", PEERS
        )
    ]


PART = Part(
    name="files",
    title="Static files",
    question="What does a file cost: the look at it, its fields, and its bytes?",
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=load.figures("request"),
    measure=measure,
    findings=find,
    tables=(Table(("cpu", "rate", "p99"), f"{load.CONNECTIONS} connections", peers=PEERS),),
    plots=(Plot("bars", "cpu", "Server CPU a file"),),
    headlines=tuple(
        Headline("cpu", _at(title), "yolanda", f"of server CPU for a file of {title}", "nginx")
        for title in REQUESTS
    ),
    seconds=2.0,
    by_default=False,
)
