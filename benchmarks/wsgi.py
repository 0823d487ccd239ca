"""Measure WSGI servers: ``.venv-bench/bin/python benchmarks/wsgi.py --help``.

A bare application and a small Flask application, each in one process with the same number of
threads.  The figures are those of `run.py`, and are taken in the same way.
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
    parser.add_argument("--only", choices=list(APPLICATIONS), help="one application alone")
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
    for title, module in APPLICATIONS.items():
        if options.only in (None, title):
            measure(title, module, options, server_core)
    return 0


def measure(title: str, module: str, options: argparse.Namespace, core: int) -> None:
    """Measure one application behind every server, and print the tables."""
    workloads = [w for number in options.connections for w in load.http_workloads(number)]
    present = []
    for contender in servers_of(module):
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
        heading += f"{THREADS} threads, {options.rounds} x {options.seconds} s"
        report.print_table(heading, "request", rounds, ["gunicorn", "granian"])


# ---- contenders --------------------------------------------------------------------------

APPLICATIONS = {"bare": "wsgi_app", "flask": "flask_app"}


def _gunicorn(module: str, port: int, folder: Path) -> list[str]:
    command = f"-m gunicorn {module}:app --chdir {SERVERS} --bind 127.0.0.1:{port} --workers 1"
    command += f" --worker-class gthread --threads {THREADS} --keep-alive 600 --backlog 4096"
    return [sys.executable, *command.split(), "--worker-tmp-dir", str(folder)]


def _granian(module: str, port: int, folder: Path) -> list[str]:
    command = f"-m granian {module}:app --working-dir {SERVERS} --host 127.0.0.1 --port {port}"
    command += f" --interface wsgi --http 1 --no-ws --workers 1 --blocking-threads {THREADS}"
    return [sys.executable, *command.split(), "--log-level", "warning", "--backlog", "4096"]


def _waitress(module: str, port: int, folder: Path) -> list[str]:
    command = ["env", f"PYTHONPATH={SERVERS}", sys.executable, "-m", "waitress"]
    command += [f"--listen=127.0.0.1:{port}", f"--threads={THREADS}"]
    return [*command, "--connection-limit=4000", f"{module}:app"]


def _yolanda(module: str, port: int, folder: Path) -> list[str]:
    command = f"-m yolanda serve {module}:app --app-dir {SERVERS} --port {port}"
    command += f" --threads {THREADS} --log-level warning --backlog 4096"
    return [sys.executable, *command.split()]


def servers_of(module: str) -> list[Contender]:
    """The servers, each with the application in ``module``."""
    framework = ("flask",) if module == "flask_app" else ()

    def contender(
        name: str, command: Callable[[str, int, Path], list[str]], *modules: str
    ) -> Contender:
        return Contender(name, partial(command, module), modules=(*modules, *framework))

    return [
        contender("gunicorn", _gunicorn, "gunicorn"),
        contender("granian", _granian, "granian"),
        contender("waitress", _waitress, "waitress"),
        contender("yolanda", _yolanda, "yolanda", "httptools"),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
