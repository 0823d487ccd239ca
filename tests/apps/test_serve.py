"""`yolanda serve` as people start it: real processes, signals, applications that misbehave."""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import PATIENCE, Client, Load, Served, get, wait_until

HERE = Path(__file__).parent
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


class Service(Served):
    """``yolanda serve``."""

    def port(self) -> int:
        return int(self.expect(r"serving https?://\S*:(\d+)/")[0])


@pytest.fixture
def yolanda() -> Iterator[Callable[..., Service]]:
    """Start services: ``yolanda("app", "--workers", "2")``, the application's name first."""
    started: list[Service] = []

    def launch(application: str, *options: str, **popen: Any) -> Service:
        name = f"served_application:{application}"
        command = [sys.executable, "-m", "yolanda", "serve", name, "--app-dir", str(HERE)]
        service = Service([*command, "--port", "0", *options], **popen)
        started.append(service)
        return service

    yield launch
    for service in started:
        service.close()


def refuses(port: int) -> bool:
    """Whether there is nobody at ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


@WORKERS
def test_what_stops_takes_no_connection_that_it_will_not_serve(
    yolanda: Callable[..., Service], workers: str
) -> None:
    """While the last requests end, new clients are refused at once, and go elsewhere."""
    service = yolanda("app", "--workers", workers)
    port = service.port()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, PATIENCE)) as client:
        client.putrequest("POST", "/echo")
        client.putheader("Content-Length", "10")
        client.endheaders(b"begun")
        response = client.getresponse()
        assert response.read(5) == b"begun"
        service.send(signal.SIGTERM)
        wait_until(lambda: refuses(port))
        client.send(b"ended")
        assert response.read() == b"ended"
    assert service.wait() == 0


def test_an_end_that_never_comes_is_not_waited_for(yolanda: Callable[..., Service]) -> None:
    options = ["--timeout-graceful-shutdown", "0.1"]
    one = yolanda("hangs_at_end", *options)
    two = yolanda("hangs_at_end", *options, "--workers", "2")
    for service in (one, two):
        get(service.port())
        service.send(signal.SIGTERM)
    for service, workers in ((one, 1), (two, 2)):  # they take their time, both at once
        assert service.wait() == 0
        service.expect("the application's end took too long, and is cancelled", workers)


def test_what_cannot_be_cancelled_does_not_keep_the_process(
    yolanda: Callable[..., Service],
) -> None:
    options = ["--timeout-graceful-shutdown", "0.1"]
    with contextlib.ExitStack() as stack:
        alone, with_master = [], []
        for workers, services in (("1", alone), ("2", with_master)):
            for path, said in (("/stubborn", "stubborn"), ("/thread", "in a thread")):
                service = yolanda("app", "--workers", workers, *options)
                stack.enter_context(Client(service.port())).send(path)
                service.expect(said)
                service.send(signal.SIGTERM)
                services.append(service)
        for service in alone:  # they take their time, all at once
            assert service.wait() == 1
            assert "most recent call first" in service.text
        for service in with_master:
            assert service.wait() == 0
            assert "does not end, and is killed" in service.text


def test_an_address_that_is_said_twice_is_named(reserve_port: Callable[[], int]) -> None:
    command = [sys.executable, "-m", "yolanda", "serve", "served_application:app"]
    address = f"127.0.0.1:{reserve_port()}"
    ended = subprocess.run(
        [*command, "--app-dir", str(HERE), "--bind", address, "--bind", address],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    assert f"in use ({address})" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_second_signal_ends_what_hangs_at_its_end(yolanda: Callable[..., Service]) -> None:
    service = yolanda("hangs_at_end")
    get(service.port())
    service.send(signal.SIGINT)
    service.expect("hanging")
    service.send(signal.SIGINT)
    assert service.wait() == 0


def test_a_start_that_never_comes_can_be_stopped(yolanda: Callable[..., Service]) -> None:
    service = yolanda("hangs_at_start", "--timeout-graceful-shutdown", "0.1")
    service.expect("hanging")
    assert service.stop() == 0
    service.expect("stopped before the application had started")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_application_that_exits_at_its_start(
    yolanda: Callable[..., Service], workers: str
) -> None:
    service = yolanda("exits_at_start", "--workers", workers)
    service.expect(r"the application did not start: SystemExit\(5\)")
    assert service.wait() == 3


def test_an_application_that_exits_at_its_end(yolanda: Callable[..., Service]) -> None:
    service = yolanda("exits_at_end")
    get(service.port())
    assert service.stop() == 0
    service.expect("the application did not end well")


@pytest.mark.parametrize("path", ["/exit", "/exit-later", "/interrupt"])
def test_a_request_does_not_end_the_process(yolanda: Callable[..., Service], path: str) -> None:
    service = yolanda("app")
    port = service.port()
    with Client(port) as other:
        pid = other.ask()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, PATIENCE)) as client:
            client.request("GET", path)
            assert client.getresponse().status == 500
        assert other.ask() == pid
    assert service.stop() == 0
    service.expect(f"the application raised for GET {path}")


def test_no_request_fails_while_workers_are_replaced_again_and_again(
    yolanda: Callable[..., Service],
) -> None:
    service = yolanda("app", "--workers", "2")
    with Load(service.port()) as load:
        for restart in range(1, 4):
            load.more()
            service.send(signal.SIGHUP)
            service.expect("all workers are new", restart)
        load.more()
    assert load.failures == []
    assert len(load.by) >= 4
    assert service.stop() == 0
