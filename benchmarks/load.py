"""What is sent to a server, and what came of it: one `Sample` for each run.

Load generators run where this process runs: `run` pins itself to the client's core.
"""

import http.client
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import processor_time
from servers.page import PAGE

ECHO_CLIENT = Path(__file__).resolve().parent / "echo_client.py"
HANDSHAKE_CLIENT = ECHO_CLIENT.with_name("handshake_client.py")
PATIENCE = 30.0  # seconds beyond its duration after which wrk is given up

SMALL: list[str] = []
"""What wrk asks by itself: a GET with a Host and nothing else."""
BROWSER = ["--script", str(Path(__file__).resolve().parent / "browser.lua")]
"""The arguments that make wrk ask as a browser does."""


@dataclass(frozen=True)
class Sample:
    """The figures of one run; all times in seconds."""

    cpu: float  # of the server, for each request or message
    rate: float  # requests or messages a second
    p99: float  # the time within which 99 of 100 were answered
    busy: float  # share of the time in which the server ran
    waiting: float  # share in which it was ready to run and another process had its core
    client: float | None  # processor time of the client for each message, if it told
    errors: int


@dataclass(frozen=True)
class Workload:
    """A load under its name: ``run(port, session, seconds)`` applies it to a server."""

    name: str
    connections: int
    run: Callable[[int, int, int], Sample]


def http_workloads(connections: int) -> list[Workload]:
    """The two requests."""
    return [
        Workload("small GET", connections, partial(run_wrk, connections, SMALL)),
        Workload("browser's GET", connections, partial(run_wrk, connections, BROWSER)),
    ]


def echo_workloads(connections: int) -> list[Workload]:
    """The two messages."""
    return [
        Workload("echo of 64 bytes", connections, partial(_run_echo_client, connections, 64)),
        Workload("echo of 64 KiB", connections, partial(_run_echo_client, connections, 65536)),
    ]


def check_page(port: int, tls: ssl.SSLContext | None = None) -> None:
    """Ask for the page once; raise `RuntimeError` if the answer is another one."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=tls)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    kind = response.getheader("Content-Type", "")
    if (response.status, body) != (200, PAGE) or not kind.startswith("text/html"):
        raise RuntimeError(f"answered {response.status} {kind!r} with {body[:200]!r}")


def wrk_version() -> str:
    """Name wrk's version."""
    shown = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return " ".join((shown.stdout or shown.stderr).split()[:2])


def warm_up_http(port: int, scheme: str = "http") -> None:
    """Send a second of requests, so that Python has specialised the code that is measured."""
    _wrk(port, 1, 16, BROWSER, scheme)


# ---- wrk ---------------------------------------------------------------------------------

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def run_wrk(
    connections: int,
    request: list[str],
    port: int,
    session: int,
    seconds: int,
    scheme: str = "http",
    path: str = "/",
) -> Sample:
    """Load a server with wrk, by ``scheme`` http or https."""
    before = processor_time.snapshot(session)
    output = _wrk(port, seconds, connections, request, scheme, path)
    return read_wrk(output, processor_time.elapsed(before, processor_time.snapshot(session)))


def _wrk(
    port: int,
    seconds: int,
    connections: int,
    request: list[str],
    scheme: str = "http",
    path: str = "/",
) -> str:
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", *request]
    command.append(f"{scheme}://127.0.0.1:{port}{path}")
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + PATIENCE
    )
    if finished.returncode:
        raise RuntimeError(f"wrk ended with {finished.returncode}: {finished.stderr.strip()}")
    return finished.stdout


def read_wrk(output: str, times: processor_time.Times) -> Sample:
    """Take the figures out of what wrk prints; raise `RuntimeError` if they are not there."""
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", output)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", output)
    if done is None or tail is None or not int(done[1]):
        raise RuntimeError(f"wrk got no answer:\n{output.strip()}")
    requests = int(done[1])
    seconds = float(done[2]) * _UNITS[done[3]]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    return Sample(
        cpu=times.running / requests,
        rate=requests / seconds,
        p99=float(tail[1]) * _UNITS[tail[2]],
        busy=times.running / seconds,
        waiting=times.waiting / seconds,
        client=None,
        errors=errors,
    )


# ---- our own clients ---------------------------------------------------------------------


def _run_echo_client(connections: int, size: int, port: int, session: int, seconds: int) -> Sample:
    options = ["--connections", str(connections), "--size", str(size)]
    return run_client(ECHO_CLIENT, options, port, session, seconds)


def run_handshakes(port: int, session: int, seconds: int) -> Sample:
    """Have clients come, shake hands, ask and go."""
    return run_client(HANDSHAKE_CLIENT, [], port, session, seconds)


def run_client(program: Path, options: list[str], port: int, session: int, seconds: int) -> Sample:
    """Load a server with a program that says ``ready``, waits for a line, and prints figures."""
    command = [sys.executable, str(program), str(port), *options, "--seconds", str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        if client.stdout.readline() != "ready\n":
            raise RuntimeError(f"{program.name} failed: {client.stderr.read().strip()}")
        before = processor_time.snapshot(session)
        client.stdin.write("\n")
        client.stdin.flush()
        answer = client.stdout.readline()
        times = processor_time.elapsed(before, processor_time.snapshot(session))
        if not answer:
            raise RuntimeError(f"{program.name} failed: {client.stderr.read().strip()}")
    figures = json.loads(answer)
    messages, duration = figures["messages"], figures["seconds"]
    return Sample(
        cpu=times.running / messages,
        rate=messages / duration,
        p99=figures["p99"],
        busy=times.running / duration,
        waiting=times.waiting / duration,
        client=figures["client_cpu"] / messages,
        errors=0,
    )
