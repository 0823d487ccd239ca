"""The way of a request through Yolanda: which calls it makes, and what each step costs.

- Calls are counted in a server that is asked a known number of times, more in one run than in
  another: those of Python by cProfile, those of the kernel by strace.  What the two say of time is
  not taken, since both make some calls dearer than others.
- What each step costs is measured without either: see `hot_path_steps`.
"""

import contextlib
import functools
import json
import pstats
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from yolanda.bench import (
    contenders,
    cores,
    load,
    peers,
    processes,
    processor_time,
    rounds,
    tools,
    wrk,
)
from yolanda.bench.clients.echo import ask_once, connect, read_group, send_group
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Figure, Missing, Part, Progress, Settings, Table, Where
from yolanda.bench.parts import hot_path_steps
from yolanda.bench.parts.hot_path_steps import KERNEL, TOGETHER
from yolanda.bench.report.numbers import value_text
from yolanda.bench.results import PartResult, Sample, spread
from yolanda.bench.rounds import Entry

REQUESTS = {"small GET": wrk.SMALL, "browser's GET": wrk.BROWSER}
STEPPED = "yolanda"  # the contender whose steps are measured
RARE = 0.005  # calls a request; what is called less often is no part of its way
FEW, MANY = 4, 104  # times that each connection asks in a run in which calls are counted
MORE = (MANY - FEW) * load.CONNECTIONS  # requests
BUILTIN = "~"  # the file of a function in C, for cProfile
STEPS_PATIENCE = 60.0  # seconds beyond its duration after which the measuring of steps is given up
STRACE_PATIENCE = 10.0  # seconds for strace to sum up

CONTENDERS = (
    Contender(STEPPED, peers.script("yolanda_http.py"), ("yolanda", "httptools")),
    peers.yolanda_serve(name="yolanda-asgi"),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", "strace", install=settings.install)
    if tools.find("wrk") is None:
        raise Missing(lacking)
    result.versions["wrk"] = wrk.version()
    loads = [
        Load(_at(name), functools.partial(_run, request=request))
        for name, request in REQUESTS.items()
    ]
    entries = [Entry(contender, loads, wrk.warm_up) for contender in CONTENDERS]
    rounds.measure(entries, settings, progress, result)

    present = [contender for contender in CONTENDERS if result.find(contender.name)]
    counted = [(contender, name) for contender in present for name in REQUESTS]
    stepped = settings.rounds if settings.wants(STEPPED) else 0
    done = settings.rounds * len(counted)
    progress.expect(done + 2 * len(counted) + stepped)
    server_core, client_core = cores.choose()
    with cores.pinned(client_core):
        for contender, name in counted:
            progress.advance(f"{contender.name}: calls of Python, {name}")
            _count_calls(contender, name, server_core, result)
        for contender, name in counted:
            progress.advance(f"{contender.name}: system calls, {name}")
            _count_system_calls(contender, name, server_core, result)
    with cores.pinned(server_core):
        for _ in range(stepped):
            progress.advance(f"{STEPPED}: the steps")
            _measure_steps(settings.seconds, result)


def _at(name: str) -> Where:
    return {"load": name}


def _run(server: Server, seconds: float, request: wrk.Request) -> Sample:
    """Load a server, and divide its time into that of the program and that of the kernel."""
    before = processor_time.modes(server.session)
    sample = wrk.run(server, seconds, request)
    after = processor_time.modes(server.session)
    user, system = after[0] - before[0], after[1] - before[1]
    share = user / (user + system)
    return sample | {"user": sample["cpu"] * share, "system": sample["cpu"] * (1 - share)}


# ---- calls ---------------------------------------------------------------------------------------


def _count_calls(contender: Contender, name: str, core: int, result: PartResult) -> None:
    """Count in a long run what a short one has not: start, connections and end are the same."""
    try:
        few, many = (_profiled(contender, name, core, times) for times in (FEW, MANY))
    except (RuntimeError, OSError) as error:
        result.notes.append(f"The calls of {contender.name} could not be counted: {error}.")
        return
    totals = {"python_calls": 0.0, "builtin_calls": 0.0}
    counts = {key: (many[key] - few[key]) / MORE for key in many}
    for (file, _, function), calls in sorted(counts.items(), key=lambda item: -item[1]):
        if calls > RARE:
            totals["builtin_calls" if file == BUILTIN else "python_calls"] += calls
            at = {**_at(name), "call": call_text(file, function)}
            result.add(contender.name, at, {"calls": calls})
    result.add(contender.name, {**_at(name), "counted": "calls"}, totals)


def _profiled(
    contender: Contender, name: str, core: int, times: int
) -> Counter[tuple[str, int, str]]:
    """Ask a server under cProfile, and return the calls of each function."""
    with tempfile.TemporaryDirectory(prefix="yolanda-bench-") as folder:
        path = Path(folder) / "profile"

        def command(port: int, own: Path) -> list[str]:
            python, *rest = contender.command(port, own)
            return [python, "-m", "cProfile", "-o", str(path), *rest]

        profiled = Contender(contender.name, command, contender.modules)
        with contenders.running(profiled, core) as server:
            ask(server, hot_path_steps.REQUESTS[name], times)
        counts: Counter[tuple[str, int, str]] = Counter()
        for function, (_, calls, *_) in pstats.Stats(str(path)).stats.items():  # type: ignore[attr-defined]
            counts[function] = calls
        return counts


def ask(server: Server, request: bytes, times: int) -> None:
    """Send a request so many times on each of the connections, and take the answers."""
    with contextlib.ExitStack() as stack:
        group = [stack.enter_context(connect(server.port)) for _ in range(load.CONNECTIONS)]
        answer = bytearray(ask_once(group[0], request))
        trips: list[float] = []
        for _ in range(times):
            send_group(group, request, trips)
            read_group(group, answer, trips, [])


def call_text(file: str, function: str) -> str:
    """Write the name of a function as cProfile has it: ``encode (codec.py)``, ``posix.read``."""
    if file != BUILTIN:
        return f"{function} ({Path(file).name})"
    if found := re.fullmatch(r"<method '(.+)' of '(.+)' objects>", function):
        return f"{found[2]}.{found[1]}"
    return re.sub(r" at 0x[0-9a-f]+", "", function.removeprefix("<built-in method ").strip("<>"))


def _count_system_calls(contender: Contender, name: str, core: int, result: PartResult) -> None:
    try:
        with contenders.running(contender, core) as server:
            wrk.warm_up(server)
            few, many = (_traced(server, name, times) for times in (FEW, MANY))
    except (RuntimeError, OSError) as error:
        said = f"The system calls of {contender.name} could not be counted: {error}."
        if said not in result.notes:
            result.notes.append(said)
        return
    counts = {call: (many[call] - few[call]) / MORE for call in many}
    for call, count in sorted(counts.items(), key=lambda item: -item[1]):
        if count > RARE:
            at = {**_at(name), "system call": call}
            result.add(contender.name, at, {"kernel_calls": count})
    at = {**_at(name), "counted": "system calls"}
    result.add(contender.name, at, {"system_calls": sum(counts.values())})


def _traced(server: Server, name: str, times: int) -> Counter[str]:
    """Ask a server while strace counts, and return the system calls by name."""
    with tempfile.TemporaryDirectory(prefix="yolanda-bench-") as folder:
        path = Path(folder) / "calls"
        command = [tools.find("strace") or "strace", "-c", "-f", "-o", str(path)]
        for pid in processes.of_session(server.session):
            command += ["-p", str(pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            try:
                assert tracer.stderr is not None
                said = tracer.stderr.readline()
                if "attached" not in said:
                    raise RuntimeError(said.strip() or "strace ended")
                ask(server, hot_path_steps.REQUESTS[name], times)
                tracer.send_signal(signal.SIGINT)
                tracer.wait(STRACE_PATIENCE)
            except subprocess.TimeoutExpired:
                raise RuntimeError("strace does not end") from None
            finally:
                tracer.kill()
        return read_strace(path.read_text())


def read_strace(text: str) -> Counter[str]:
    """Take the calls by name out of the table of ``strace -c``."""
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        words = line.split()
        # % time, seconds, usecs/call, calls, errors if there are any, syscall
        if len(words) in (5, 6) and words[3].isdigit() and words[-1] != "total":
            counts[words[-1]] += int(words[3])
    return counts


# ---- steps ---------------------------------------------------------------------------------------


def _measure_steps(seconds: float, result: PartResult) -> None:
    command = [sys.executable, "-m", "yolanda.bench.parts.hot_path_steps", str(seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + STEPS_PATIENCE
    )
    if done.returncode:
        raise RuntimeError(f"the steps could not be measured: {done.stderr.strip()[-500:]}")
    for name, steps in json.loads(done.stdout).items():
        for step, cost in steps.items():
            result.add(STEPPED, {**_at(name), "step": step}, {"cost": cost})


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    sentences = []
    for name in REQUESTS:
        for contender in result.contenders():
            cpu = spread(result.find(contender, _at(name)), "cpu")
            system = spread(result.find(contender, _at(name)), "system")
            if cpu and system:
                figure = PART.figure("cpu")
                sentences.append(
                    f"{name}: {contender} takes {value_text(figure, cpu.median)}, of which the "
                    f"kernel has {value_text(figure, system.median)}."
                )
        whole = spread(result.find(STEPPED, {**_at(name), "step": TOGETHER}), "cost")
        known = [
            spread(result.find(STEPPED, {**_at(name), "step": step}), "cost") for step in KERNEL
        ]
        if whole:
            kernel = sum(found.median for found in known if found)
            figure = PART.figure("cost")
            sentences.append(
                f"{name}: of the {value_text(figure, whole.median)} that a request takes of a turn "
                f"of the loop, {value_text(figure, kernel)} are system calls and "
                f"{value_text(figure, whole.median - kernel)} are Yolanda's."
            )
    return sentences


PART = Part(
    name="profile",
    title="The way of a request",
    question=(
        "Which calls does a request make on its way through Yolanda, in Python and in the kernel, "
        "and what does each step cost?"
    ),
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=(
        *load.figures("request"),
        Figure("user", "of it in the program", "us", 1e6, 2),
        Figure("system", "of it in the kernel", "us", 1e6, 2),
        Figure("cost", "cost a request", "us", 1e6, 2),
        Figure("calls", "calls a request", "", 1, 2),
        Figure("kernel_calls", "system calls a request", "", 1, 2),
        Figure("python_calls", "calls of functions in Python", "", 1, 1),
        Figure("builtin_calls", "calls of functions in C", "", 1, 1),
        Figure("system_calls", "system calls", "", 1, 2),
    ),
    measure=measure,
    findings=find,
    tables=(
        Table(("cpu", "user", "system"), f"Under load, {load.CONNECTIONS} connections"),
        Table(("cost",), "What each step costs a request", rows="step", columns="load"),
        Table(("python_calls", "builtin_calls"), "Calls a request", where={"counted": "calls"}),
        Table(("system_calls",), "System calls a request", where={"counted": "system calls"}),
        Table(("kernel_calls",), "Calls of the kernel", rows="system call", columns="load"),
        Table(("calls",), "Calls of functions", rows="call", columns="load"),
    ),
    seconds=2.0,
    by_default=False,
)
