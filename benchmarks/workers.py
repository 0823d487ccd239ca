"""What a second worker process brings: ``.venv-bench/bin/python benchmarks/workers.py --help``.

Servers and client share two cores, as they do on a small machine.  So the client's part of them is
reported, too: what it takes, no worker can have.  The application is a raw one in ASGI, once with
nothing to do and once with some tenths of a millisecond of Python for each request.
"""

import argparse
import os
import resource
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import contenders
import load
import machine
import processor_time
import run
from contenders import SERVERS, Contender

APPLICATIONS = {"nothing to do": "asgi_app:app", "some work": "asgi_work:app"}


@dataclass(frozen=True)
class Run:
    """One run of wrk: requests a second, and the cores that each side kept busy."""

    rate: float
    server: float
    client: float


def _yolanda(application: str, workers: int, port: int, folder: Path) -> list[str]:
    command = f"-m yolanda serve {application} --app-dir {SERVERS} --port {port} -w {workers}"
    return [sys.executable, *command.split(), "--lifespan", "off", "--log-level", "warning"]


def _uvicorn(application: str, workers: int, port: int, folder: Path) -> list[str]:
    command = f"-m uvicorn {application} --app-dir {SERVERS} --port {port} --workers {workers}"
    command += " --loop uvloop --http httptools --ws none --lifespan off --no-access-log"
    return [sys.executable, *command.split(), "--log-level", "warning"]


def _granian(application: str, workers: int, port: int, folder: Path) -> list[str]:
    command = f"-m granian {application} --working-dir {SERVERS} --port {port} --workers {workers}"
    command += " --interface asgi --loop uvloop --http 1 --no-ws --no-access-log"
    return [sys.executable, *command.split(), "--log-level", "warning"]


SERVERS_OF = {"yolanda": _yolanda, "uvicorn": _uvicorn, "granian": _granian}
MODULES = {"uvicorn": ("uvicorn", "uvloop", "httptools"), "granian": ("granian", "uvloop")}


def contender(name: str, application: str, workers: int) -> Contender:
    """A server of that name with so many workers."""
    command = partial(SERVERS_OF[name], application, workers)
    return Contender(f"{name}, {workers}", command, modules=MODULES.get(name, ("yolanda",)))


def measure(server: Contender, cores: set[int], connections: int, seconds: int) -> Run:
    """Load a server once."""
    with contenders.running(server, *cores) as (port, session):
        load.check_page(port)
        load.warm_up_http(port)
        before = processor_time.snapshot(session)
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        sample = load.run_wrk(connections, load.SMALL, port, session, seconds)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        times = processor_time.elapsed(before, processor_time.snapshot(session))
    took = spent.ru_utime + spent.ru_stime - client.ru_utime - client.ru_stime
    return Run(sample.rate, times.running / seconds, took / seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=run.positive, default=5)
    parser.add_argument("--seconds", type=run.positive, default=3, help="seconds of a run (3)")
    parser.add_argument("--connections", type=run.positive, default=64)
    parser.add_argument("--workers", type=run.positive_list, default=[1, 2])
    parser.add_argument("--contenders", default=",".join(SERVERS_OF), help="these alone: a,b")
    options = parser.parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[:2])
    for name, value in machine.describe().items():
        print(f"{name + ':':<14} {value}")
    print(f"{'cores used:':<14} {', '.join(map(str, sorted(cores)))}, by servers and client alike")
    os.sched_setaffinity(0, cores)
    for title, application in APPLICATIONS.items():
        servers = [
            contender(name, application, workers)
            for name in options.contenders.split(",")
            for workers in options.workers
        ]
        servers = [server for server in servers if not _skip(server)]
        runs: dict[str, list[Run]] = {server.name: [] for server in servers}
        for _ in range(options.rounds):
            for server in servers:
                runs[server.name].append(
                    measure(server, cores, options.connections, options.seconds)
                )
        show(title, runs, options)
    return 0


def show(title: str, runs: dict[str, list[Run]], options: argparse.Namespace) -> None:
    """Print the medians of each server, and the ratio to its smallest number of workers."""
    print(f"\n{title}, {options.connections} connections, {options.rounds} x {options.seconds} s")
    print(f"  {'server, workers':<18}{'requests/s':>12}{'ratio':>8}{'its cores':>11}{'client':>9}")
    first: dict[str, float] = {}
    for name, samples in runs.items():
        rate = statistics.median(sample.rate for sample in samples)
        base = first.setdefault(name.partition(",")[0], rate)
        server = statistics.median(sample.server for sample in samples)
        client = statistics.median(sample.client for sample in samples)
        print(f"  {name:<18}{rate:>12,.0f}{rate / base:>8.2f}{server:>11.2f}{client:>9.2f}")


def _skip(server: Contender) -> bool:
    reason = server.missing()
    if reason:
        print(f"{server.name} is left out: {reason}")
    return bool(reason)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
