"""wrk as a client of HTTP: what it asks, and what it says."""

import http.client
import re
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from yolanda.bench import load, processor_time, tools
from yolanda.bench.contenders import Server
from yolanda.bench.results import Sample
from yolanda.bench.servers.pages import LARGE, PAGE

PATIENCE = 30.0  # seconds beyond its duration after which wrk is given up
CHECK_TIMEOUT = 10.0  # seconds within which a page must come
WARM_UP_CONNECTIONS = 16

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Request:
    """What is asked again and again: a path, and a script of `clients` that writes the request."""

    path: str = "/"
    script: str = ""


SMALL = Request()
"""A GET with a Host and nothing else."""
BROWSER = Request(script="browser.lua")
"""Ten fields and a cookie."""
CHANGING = Request(script="changing.lua")
"""The same fields, of which no two requests have all alike, nor the same line."""
PIPELINED = Request(script="pipelined.lua")
"""Sixteen small GETs at once; the next sixteen when all are answered."""
DOWNLOAD = Request(path="/large")
"""A small GET of a million bytes."""
UPLOAD = Request(path="/upload", script="upload.lua")
"""A POST of a million bytes."""


def version() -> str:
    """Name wrk's version."""
    shown = subprocess.run([_program(), "-v"], capture_output=True, text=True, check=False)
    return " ".join((shown.stdout or shown.stderr).split()[1:2])


def check(
    server: Server,
    path: str = "/",
    expected: bytes = PAGE,
    upload: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> dict[str, str]:
    """Ask a server once and return the fields of the answer.

    Raises `RuntimeError` if the answer is another than the one that is ``expected``.
    """
    connection = (
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=CHECK_TIMEOUT)
        if tls is None
        else http.client.HTTPSConnection(
            "127.0.0.1", server.port, timeout=CHECK_TIMEOUT, context=tls
        )
    )
    try:
        connection.request("GET" if upload is None else "POST", path, upload)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if (response.status, body) != (200, expected):
        raise RuntimeError(f"{path} was answered {response.status} with {body[:200]!r}")
    return dict(response.getheaders())


def check_pages(server: Server) -> None:
    """Ask for each of the pages once; raise `RuntimeError` if an answer is another one."""
    check(server)
    check(server, "/large", LARGE)
    check(server, "/upload", b"%d" % len(LARGE), upload=LARGE)


def warm_up(server: Server, request: Request = BROWSER, scheme: str = "http") -> None:
    """Send a second of requests, so that Python has specialised the code that is measured."""
    _run(server, request, WARM_UP_CONNECTIONS, 1, scheme)


def run(
    server: Server,
    seconds: float,
    request: Request = SMALL,
    connections: int = load.CONNECTIONS,
    scheme: str = "http",
) -> Sample:
    """Load a server with wrk; it takes whole seconds, so they are rounded up."""
    client = load.children_time()
    before = processor_time.snapshot(server.session)
    output = _run(server, request, connections, seconds, scheme)
    times = processor_time.elapsed(before, processor_time.snapshot(server.session))
    return read(output, times, load.children_time() - client)


def read(output: str, times: processor_time.Times, client: float) -> Sample:
    """Take the figures out of what wrk prints; raise `RuntimeError` if they are not there."""
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", output)
    half, tail = (re.search(rf"{share}%\s+([\d.]+)(us|ms|s|m)", output) for share in (50, 99))
    if done is None or half is None or tail is None or not int(done[1]):
        raise RuntimeError(f"wrk got no answer: {' '.join(output.split())}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    sample = load.make_sample(times, client, int(done[1]), float(done[2]) * _UNITS[done[3]], errors)
    times_of = {"p50": half, "p99": tail}
    # Of batches that take longer than the first of its intervals it has none, and says 0.
    told = {name: float(found[1]) * _UNITS[found[2]] for name, found in times_of.items()}
    return sample | {name: value for name, value in told.items() if value}


def _run(server: Server, request: Request, connections: int, seconds: float, scheme: str) -> str:
    whole = max(1, -int(-seconds // 1))
    command = [_program(), "--latency", "-t1", f"-c{connections}", f"-d{whole}s"]
    if request.script:
        command += ["--script", str(Path(__file__).parent / "clients" / request.script)]
    command.append(f"{scheme}://127.0.0.1:{server.port}{request.path}")
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=whole + PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"wrk did not end within {whole + PATIENCE:.0f} s") from None
    if finished.returncode:
        raise RuntimeError(f"wrk ended with {finished.returncode}: {finished.stderr.strip()}")
    return finished.stdout


def _program() -> str:
    return tools.find("wrk") or "wrk"
