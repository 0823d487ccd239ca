"""What a static file costs: ``.venv-bench/bin/python benchmarks/static_files.py --help``.

The same folder behind nginx, behind uvicorn with Starlette's StaticFiles, and behind ours.  The
figures are those of `run.py`, and are taken in the same way.
"""

import argparse
import http.client
import os
import signal
import sys
from functools import partial
from pathlib import Path

import contenders
import load
import machine
import report
import run
from contenders import Contender
from load import Sample, Workload

CONNECTIONS = 64
FILES = {"small.txt": 1_000, "medium.bin": 100_000, "large.bin": 1_000_000}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=run.positive, default=5)
    parser.add_argument("--seconds", type=run.positive, default=3, help="seconds of a run (3)")
    parser.add_argument("--contenders", type=lambda text: text.split(","), help="these alone: a,b")
    options = parser.parse_args()
    if contenders.find_program("wrk") is None:
        print("needs wrk")
        return 2
    present = []
    for contender in CONTENDERS:
        if options.contenders is not None and contender.name not in options.contenders:
            continue
        reason = contender.missing()
        print(f"{contender.name}: {reason or contender.version()}")
        if not reason:
            present.append(contender)
    server_core, client_core = run.choose_cores()
    for name, value in machine.describe().items():
        print(f"{name + ':':<14} {value}")
    run.raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))
    os.sched_setaffinity(0, {client_core})
    measured: dict[Workload, report.Rounds] = {
        workload: {contender.name: [] for contender in present} for workload in WORKLOADS
    }
    for number in range(options.rounds):
        for contender in present:
            run.show(f"round {number + 1} of {options.rounds}, {contender.name}")
            samples = run_once(contender, options.seconds, server_core)
            for workload in WORKLOADS:
                measured[workload][contender.name].append(samples.get(workload))
    run.show("")
    for workload, rounds in measured.items():
        title = f"{workload.name}, {CONNECTIONS} connections"
        title += f", {options.rounds} x {options.seconds} s"
        report.print_table(title, "request", rounds, ["nginx", "uvicorn"])
    return 0


def run_once(contender: Contender, seconds: int, core: int) -> dict[Workload, Sample]:
    """Start a server and apply the workloads; a failure is printed, and what it leaves is less."""
    samples: dict[Workload, Sample] = {}
    try:
        with contenders.running(contender, core) as (port, session):
            for name, size in FILES.items():
                check_file(port, name, size)
            load.run_wrk(16, load.BROWSER, port, session, 1, path="/small.txt")  # warms it up
            for workload in WORKLOADS:
                samples[workload] = workload.run(port, session, seconds)
    except RuntimeError as error:
        run.show("")
        print(f"FAILED: {error}")
    return samples


def check_file(port: int, name: str, size: int) -> None:
    """Ask for a file once; raise `RuntimeError` if what comes is another one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", f"/{name}")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if (response.status, body) != (200, contents(size)) or not response.getheader("ETag"):
        raise RuntimeError(f"answered {response.status} with {len(body)} bytes")


def _workload(title: str, name: str, request: list[str]) -> Workload:
    path = f"/{name}"
    return Workload(title, CONNECTIONS, partial(load.run_wrk, CONNECTIONS, request, path=path))


WORKLOADS = [
    _workload("file of 1 kB", "small.txt", load.SMALL),
    _workload("file of 1 kB, a browser's GET", "small.txt", load.BROWSER),
    _workload("file of 100 kB", "medium.bin", load.SMALL),
    _workload("file of 1 MB", "large.bin", load.SMALL),
]


# ---- contenders --------------------------------------------------------------------------


def contents(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def _make_files(folder: Path) -> Path:
    root = folder / "www"
    root.mkdir()
    for name, size in FILES.items():
        (root / name).write_bytes(contents(size))
    return root


def _nginx(port: int, folder: Path) -> list[str]:
    root = _make_files(folder)
    command = contenders.HTTP[0].command(port, folder)
    configuration = folder / "nginx.conf"
    lines = configuration.read_text().splitlines()
    lines = [
        f"root {root}; sendfile on; gzip_static on;" if "return 200" in line else line
        for line in lines
    ]
    configuration.write_text("\n".join(lines))
    return command


def _uvicorn(port: int, folder: Path) -> list[str]:
    program = folder / "files_app.py"
    program.write_text(
        "from starlette.staticfiles import StaticFiles\n"
        f"app = StaticFiles(directory={str(_make_files(folder))!r})\n"
    )
    command = f"-m uvicorn files_app:app --app-dir {folder} --host 127.0.0.1 --port {port}"
    command += " --loop uvloop --http httptools --ws none --lifespan off --no-access-log"
    return [sys.executable, *command.split(), "--log-level", "warning", "--backlog", "4096"]


def _yolanda(port: int, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "yolanda", "static", str(_make_files(folder))]
    return [*command, f"127.0.0.1:{port}"]


CONTENDERS = [
    Contender("nginx", _nginx, program="nginx"),
    Contender("uvicorn", _uvicorn, modules=("uvicorn", "starlette", "uvloop", "httptools")),
    Contender("yolanda", _yolanda, modules=("yolanda", "httptools")),
]


if __name__ == "__main__":
    sys.exit(main())
