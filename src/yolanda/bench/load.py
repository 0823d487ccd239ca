"""What came of a load: the figures of one run, the same for every server and client.

Load generators run where this process runs: `rounds` pins itself to the client's core.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from yolanda.bench import processor_time, results
from yolanda.bench.contenders import Server
from yolanda.bench.part import Figure, Where
from yolanda.bench.results import Sample

CONNECTIONS = 64
"""With so many connections of the client, unless a part says otherwise."""


@dataclass(frozen=True)
class Load:
    """A load under its conditions: ``run(server, seconds)`` applies it to a server.

    ``run`` raises `RuntimeError` or `OSError` if the server does not bear it.
    """

    at: Where
    run: Callable[[Server, float], Sample] = field(compare=False)

    def __str__(self) -> str:
        return ", ".join(
            value if isinstance(value, str) else f"{value} {name}"
            for name, value in self.at.items()
            if value
        )


def figures(unit: str) -> tuple[Figure, ...]:
    """Return the figures that every run has; ``unit`` is what is counted: a request, a message."""
    return (
        Figure("cpu", f"server CPU a {unit}", "us", 1e6, 2),
        Figure("rate", f"{unit}s a second", "/s", 1, 0, less_is_better=False),
        Figure("p99", "p99", "ms", 1e3, 2),
        Figure(results.CLIENT_CPU, f"client CPU a {unit}", "us", 1e6, 2),
    )


def make_sample(
    times: processor_time.Times, client: float, done: int, seconds: float, errors: int = 0
) -> Sample:
    """Make the figures of a run: the server's times, the client's, how much was done in how long.

    How long each request took is added by who knows.
    """
    return {
        "cpu": times.running / done,
        "rate": done / seconds,
        results.CLIENT_CPU: client / done,
        results.SERVER_BUSY: times.running / seconds,
        results.SERVER_WAITING: times.waiting / seconds,
        results.CLIENT_BUSY: client / seconds,
        results.ERRORS: errors,
    }


def children_time() -> float:
    """Return the seconds that the ended children of this process have run.

    What is started and stopped between two calls is a load generator, and nothing else.
    """
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def run_client(server: Server, seconds: float, module: str, options: Sequence[str] = ()) -> Sample:
    """Load a server with a program of `clients`.

    It says ``ready``, waits for a line, and prints its figures as JSON: ``messages``, ``seconds``,
    ``p50``, ``p99``, ``client_cpu``.
    """
    command = [sys.executable, "-m", f"yolanda.bench.clients.{module}", str(server.port), *options]
    command += ["--seconds", str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        try:
            if client.stdout.readline() != "ready\n":
                raise RuntimeError(f"the client {module} failed: {client.stderr.read().strip()}")
            before = processor_time.snapshot(server.session)
            client.stdin.write("\n")
            client.stdin.flush()
            answer = client.stdout.readline()
            times = processor_time.elapsed(before, processor_time.snapshot(server.session))
            if not answer:
                raise RuntimeError(f"the client {module} failed: {client.stderr.read().strip()}")
        except BaseException:
            client.kill()  # it may wait for a server that does not answer
            raise
    told = json.loads(answer)
    sample = make_sample(times, told["client_cpu"], told["messages"], told["seconds"])
    return sample | {"p50": told["p50"], "p99": told["p99"]}
