"""What a WebSocket message costs: ``.venv-bench/bin/python benchmarks/websocket.py --help``.

Many clients that all echo, and one broadcast after the other to all of them, against uvicorn with
each of its WebSocket protocols, granian, and the library websockets itself (``library``).  Nothing
is compressed.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import contenders
import load
import machine
import report
import run
from contenders import Contender
from load import Workload

CLIENT = Path(__file__).resolve().parent / "websocket_client.py"


def _asgi(options: str, port: int, folder: Path) -> list[str]:
    command = f"-m {options} --host 127.0.0.1 --port {port}"
    return [sys.executable, *command.split(), "--log-level", "warning", "--backlog", "4096"]


def _uvicorn(name: str, protocol: str) -> Contender:
    options = f"uvicorn websocket_asgi:app --app-dir {contenders.SERVERS} --loop uvloop"
    options += f" --http httptools --ws {protocol} --lifespan off --no-access-log"
    library = protocol.partition("-")[0]
    return Contender(name, partial(_asgi, options), modules=("uvicorn", "uvloop", library))


def _granian() -> Contender:
    options = f"granian websocket_asgi:app --working-dir {contenders.SERVERS} --interface asgi"
    options += " --loop uvloop --http 1 --ws --no-access-log --workers 1 --runtime-threads 1"
    return Contender("granian", partial(_asgi, options), modules=("granian", "uvloop"))


CONTENDERS = [
    _uvicorn("uvicorn", "websockets"),
    _uvicorn("uvicorn-sansio", "websockets-sansio"),
    _uvicorn("uvicorn-wsproto", "wsproto"),
    _granian(),
    Contender(
        "library",
        contenders.script("websocket_library.py"),
        modules=("websockets", "uvloop"),
    ),
    Contender(
        "yolanda",
        contenders.script("websocket_yolanda.py"),
        modules=("yolanda", "websockets"),
    ),
]


def workloads(connections: int) -> list[Workload]:
    """Two echoes and a broadcast."""

    def client(*options: str) -> partial[load.Sample]:
        more = ["--connections", str(connections), *options]
        return partial(load.run_client, CLIENT, more)

    return [
        Workload("WebSocket echo of 64 bytes", connections, client("--size", "64")),
        Workload("WebSocket echo of 4 KiB", connections, client("--size", "4096")),
        Workload(
            "WebSocket broadcast of 64 bytes", connections, client("--size", "64", "--broadcast")
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=run.positive, default=5)
    parser.add_argument("--seconds", type=run.positive, default=3, help="seconds of a run (3)")
    parser.add_argument("--connections", type=run.positive_list, default=[1000])
    parser.add_argument("--contenders", type=lambda text: text.split(","), help="these alone: a,b")
    options = parser.parse_args()
    server_core, client_core = run.choose_cores()
    for name, value in machine.describe().items():
        print(f"{name + ':':<14} {value}")
    run.raise_descriptor_limit()
    os.sched_setaffinity(0, {client_core})
    measured: dict[tuple[str, int], report.Rounds] = {}
    wanted = run.chosen(CONTENDERS, options)
    every = [workload for number in options.connections for workload in workloads(number)]
    run.measure("WebSocket", wanted, every, options, server_core, measured, {})
    for (name, connections), rounds in measured.items():
        title = f"{name}, {connections} connections, {options.rounds} x {options.seconds} s"
        report.print_table(title, "message", rounds, ["uvicorn", "library"])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
