"""Starting, stopping, and losing nothing."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from yolanda.http import HttpLimits, HttpRequest, HttpResponse, HttpServer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop

everywhere = pytest.mark.parametrize(
    ("dispatcher", "threads"), [(name, threads) for name in DISPATCHERS for threads in (0, 2)]
)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def quick(request: HttpRequest, response: HttpResponse) -> None:
    response.text(request.path)


@everywhere
def test_an_idle_connection_is_closed_after_the_grace(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    limits = HttpLimits(drain_grace=0.2)
    served = serve(quick, dispatcher=dispatcher, threads=threads, limits=limits)
    with served.connect() as used, served.connect() as fresh:
        assert used.get().status == 200
        fresh.send(b"")
        begun = time.monotonic()
        served.begin_stop()
        assert used.at_end()
        assert fresh.at_end()
        assert time.monotonic() - begun > 0.15
        assert served.stopped.wait(20)


@everywhere
def test_a_request_within_the_grace_is_answered_and_told_to_close(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    limits = HttpLimits(drain_grace=5.0)
    served = serve(quick, dispatcher=dispatcher, threads=threads, limits=limits)
    with served.connect() as client:
        assert client.get().get("Connection") == "Keep-Alive"
        served.begin_stop()
        served.settle()
        answer = client.get("/in-the-grace")
        assert answer.text == "/in-the-grace"
        assert answer.get("Connection") == "close"
        assert client.at_end()
    assert served.stopped.wait(20)


@everywhere
def test_a_deferred_response_is_still_sent(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    kept: list[HttpResponse] = []
    arrived = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        kept.append(response)
        arrived.set()

    limits = HttpLimits(drain_grace=0.05, keep_alive_timeout=0.05)
    served = serve(handler, dispatcher=dispatcher, threads=threads, limits=limits)
    with served.connect() as client:
        client.send(GET)
        assert arrived.wait(20)
        served.begin_stop()
        served.settle()
        time.sleep(0.2)
        assert not served.stopped.is_set()
        kept[0].text("at last")
        kept[0].finish()
        answer = client.read()
        assert answer.text == "at last"
        assert answer.get("Connection") == "close"
        assert client.at_end()
    assert served.stopped.wait(20)


def test_a_request_whose_body_is_on_its_way_is_answered(serve: Callable[..., Any]) -> None:
    served = serve(quick, limits=HttpLimits(drain_grace=0.05))
    with served.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        served.settle()
        served.begin_stop()
        time.sleep(0.2)
        client.send(b"llo")
        answer = client.read()
        assert answer.status == 200
        assert answer.get("Connection") == "close"
    assert served.stopped.wait(20)


def test_a_large_response_is_sent_to_its_end(serve: Callable[..., Any]) -> None:
    served = serve(
        lambda request, response: setattr(response, "body", b"x" * 5_000_000),
        limits=HttpLimits(drain_grace=0.05),
    )
    with served.connect(receive_buffer=4096) as client:
        client.send(GET)
        assert client.until(b"\r\n\r\n")
        served.begin_stop()
        time.sleep(0.1)
        assert len(client.take(5_000_000)) == 5_000_000
        client.socket.close()
    assert served.stopped.wait(20)


def test_an_iterable_is_sent_to_its_end(serve: Callable[..., Any]) -> None:
    go_on = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.body = (b"x" * 100_000 for _ in range(50))

    served = serve(handler, limits=HttpLimits(drain_grace=0.05))
    with served.connect(receive_buffer=4096) as client:
        client.send(GET)
        client.more()
        served.begin_stop()
        go_on.set()
        answer = client.read()
        assert answer.clean
        assert len(answer.body) == 5_000_000
        assert client.at_end()
    assert served.stopped.wait(20)


def test_a_stop_in_a_hurry_resets_what_is_left(serve: Callable[..., Any]) -> None:
    arrived = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        arrived.set()

    served = serve(handler)
    with served.connect() as client:
        client.send(GET)
        assert arrived.wait(20)
        served.begin_stop(0.1)
        with pytest.raises(ConnectionResetError):
            client.rest()
    assert served.stopped.wait(20)


def test_nobody_is_accepted_after_a_stop(serve: Callable[..., Any]) -> None:
    served = serve(quick, limits=HttpLimits(drain_grace=0.5))
    with served.connect() as client:
        assert client.get().status == 200
        served.begin_stop()
        served.settle()
        with pytest.raises(ConnectionRefusedError):
            served.connect()
    assert served.stopped.wait(20)


def test_a_server_on_a_loop_of_its_own_ends_with_stop(serve: Callable[..., Any]) -> None:
    served = serve(quick, threads=2)
    assert served.get().status == 200
    served.begin_stop()
    assert served.stopped.wait(20)
    assert served.connections == 0


def test_run_leaves_nothing_when_the_address_is_in_use(serve: Callable[..., Any]) -> None:
    served = serve(quick)
    for _ in range(3):
        with pytest.raises(OSError, match="in use"):
            HttpServer(str(served.address), quick)  # the leak check looks for its loop


def test_two_servers_on_one_loop() -> None:
    with EventLoop() as loop:
        servers = [HttpServer("127.0.0.1:0", quick, loop=loop) for _ in range(2)]
        for server in servers:
            server.start()
        answers: list[bytes] = []

        def ask() -> None:
            for server in servers:
                address = (server.address.host, server.address.port)
                with socket.create_connection(address) as client:  # type: ignore[arg-type]
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answers.append(b"".join(iter(lambda: client.recv(65536), b"")))
            loop.queue_in_loop(loop.stop)

        asker = threading.Thread(target=ask)
        asker.start()
        loop.run()
        asker.join()
        for server in servers:
            server.close()
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 2


# ---- a process and its signals ---------------------------------------------------------------


def ask_for_ever(address: tuple[str, int], results: list[str], started: threading.Event) -> None:
    """Ask on one connection after the other until nobody listens; note what went wrong."""
    while True:
        try:
            client = socket.create_connection(address, timeout=20)
        except OSError:
            return
        with client:
            data = b""
            while True:
                try:
                    client.sendall(b"GET /network HTTP/1.1\r\nHost: a\r\n\r\n")
                    while b"\r\n\r\nhello, network programming" not in data:
                        piece = client.recv(65536)
                        if not piece:
                            results.append(f"the end after {data!r}")
                            return
                        data += piece
                except OSError as error:
                    results.append(f"{error!r} after {data!r}")
                    return
                results.append("ok")
                started.set()
                if b"Connection: close" in data:
                    break
                data = b""


@pytest.mark.parametrize("threads", ["0", "2"])
def test_sigterm_loses_no_response(threads: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "yolanda", "http", "127.0.0.1:0", "--threads", threads],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("serving http://127.0.0.1:")
        port = int(line.split("/")[2].split(":")[1])
        results: list[list[str]] = [[] for _ in range(8)]
        started = [threading.Event() for _ in range(8)]
        clients = [
            threading.Thread(target=ask_for_ever, args=(("127.0.0.1", port), result, event))
            for result, event in zip(results, started, strict=True)
        ]
        for client in clients:
            client.start()
        for event in started:
            assert event.wait(20)
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(30)
        assert process.wait(30) == 0
        assert [set(result) for result in results] == [{"ok"}] * 8
        assert "Traceback" not in process.stderr.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
