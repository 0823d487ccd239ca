"""Probes are answered as long as anybody lives, and say in time that no requests should come."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import PATIENCE, Client, Load, Service, alive, get, wait_until

Serve = Callable[..., Service]


def probe(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Ask once; status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        head = f"{method} {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
def test_probes_are_answered_before_the_application(serve_app: Serve, app: str) -> None:
    port = serve_app("--health", app=app).address
    assert probe(port, "/healthz") == (200, "alive\n")
    assert probe(port, "/readyz") == (200, "ready\n")
    assert probe(port, "/readyz", "HEAD") == (200, "")
    assert probe(port, "/readyz", "POST")[0] == 405
    assert get(port, "/healthz/").split()[1] == "/healthz/"


def test_they_are_the_applications_unless_asked_for(serve_app: Serve) -> None:
    port = serve_app().address
    assert get(port, "/readyz").split()[1] == "/readyz"


def test_the_address_of_the_metrics_answers_them_too(serve_app: Serve) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    port = service.metrics_port
    assert probe(port, "/healthz") == (200, "alive\n")
    assert probe(port, "/readyz") == (200, "ready\n")
    assert probe(port, "/")[0] == 404
    assert get(service.address, "/readyz").split()[1] == "/readyz"


def test_a_start_that_takes_long_is_alive_and_not_ready(
    serve_app: Serve, reserve_port: Callable[[], int], tmp_path: Path
) -> None:
    flag = tmp_path / "slow"
    flag.touch()
    port = reserve_port()  # the address is not told before it serves
    service = serve_app("--metrics", f"127.0.0.1:{port}", environment={"SLOW_START": str(flag)})

    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return False
        return True

    wait_until(listens)
    assert probe(port, "/healthz") == (200, "alive\n")
    assert probe(port, "/readyz") == (503, "not ready\n")
    flag.unlink()
    service.expect("serving")
    assert probe(port, "/readyz") == (200, "ready\n")


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_while_it_drains_it_serves_and_says_so(serve_app: Serve, app: str, workers: str) -> None:
    options = ["--health", "--drain-delay", "1000", "--metrics", "127.0.0.1:0", "-w", workers]
    service = serve_app(*options, app=app)
    port, metrics = service.address, service.metrics_port
    service.send(signal.SIGTERM)
    service.expect("not ready any more", times=int(workers))
    for where in (port, metrics):
        assert probe(where, "/readyz") == (503, "draining\n")
        assert probe(where, "/healthz") == (200, "alive\n")
    assert get(port)  # on a new connection
    service.send(signal.SIGQUIT)
    assert service.wait() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_after_the_delay_it_ends(serve_app: Serve, workers: str) -> None:
    service = serve_app("--drain-delay", "0.1", "-w", workers)
    port = service.address
    service.send(signal.SIGTERM)
    service.expect("going on for 0.1 seconds", times=int(workers))
    assert service.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        get(port)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_that_end_late_are_waited_for_and_probes_answered(
    serve_app: Serve, workers: str
) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", "-w", workers)
    port, metrics = service.address, service.metrics_port
    with Client(port) as client:
        client.ask()
        client.send("/never")
        wait_until(lambda: in_flight(metrics) == 1)
        service.send(signal.SIGTERM)
        wait_until(lambda: probe(metrics, "/readyz") == (503, "draining\n"))
        assert probe(metrics, "/healthz") == (200, "alive\n")
        assert in_flight(metrics) == 1
        service.send(signal.SIGQUIT)
        assert service.wait() == 0


def in_flight(port: int) -> int:
    name = "yolanda_http_requests_in_flight "
    lines = probe(port, "/metrics")[1].splitlines()
    return int(float(next(line for line in lines if line.startswith(name)).removeprefix(name)))


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_the_delay_can_be_cut_short(serve_app: Serve, number: int) -> None:
    service = serve_app("--drain-delay", "1000")
    assert service.address
    service.send(signal.SIGINT)
    service.expect("not ready any more")
    service.send(number)
    assert service.wait() == 0


def test_a_rolling_restart_is_ready_all_the_time(serve_app: Serve) -> None:
    service = serve_app(
        "--workers", "2", "--health", "--metrics", "127.0.0.1:0", "--drain-delay", "1000"
    )
    port, metrics = service.address, service.metrics_port
    before = service.workers()
    with Load(port, keeping=1, fresh=1) as load:
        service.send(signal.SIGHUP)
        rounds = 0
        while any(map(alive, before)) or rounds < 20:
            for where in (port, metrics):
                assert probe(where, "/readyz") == (200, "ready\n")
            rounds += 1
    assert load.failures == []
    assert not before & service.workers()


def test_a_killed_worker_is_no_reason_to_send_nothing(serve_app: Serve) -> None:
    service = serve_app("--workers", "2", "--metrics", "127.0.0.1:0")
    assert service.address
    metrics = service.metrics_port
    victim = service.workers().pop()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not alive(victim))
    assert probe(metrics, "/readyz") == (200, "ready\n")


def test_a_delay_is_a_number(serve_app: Serve) -> None:
    service = serve_app("--drain-delay", "-1")
    assert service.wait() != 0
    assert "--drain-delay is 0 or more, not -1" in service.lines[-1]
