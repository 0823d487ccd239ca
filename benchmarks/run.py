"""Measure Yolanda against its peers: ``make bench``, or ``python benchmarks/run.py --help``.

What is measured, and how to read it, is in the README of this folder.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys

import contenders
import load
import machine
import report
from contenders import Contender
from load import Workload

PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}  # as Debian and Ubuntu call them


def main() -> int:
    options = parse_options()
    if not sys.platform.startswith("linux"):
        print("the benchmarks need Linux: they read /proc and pin processes to cores")
        return 2
    server_core, client_core = choose_cores()
    description = machine.describe()
    for name, value in description.items():
        print(f"{name + ':':<14} {value}")
    print(f"{'cores used:':<14} server {server_core}, client {client_core}")
    if server_core == client_core:
        print("there is only one core: server and client share it, and rates and p99 mean little")
    raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))  # servers with it
    os.sched_setaffinity(0, {client_core})  # load generators inherit it

    measured: dict[tuple[str, int], report.Rounds] = {}
    versions: dict[str, str] = {}
    if options.only != "echo":
        measure_http(options, server_core, measured, versions)
    if options.only != "http":
        measure_echo(options, server_core, measured, versions)
    report.print_verdicts(measured)
    if options.json:
        write_json(options, description, versions, measured)
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, help="rounds, each with every contender (5)")
    parser.add_argument("--seconds", type=positive, help="seconds of a run (3)")
    parser.add_argument("--only", choices=["http", "echo"], help="one half alone")
    parser.add_argument(
        "--connections",
        type=positive_list,
        default=[64],
        help="connections of the client, or several numbers, as in 1,64,1000 (64)",
    )
    parser.add_argument("--contenders", type=lambda text: text.split(","), help="these alone: a,b")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second, for CI")
    parser.add_argument("--no-install", action="store_true", help="never install nginx and wrk")
    parser.add_argument("--json", metavar="FILE", help="write every sample to a file as well")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    known = {contender.name for contender in [*contenders.HTTP, *contenders.ECHO]}
    for name in options.contenders or ():
        if name not in known:
            parser.error(f"no contender is called {name!r}; there are {', '.join(sorted(known))}")
    return options


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positive_list(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def choose_cores() -> tuple[int, int]:
    """Take the first two cores that this process may use: the server's and the client's."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[min(1, len(cores) - 1)]


def raise_descriptor_limit() -> None:
    """Let a thousand connections be open at once; servers and clients inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure_http(
    options: argparse.Namespace,
    core: int,
    measured: dict[tuple[str, int], report.Rounds],
    versions: dict[str, str],
) -> None:
    wanted = chosen(contenders.HTTP, options)
    if not wanted:
        return
    needed = ["wrk", *(["nginx"] if any(c.program == "nginx" for c in wanted) else [])]
    reason = provide(needed, options)
    if contenders.find_program("wrk") is None:
        print(f"\nHTTP is skipped, because there is no wrk: {reason}")
        return
    versions["wrk"] = load.wrk_version()
    workloads = [w for number in options.connections for w in load.http_workloads(number)]
    measure("HTTP", wanted, workloads, options, core, measured, versions)
    for (name, connections), rounds in select(measured, workloads):
        title = f"{name}, {connections} connections, {options.rounds} x {options.seconds} s"
        report.print_table(title, "request", rounds, ["nginx", "uvicorn"])


def measure_echo(
    options: argparse.Namespace,
    core: int,
    measured: dict[tuple[str, int], report.Rounds],
    versions: dict[str, str],
) -> None:
    wanted = chosen(contenders.ECHO, options)
    if not wanted:
        return
    workloads = [w for number in options.connections for w in load.echo_workloads(number)]
    measure("echo", wanted, workloads, options, core, measured, versions)
    for (name, connections), rounds in select(measured, workloads):
        title = f"{name}, {connections} connections, {options.rounds} x {options.seconds} s"
        report.print_table(title, "message", rounds, ["asyncio", "uvloop"])


def chosen(available: list[Contender], options: argparse.Namespace) -> list[Contender]:
    if options.contenders is None:
        return available
    return [contender for contender in available if contender.name in options.contenders]


def select(
    measured: dict[tuple[str, int], report.Rounds], workloads: list[Workload]
) -> list[tuple[tuple[str, int], report.Rounds]]:
    keys = [(workload.name, workload.connections) for workload in workloads]
    return [(key, measured[key]) for key in keys if key in measured]


def measure(
    kind: str,
    wanted: list[Contender],
    workloads: list[Workload],
    options: argparse.Namespace,
    core: int,
    measured: dict[tuple[str, int], report.Rounds],
    versions: dict[str, str],
) -> None:
    """Run every workload against every contender, in turn, once a round.

    Each run has a server of its own, since where its memory comes to lie, and how its hashes fall,
    is chance that lasts as long as a process.
    """
    print()
    present = []
    for contender in wanted:
        reason = contender.missing()
        if reason:
            print(f"{kind}: {contender.name} is skipped: {reason}")
            continue
        present.append(contender)
        versions[f"{kind} {contender.name}"] = contender.version()
        print(f"{kind}: {contender.name} ({versions[f'{kind} {contender.name}']})")
    for workload in workloads:
        rounds: report.Rounds = {contender.name: [] for contender in present}
        measured[workload.name, workload.connections] = rounds
    for number in range(options.rounds):
        for contender in present:
            show(f"{kind}: round {number + 1} of {options.rounds}, {contender.name}")
            samples = run_once(kind, contender, workloads, options.seconds, core)
            for workload in workloads:
                rounds = measured[workload.name, workload.connections]
                rounds[contender.name].append(samples.get(workload))
    show("")


def run_once(
    kind: str, contender: Contender, workloads: list[Workload], seconds: int, core: int
) -> dict[Workload, load.Sample]:
    """Start a server and apply the workloads; a failure is printed, and what it leaves is less."""
    samples: dict[Workload, load.Sample] = {}
    try:
        with contenders.running(contender, core) as (port, session):
            if kind == "HTTP":
                load.check_page(port)
                load.warm_up_http(port)
            for workload in workloads:
                samples[workload] = workload.run(port, session, seconds)
    except RuntimeError as error:
        show("")
        print(f"FAILED: {error}")
    return samples


def show(progress: str) -> None:
    """Overwrite the line of progress, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


def provide(programs: list[str], options: argparse.Namespace) -> str:
    """Install what is missing where that is possible; return why something still is."""
    missing = [name for name in programs if contenders.find_program(name) is None]
    if not missing:
        return ""
    if options.no_install:
        return "--no-install was given"
    if os.geteuid() != 0 or contenders.find_program("apt-get") is None:
        return f"install {', '.join(missing)}; only root with apt-get can do it from here"
    packages = [PACKAGES[name] for name in missing]
    print(f"\ninstalling {', '.join(packages)} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}"
    return ""


def write_json(
    options: argparse.Namespace,
    description: dict[str, str],
    versions: dict[str, str],
    measured: dict[tuple[str, int], report.Rounds],
) -> None:
    document = {
        "machine": description,
        "versions": versions,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "workloads": [
            {
                "name": name,
                "connections": connections,
                "samples": {
                    contender: [sample and dataclasses.asdict(sample) for sample in samples]
                    for contender, samples in rounds.items()
                },
            }
            for (name, connections), rounds in measured.items()
        ],
    }
    with open(options.json, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=2)
        stream.write("\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
