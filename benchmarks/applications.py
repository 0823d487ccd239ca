"""Measure servers of applications: ``.venv-bench/bin/python benchmarks/applications.py --help``.

The page as an ASGI application, bare and with Starlette and FastAPI, and as a WSGI application,
bare and with Flask; each in one process, ASGI on uvloop, WSGI with the same number of threads.
The figures are those of `run.py`, and are taken in the same way.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import contenders
import load
import machine
import report
import run
from contenders import SERVERS, Contender

THREADS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=run.positive, default=5)
    parser.add_argument("--seconds", type=run.positive, default=3, help="seconds of a run (3)")
    parser.add_argument("--contenders", type=lambda text: text.split(","), help="these alone: a,b")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(APPLICATIONS),
        help=f"these applications alone, of {', '.join(APPLICATIONS)}",
    )
    parser.add_argument("--connections", type=run.positive_list, default=[64], help="1,64 ... (64)")
    options = parser.parse_args()
    if contenders.find_program("wrk") is None:
        print("needs wrk")
        return 2
    server_core, client_core = run.choose_cores()
    for name, value in machine.describe().items():
        print(f"{name + ':':<14} {value}")
    run.raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))
    os.sched_setaffinity(0, {client_core})
    for title in options.only:
        if title not in APPLICATIONS:
            parser.error(f"there is no application {title!r}")
        measure(title, options, server_core)
    return 0


def measure(title: str, options: argparse.Namespace, core: int) -> None:
    """Measure one application behind every server, and print the tables."""
    workloads = [w for number in options.connections for w in load.http_workloads(number)]
    present = []
    for contender in servers_of(title):
        if options.contenders is None or contender.name in options.contenders:
            reason = contender.missing()
            print(f"{title}: {contender.name}: {reason or contender.version()}")
            if not reason:
                present.append(contender)
    measured: dict[load.Workload, report.Rounds] = {
        workload: {contender.name: [] for contender in present} for workload in workloads
    }
    for number in range(options.rounds):
        for contender in present:
            run.show(f"{title}: round {number + 1} of {options.rounds}, {contender.name}")
            samples = run.run_once("HTTP", contender, workloads, options.seconds, core)
            for workload in workloads:
                measured[workload][contender.name].append(samples.get(workload))
    run.show("")
    for workload, rounds in measured.items():
        heading = f"{title}: {workload.name}, {workload.connections} connections, "
        heading += f"{options.rounds} x {options.seconds} s"
        report.print_table(heading, "request", rounds, ["uvicorn", "gunicorn", "granian"])


# ---- contenders --------------------------------------------------------------------------

APPLICATIONS = {
    "asgi": "asgi_app",
    "starlette": "starlette_app",
    "fastapi": "fastapi_app",
    "wsgi": "wsgi_app",
    "flask": "flask_app",
}
FRAMEWORKS = {"starlette": ("starlette",), "fastapi": ("fastapi",), "flask": ("flask",)}
SPEAK_WSGI = ("wsgi", "flask")

Command = Callable[[str, int, Path], list[str]]


def _python(*parts: str) -> list[str]:
    return [sys.executable, *" ".join(parts).split()]


def _uvicorn(module: str, port: int, folder: Path) -> list[str]:
    return _python(
        f"-m uvicorn {module}:app --app-dir {SERVERS} --host 127.0.0.1 --port {port}",
        "--loop uvloop --http httptools --ws none --lifespan off --no-access-log",
        "--log-level warning --backlog 4096",
    )


def _hypercorn(module: str, port: int, folder: Path) -> list[str]:
    command = f"-m hypercorn {module}:app --bind 127.0.0.1:{port} --workers 1"
    options = "--worker-class uvloop --log-level WARNING --backlog 4096 --keep-alive 600"
    return ["env", f"PYTHONPATH={SERVERS}", *_python(command, options)]


def _gunicorn_with_uvicorn(module: str, port: int, folder: Path) -> list[str]:
    return _python(
        f"-m gunicorn {module}:app --chdir {SERVERS} --bind 127.0.0.1:{port} --workers 1",
        "--worker-class uvicorn_worker.UvicornWorker --keep-alive 600 --backlog 4096",
        f"--worker-tmp-dir {folder} --log-level warning",
    )


def _granian_asgi(module: str, port: int, folder: Path) -> list[str]:
    return _python(
        f"-m granian {module}:app --working-dir {SERVERS} --host 127.0.0.1 --port {port}",
        "--interface asgi --loop uvloop --http 1 --no-ws --no-access-log --workers 1",
        "--runtime-threads 1 --runtime-mode st --log-level warning --backlog 4096",
    )


def _gunicorn(module: str, port: int, folder: Path) -> list[str]:
    return _python(
        f"-m gunicorn {module}:app --chdir {SERVERS} --bind 127.0.0.1:{port} --workers 1",
        f"--worker-class gthread --threads {THREADS} --keep-alive 600 --backlog 4096",
        f"--worker-tmp-dir {folder}",
    )


def _granian_wsgi(module: str, port: int, folder: Path) -> list[str]:
    return _python(
        f"-m granian {module}:app --working-dir {SERVERS} --host 127.0.0.1 --port {port}",
        f"--interface wsgi --http 1 --no-ws --workers 1 --blocking-threads {THREADS}",
        "--log-level warning --backlog 4096",
    )


def _waitress(module: str, port: int, folder: Path) -> list[str]:
    command = f"-m waitress --listen=127.0.0.1:{port} --threads={THREADS}"
    options = f"--connection-limit=4000 {module}:app"
    return ["env", f"PYTHONPATH={SERVERS}", *_python(command, options)]


def _yolanda(module: str, port: int, folder: Path) -> list[str]:
    return _python(
        f"-m yolanda serve {module}:app --app-dir {SERVERS} --port {port} --loop uvloop",
        f"--threads {THREADS} --log-level warning --backlog 4096",
    )


ASGI: list[tuple[str, Command, tuple[str, ...]]] = [
    ("uvicorn", _uvicorn, ("uvicorn", "uvloop", "httptools")),
    ("gunicorn", _gunicorn_with_uvicorn, ("gunicorn", "uvicorn_worker", "uvloop")),
    ("hypercorn", _hypercorn, ("hypercorn", "uvloop")),
    ("granian", _granian_asgi, ("granian", "uvloop")),
    ("yolanda", _yolanda, ("yolanda", "httptools", "uvloop")),
]
WSGI: list[tuple[str, Command, tuple[str, ...]]] = [
    ("gunicorn", _gunicorn, ("gunicorn",)),
    ("granian", _granian_wsgi, ("granian",)),
    ("waitress", _waitress, ("waitress",)),
    ("yolanda", _yolanda, ("yolanda", "httptools")),
]


def servers_of(title: str) -> list[Contender]:
    """The servers, each with the application called ``title``."""
    frameworks = FRAMEWORKS.get(title, ())
    return [
        Contender(name, partial(command, APPLICATIONS[title]), modules=(*modules, *frameworks))
        for name, command, modules in (WSGI if title in SPEAK_WSGI else ASGI)
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
