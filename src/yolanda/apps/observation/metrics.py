"""What a service counts, for Prometheus.

Nothing of `prometheus_client` is touched while requests are served: a worker counts in its row of
the `Board`, and numbers become samples when somebody asks for them, whichever worker that is.
"""

import importlib.metadata
import math
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from yolanda.apps.config import ConfigError
from yolanda.apps.observation.access_log import CLIENT_GONE
from yolanda.apps.observation.board import BOUNDS, Board, Cell, ProcessState, cell_of, counts_of
from yolanda.apps.processes.child import resident_memory
from yolanda.http.connection import HttpConnection
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.http.server import HttpServer
from yolanda.reactor.event_loop import EventLoop

PATH = "/metrics"
"""Where they are served."""

INTERVAL = 1.0
"""Seconds between two looks at the loop and the connections; requests are counted at once."""

_SWITCHING = 101  # its time is that of a WebSocket's whole life, which is no latency
_MINUTE = 60  # looks at the loop, of which the worst lag is told

_CUT_OFF = int(Cell.CUT_OFF)
_REQUESTS = int(Cell.REQUESTS)
_SECONDS = int(Cell.SECONDS)
_BUCKETS = int(Cell.BUCKETS)


class _Cells(dict[tuple[str, int], int]):
    """Where requests of a method and a status are counted; found once for each pair."""

    def __missing__(self, key: tuple[str, int]) -> int:
        cell = self[key] = cell_of(*key)
        return cell


class WorkerFigures:
    """Writes into its place on the board how a worker goes.

    - ``row``: what `Board.join` has returned;
    - ``loop``: the worker's, in whose thread all methods are called.

    `on_exchange` is for its servers.
    """

    def __init__(self, row: "memoryview[float]", loop: EventLoop) -> None:
        self._row = row
        self._loop = loop
        self._servers: Sequence[HttpServer] = ()
        self._cells = _Cells()
        self._before = (row[Cell.ACCEPTED], row[Cell.BYTES_IN], row[Cell.BYTES_OUT])
        self._lags: list[float] = []
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._look)

    def on_exchange(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        sent: int,
        seconds: float,
        complete: bool,
    ) -> None:
        """Count an exchange; see `HttpServer`."""
        row = self._row
        status = CLIENT_GONE if response is None else response.status
        row[self._cells[request.line.method, status]] += 1.0
        row[_REQUESTS] += 1.0
        if not complete:
            row[_CUT_OFF] += 1.0
        if status != _SWITCHING:
            row[_BUCKETS + bisect_left(BOUNDS, seconds)] += 1.0
            row[_SECONDS] += seconds

    def watch(self, servers: Sequence[HttpServer]) -> None:
        """Tell of the connections of ``servers`` from now on."""
        self._servers = servers

    def close(self) -> None:
        """Look a last time."""
        self._timer.cancel()
        self.look()

    def _look(self) -> None:
        now = self._loop.time()
        self._lags = [*self._lags[1 - _MINUTE :], max(0.0, now - self._due)]
        # The rhythm is kept: one that began anew after each delay could fall in step with what
        # blocks the loop again and again, and be due always just when it is over.
        self._due += INTERVAL * max(1, math.ceil((now - self._due) / INTERVAL))
        self._timer = self._loop.call_at(self._due, self._look)
        self.look()

    def look(self) -> None:
        """Write down what is not counted at once."""
        row = self._row
        connections = in_flight = websockets = 0
        accepted, bytes_in, bytes_out = self._before
        for server in self._servers:
            traffic = server.traffic()
            accepted += traffic.connections
            bytes_in += traffic.bytes_in
            bytes_out += traffic.bytes_out
            for connection in server.open_connections():
                connections += 1
                protocol = connection.protocol
                if isinstance(protocol, HttpConnection):
                    in_flight += protocol.serving
                elif protocol is not None:
                    websockets += 1
        row[Cell.SEEN] = time.time()
        row[Cell.CONNECTIONS] = connections
        row[Cell.IN_FLIGHT] = in_flight
        row[Cell.WEBSOCKETS] = websockets
        row[Cell.LAG] = max(self._lags, default=0.0)
        row[Cell.LONGEST_TURN] = self._loop.statistics.longest_turn
        row[Cell.ACCEPTED] = accepted
        row[Cell.BYTES_IN] = bytes_in
        row[Cell.BYTES_OUT] = bytes_out


class BoardCollector:
    """Makes samples of what stands on a board, whenever `prometheus_client` asks for them.

    - ``look()``: called before: the answering worker's own figures shall be of now.

    Counters and latencies are summed over all processes that there ever were.  What has the label
    ``worker`` is of one worker that lives, and counts from its start; while a worker is being
    replaced, it is the newer of the two.
    """

    def __init__(self, board: Board, look: Callable[[], object]) -> None:
        self._board = board
        self._look = look
        try:
            self._version = importlib.metadata.version("yolanda")
        except importlib.metadata.PackageNotFoundError:
            self._version = "unknown"

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics."""
        self._look()
        rows = self._board.rows()
        living = [row for row in rows if row[Cell.STATE] != ProcessState.GONE]
        yield from self._totals(rows)
        yield from self._sums(living)
        yield from self._workers(living)

    def _totals(self, rows: list[list[float]]) -> Iterator[Any]:
        from prometheus_client import core

        counts: defaultdict[tuple[str, int], float] = defaultdict(float)
        for row in rows:
            for method, status, count in counts_of(row):
                counts[method, status] += count
        requests = core.CounterMetricFamily(
            "yolanda_http_requests",
            f"Requests whose exchange has ended; status {CLIENT_GONE}: the client went before "
            "there was a response",
            labels=("method", "status"),
        )
        for (method, status), count in sorted(counts.items()):
            requests.add_metric((method, str(status)), count)
        yield requests
        total = [sum(row[cell] for row in rows) for cell in range(Cell.COUNTS)]
        classes = accumulate(total[Cell.BUCKETS : Cell.BUCKETS + len(BOUNDS) + 1])
        names = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        yield core.HistogramMetricFamily(
            "yolanda_http_request_duration_seconds",
            "From a request's head to its response's last byte, upgrades left out",
            buckets=list(zip(names, classes, strict=True)),
            sum_value=total[Cell.SECONDS],
        )
        for name, help_text, cell in (
            ("http_requests_cut_off", "Exchanges that ended with their connection", Cell.CUT_OFF),
            ("connections_accepted", "Connections accepted", Cell.ACCEPTED),
            ("received_bytes", "Bytes received from clients", Cell.BYTES_IN),
            ("sent_bytes", "Bytes sent to clients", Cell.BYTES_OUT),
        ):
            yield core.CounterMetricFamily(f"yolanda_{name}", help_text, value=total[cell])
        yield core.CounterMetricFamily(
            "yolanda_workers_started",
            "Processes that began to serve",
            value=self._board.started(),
        )

    def _sums(self, living: list[list[float]]) -> Iterator[Any]:
        from prometheus_client import core

        for name, help_text, cell in (
            ("connections", "Connections that are open", Cell.CONNECTIONS),
            ("http_requests_in_flight", "Requests that are being served", Cell.IN_FLIGHT),
            ("websockets", "WebSockets that are open", Cell.WEBSOCKETS),
        ):
            value = sum(row[cell] for row in living)
            yield core.GaugeMetricFamily(f"yolanda_{name}", help_text, value=value)
        ready = sum(row[Cell.STATE] == ProcessState.READY for row in living)
        yield core.GaugeMetricFamily("yolanda_workers_ready", "Workers that serve", value=ready)

    def _workers(self, living: list[list[float]]) -> Iterator[Any]:
        from prometheus_client import core

        newest = {
            int(row[Cell.INDEX]): row for row in sorted(living, key=lambda row: row[Cell.STARTED])
        }
        info = core.InfoMetricFamily(
            "yolanda_worker", "The process of a worker", labels=("worker",)
        )
        for index, row in sorted(newest.items()):
            about = {"pid": str(int(row[Cell.PID])), "version": self._version}
            info.add_metric((str(index),), about)
        yield info
        for name, help_text, find in _OF_WORKERS:
            family = core.GaugeMetricFamily(f"yolanda_worker_{name}", help_text, labels=("worker",))
            for index, row in sorted(newest.items()):
                value = find(row)
                if value is not None:
                    family.add_metric((str(index),), value)
            yield family
        served = core.CounterMetricFamily(
            "yolanda_worker_requests", "Requests since its start", labels=("worker",)
        )
        for index, row in sorted(newest.items()):
            served.add_metric((str(index),), row[Cell.REQUESTS] - row[Cell.BEFORE])
        yield served


_OF_WORKERS: tuple[tuple[str, str, Callable[[list[float]], float | None]], ...] = (
    ("ready", "Whether it serves", lambda row: row[Cell.STATE] == ProcessState.READY),
    ("connections", "Connections that are open", lambda row: row[Cell.CONNECTIONS]),
    ("requests_in_flight", "Requests that are being served", lambda row: row[Cell.IN_FLIGHT]),
    (
        "loop_lag_seconds",
        "By how much a timer was late, at worst in the last minute",
        lambda row: row[Cell.LAG],
    ),
    (
        "loop_longest_turn_seconds",
        "The longest turn of its loop since its start",
        lambda row: row[Cell.LONGEST_TURN],
    ),
    (
        "resident_memory_bytes",
        "Memory that is resident (RSS)",
        lambda row: resident_memory(int(row[Cell.PID])),
    ),
    (
        "start_time_seconds",
        "When it was started, in seconds since 1970",
        lambda row: row[Cell.STARTED],
    ),
    (
        "last_seen_seconds",
        "When its loop last turned, in seconds since 1970",
        lambda row: row[Cell.SEEN],
    ),
)


class MetricsPage:
    """Answers ``GET /metrics`` with all that stands on a board.

    - ``look()``: see `BoardCollector`.

    Raises `ConfigError` without `prometheus_client`.
    """

    def __init__(self, board: Board, look: Callable[[], object]) -> None:
        check_library()
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        self._choose_encoder = choose_encoder
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(BoardCollector(board, look))

    def answer(self, request: HttpRequest, response: HttpResponse) -> None:
        """Answer with the metrics, in the form that the client prefers."""
        encode, content_type = self._choose_encoder(request.headers.get("accept") or "")
        response.body = encode(self._registry)
        response.content_type = content_type


def check_library() -> None:
    """Raise `ConfigError` if the library that the metrics need is missing."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--metrics needs prometheus-client: pip install 'yolanda[metrics]'"
        ) from None
