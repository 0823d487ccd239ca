"""What is counted adds up: over workers, over their deaths, while requests are served."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from yolanda.apps.observation.board import (
    BOUNDS,
    METHODS,
    Board,
    Cell,
    ProcessState,
    cell_of,
    counts_of,
)

from ..conftest import PATIENCE, Client, Load, Service, alive, get, wait_until

Serve = Callable[..., Service]


class Scrape:
    """What one scrape has told."""

    def __init__(self, port: int) -> None:
        self.text = get(port, "/metrics")
        self._values: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                self._values[sample.name].append((sample.labels, sample.value))

    def get(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(
            value
            for having, value in self._values[f"yolanda_{name}"]
            if labels.items() <= having.items()
        )

    def labels(self, name: str, label: str) -> list[str]:
        return [labels[label] for labels, _ in self._values[f"yolanda_{name}"]]

    @property
    def requests(self) -> float:
        return self.get("http_requests_total")


def settled(port: int, condition: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until the workers have told what they look at once a second."""
    found: list[Scrape] = []

    def look() -> bool:
        found[:] = [Scrape(port)]
        return condition(found[0])

    wait_until(look)
    return found[0]


def at_rest(port: int, load: Load) -> Scrape:
    """Scrape until all that ``load`` was answered has been counted.

    A client may have its answer a little before a worker counts it.
    """

    def is_at_rest(scrape: Scrape) -> bool:
        assert scrape.requests <= load.served
        counted = {scrape.requests, scrape.get("http_request_duration_seconds_count")}
        return scrape.get("connections") == 0 and counted == {load.served}

    return settled(port, is_at_rest)


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
def test_one_process_without_a_master(serve_app: Serve, app: str) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", app=app)
    port, metrics = service.address, service.metrics_port
    with Client(port) as client:
        sizes = [len(client.ask()) for _ in range(3)]
        client.ask("/slow")
        scrape = Scrape(metrics)
        assert scrape.get("http_requests_total", method="GET", status="200") == 4
        assert scrape.get("connections") == 1
        assert scrape.get("connections_accepted_total") == 1
        assert scrape.get("received_bytes_total") > 4 * len("GET / HTTP/1.1")
        assert scrape.get("sent_bytes_total") > sum(sizes)
    assert scrape.get("http_request_duration_seconds_count") == 4
    assert scrape.get("http_request_duration_seconds_sum") >= 0.5
    assert scrape.get("http_request_duration_seconds_bucket", le="0.25") == 3
    assert scrape.get("http_request_duration_seconds_bucket", le="+Inf") == 4
    assert scrape.get("worker_resident_memory_bytes", worker="0") > 1 << 20
    assert scrape.labels("worker_info", "pid") == [str(service.pid)]
    settled(metrics, lambda scrape: scrape.get("connections") == 0)


def test_workers_are_told_one_by_one_and_summed(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", "--workers", "2")
    port, metrics = service.address, service.metrics_port
    with Load(port) as load:
        load.more(200)
        wait_until(lambda: len(load.by) == 2)
    scrape = at_rest(metrics, load)
    assert scrape.get("http_request_duration_seconds_count") == load.served
    each = [scrape.get("worker_requests_total", worker=worker) for worker in "01"]
    assert all(each)
    assert sum(each) == load.served
    assert {int(pid) for pid in scrape.labels("worker_info", "pid")} == load.by
    assert scrape.get("workers_ready") == 2
    assert scrape.get("worker_ready") == 2
    assert scrape.get("workers_started_total") == 2
    assert scrape.get("worker_resident_memory_bytes") > 2 << 20


def test_what_a_killed_worker_has_counted_stays(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", "--workers", "2")
    port, metrics = service.address, service.metrics_port
    last = Scrape(metrics)
    totals = ("http_requests_total", "http_request_duration_seconds_count", "workers_started_total")
    with Load(port) as load:
        for death in range(1, 3):
            load.more(50)
            victim = min(service.workers())
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda victim=victim: not alive(victim))
            replaced = False
            while not replaced:
                scrape = Scrape(metrics)
                for name in totals:
                    assert scrape.get(name) >= last.get(name)
                replaced = (
                    scrape.get("workers_started_total") == 2 + death
                    and scrape.get("workers_ready") == 2
                )
                last = scrape
    scrape = settled(metrics, lambda scrape: scrape.get("connections") == 0)
    assert str(victim) not in scrape.labels("worker_info", "pid")
    # What was answered was counted, but for the last answer of a connection that was cut there.
    assert load.served - 12 <= scrape.requests <= load.served + len(load.failures)


def test_a_rolling_restart_sets_nothing_back(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", "--workers", "2")
    port, metrics = service.address, service.metrics_port
    before = service.workers()
    last = Scrape(metrics)
    with Load(port) as load:
        load.more(50)
        service.send(signal.SIGHUP)
        while any(map(alive, before)):
            scrape = Scrape(metrics)
            for name in ("http_requests_total", "connections_accepted_total", "sent_bytes_total"):
                assert scrape.get(name) >= last.get(name)
            assert len(scrape.labels("worker_info", "worker")) == 2
            last = scrape
        load.more(50)
    assert load.failures == []
    scrape = at_rest(metrics, load)
    assert scrape.get("workers_started_total") == 4
    assert {int(pid) for pid in scrape.labels("worker_info", "pid")} == service.workers()


def test_one_worker_fewer(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", "--workers", "2")
    port, metrics = service.address, service.metrics_port
    with Load(port) as load:
        load.more(50)
    service.send(signal.SIGTTOU)
    service.expect(r"worker 1 .* ended")
    scrape = settled(metrics, lambda scrape: scrape.get("workers_ready") == 1)
    assert scrape.labels("worker_info", "worker") == ["0"]
    assert scrape.requests == load.served


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
def test_requests_in_flight(serve_app: Serve, app: str) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", app=app)
    port, metrics = service.address, service.metrics_port
    with Client(port) as client:
        client.send("/slow")
        wait_until(lambda: Scrape(metrics).get("http_requests_in_flight") == 1)
        client.read()
        assert Scrape(metrics).get("http_requests_in_flight") == 0


def test_a_websocket_is_open_and_then_an_exchange(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    port, metrics = service.address, service.metrics_port
    with Client(port) as client:
        client.send(
            "/ws",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        assert client.socket.recv(1000).startswith(b"HTTP/1.1 101 ")
        scrape = Scrape(metrics)
        assert (scrape.get("websockets"), scrape.requests) == (1, 0)
    scrape = settled(metrics, lambda scrape: scrape.get("websockets") == 0)
    assert scrape.get("http_requests_total", status="101") == 1
    assert scrape.get("http_request_duration_seconds_count") == 0


def test_labels_are_bounded(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    port, metrics = service.address, service.metrics_port
    for method in ("PROPFIND", "MKCALENDAR", "SEARCH", "DELETE"):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(f"{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"no request\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
    scrape = settled(metrics, lambda scrape: scrape.requests == 5)
    assert scrape.get("http_requests_total", method="other", status="200") == 3
    assert scrape.get("http_requests_total", method="DELETE", status="200") == 1
    assert scrape.get("http_requests_total", method="other", status="400") == 1


def test_a_client_that_leaves_is_counted(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    port, metrics = service.address, service.metrics_port
    with Client(port) as client:
        client.send("/slow")
        wait_until(lambda: Scrape(metrics).get("http_requests_in_flight") == 1)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    scrape = settled(metrics, lambda scrape: scrape.requests == 1)
    assert scrape.get("http_requests_total", status="499") == 1
    assert scrape.get("http_requests_cut_off_total") == 1


def test_a_loop_that_stood_still_is_seen(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    port, metrics = service.address, service.metrics_port
    get(port, "/block")
    scrape = Scrape(metrics)
    assert scrape.get("worker_loop_longest_turn_seconds") >= 0.5
    # A block is noticed by a timer that was due meanwhile, which is so sooner or later.
    pauses = itertools.cycle((0.0, 0.13, 0.29, 0.41))

    def is_noticed() -> bool:
        time.sleep(next(pauses))  # out of step with the timer
        get(port, "/block")
        return Scrape(metrics).get("worker_loop_lag_seconds") > 0.1

    wait_until(is_noticed)


def test_scrapes_disturb_no_request(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", "--workers", "2")
    port, metrics = service.address, service.metrics_port
    last = 0.0
    with Load(port) as load:
        for _ in range(30):
            now = Scrape(metrics).requests
            assert now >= last
            last = now
        load.more(10)
    assert load.failures == []
    at_rest(metrics, load)


def test_the_form_is_the_clients_choice(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    assert service.address
    with Client(service.metrics_port) as client:
        body = client.ask("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")


def test_an_address_that_is_none(serve_app: Serve) -> None:
    service = serve_app("--metrics", "nonsense")
    assert service.wait() != 0
    assert "--metrics: 'nonsense' is no address" in service.lines[-1]


def test_an_address_that_is_taken(serve_app: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = serve_app("--metrics", f"127.0.0.1:{port}")
        assert service.wait() != 0
    assert f"127.0.0.1:{port}" in service.lines[-1]
    assert "Traceback" not in service.text


def test_the_extra_is_named_where_it_is_missing() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from yolanda.cli import main\n"
        "sys.argv[1:] = ['serve', 'x:y', '--port', '0', '--metrics', '127.0.0.1:0']\n"
        "main()"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode != 0
    assert "pip install 'yolanda[metrics]'" in answer.stderr.splitlines()[-1]


# ---- the board ---------------------------------------------------------------------------


@given(method=st.sampled_from([*METHODS, "PROPFIND", "", "-"]), status=st.integers(0, 999))
def test_every_request_has_its_cell(method: str, status: int) -> None:
    row = [0.0] * (Cell.COUNTS + len(METHODS) * 500)
    row[cell_of(method, status)] = 1.0
    expected = method if method in METHODS else "other"
    assert list(counts_of(row)) == [(expected, min(max(status, 100), 599), 1.0)]


def test_cells_do_not_overlap() -> None:
    assert max(Cell) == Cell.COUNTS
    assert Cell.BUCKETS + len(BOUNDS) + 1 <= Cell.COUNTS
    cells = {cell_of(method, status) for method in METHODS for status in range(100, 600)}
    assert len(cells) == len(METHODS) * 500
    assert min(cells) == Cell.COUNTS


def test_a_place_counts_on_from_where_it_was_left() -> None:
    board = Board(places=4)
    row: Any = board.join(2, index=0)
    row[Cell.STATE] = ProcessState.READY
    row[Cell.REQUESTS] += 5
    row[Cell.CONNECTIONS] = 3
    assert board.anybody_ready()
    board.leave(2)
    assert not board.anybody_ready()
    row = board.join(2, index=7)
    assert (row[Cell.REQUESTS], row[Cell.BEFORE], row[Cell.CONNECTIONS]) == (5, 5, 0)
    assert row[Cell.PID] == os.getpid()
    assert [found[Cell.INDEX] for found in board.rows()] == [7]
    assert board.started() == 2
