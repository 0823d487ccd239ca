"""Whoever watches a server hears of the end of each exchange, once, and as it was."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from yolanda.http import HttpLimits, HttpRequest, HttpResponse
from yolanda.transport.tcp_connection import TcpConnection

from ..conftest import wait_until
from .conftest import Served

LARGE = 8 << 20  # more than the kernel takes for a client that does not read


@dataclass
class Seen:
    """One call of the observer."""

    line: str
    status: int | None
    sent: int
    seconds: float
    complete: bool
    head: bytes
    thread: int


@dataclass
class Observer:
    """Writes down what it is told."""

    seen: list[Seen] = field(default_factory=list)

    def __call__(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        sent: int,
        seconds: float,
        complete: bool,
    ) -> None:
        assert request.peer_address.host == "127.0.0.1"
        status = None if response is None else response.status
        thread = threading.get_ident()
        line = f"{request.method} {request.target}"
        self.seen.append(Seen(line, status, sent, seconds, complete, request.head, thread))

    def wait(self, count: int = 1) -> list[Seen]:
        wait_until(lambda: len(self.seen) >= count)
        return self.seen

    def only(self) -> Seen:
        (one,) = self.wait()
        return one


@pytest.fixture
def observer() -> Observer:
    return Observer()


Serve = Callable[..., Served]


class Page:
    """A handler with a page of each kind."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "large"
        self.late: list[HttpResponse] = []
        self.bodies: list[bytes] = []

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        getattr(self, request.path[1:])(request, response)

    def small(self, request: HttpRequest, response: HttpResponse) -> None:
        response.text("small")

    def fields(self, request: HttpRequest, response: HttpResponse) -> None:
        response.headers["X-One"] = "1"
        response.text("fields")

    def none(self, request: HttpRequest, response: HttpResponse) -> None:
        response.status = 204

    def iterable(self, request: HttpRequest, response: HttpResponse) -> None:
        response.body = (b"x" * 1000 for _ in range(3))

    def large(self, request: HttpRequest, response: HttpResponse) -> None:
        response.body = bytes(LARGE)

    def sent(self, request: HttpRequest, response: HttpResponse) -> None:
        self.file.write_bytes(bytes(LARGE))
        response.file(self.file)

    def endless(self, request: HttpRequest, response: HttpResponse) -> None:
        def produce() -> Iterator[bytes]:
            while True:
                yield bytes(10000)

        response.body = produce()

    def late_one(self, request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        self.late.append(response)

    def raising(self, request: HttpRequest, response: HttpResponse) -> None:
        raise ValueError("on purpose")

    def torn(self, request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        response.write("begun")
        raise ValueError("on purpose")

    def too_short(self, request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        response.headers["Content-Length"] = "10"
        response.write("short")
        response.finish()


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


@pytest.mark.parametrize(
    ("target", "status", "sent"),
    [
        ("/small", 200, 5),
        ("/fields", 200, 6),
        ("/none", 204, 0),
        ("/iterable", 200, 3000),
        ("/large", 200, LARGE),
        ("/sent", 200, LARGE),
        ("/raising", 500, len("500 Internal Server Error\n")),
    ],
)
def test_each_kind_of_response_is_told(
    serve: Serve, observer: Observer, page: Page, target: str, status: int, sent: int
) -> None:
    served = serve(page, on_exchange=observer)
    answer = served.get(target)
    assert (answer.status, len(answer.body)) == (status, sent)
    one = observer.only()
    assert (one.line, one.status, one.sent, one.complete) == (f"GET {target}", status, sent, True)
    assert one.head.startswith(b"GET ")
    assert 0 <= one.seconds < 60
    assert one.thread == served.loop.thread_id


@pytest.mark.parametrize("target", ["/small", "/fields", "/iterable", "/sent"])
def test_a_head_alone_has_no_body(
    serve: Serve, observer: Observer, page: Page, target: str
) -> None:
    serve(page, on_exchange=observer).get(target, method="HEAD")
    one = observer.only()
    assert (one.line, one.status, one.sent, one.complete) == (f"HEAD {target}", 200, 0, True)


def test_requests_that_come_together_are_told_one_by_one(
    serve: Serve, observer: Observer, page: Page
) -> None:
    served = serve(page, on_exchange=observer)
    targets = ["/small", "/iterable", "/fields", "/small", "/large", "/small"]
    with served.connect() as client:
        client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % t.encode() for t in targets))
        for _ in targets:
            client.read()
        assert [seen.line for seen in observer.wait(6)] == [f"GET {t}" for t in targets]
    assert all(seen.complete for seen in observer.seen)
    assert [seen.sent for seen in observer.seen] == [5, 3000, 6, 5, LARGE, 5]


def test_the_place_in_the_stream_is_never_lost(
    serve: Serve, observer: Observer, page: Page
) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect() as client:
        for target in ("/small", "/fields", "/none", "/iterable", "/large", "/sent", "/raising"):
            for method in ("GET", "HEAD"):
                client.get(target, method=method)
        observer.wait(14)

        def places() -> tuple[int, int]:
            (connection,) = served.server._connections[served.loop]
            return connection.protocol._recorder.position, connection.bytes_out

        position, bytes_out = served.call(places)
        assert position == bytes_out


def test_the_time_is_that_of_the_answer(serve: Serve, observer: Observer, page: Page) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect() as client:
        client.send(b"GET /late_one HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: page.late)
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 0.1)
        assert observer.seen == []
        page.late[0].text("late")
        page.late[0].finish()
        assert client.read().text == "late"
        assert observer.only().seconds >= 0.1


def test_what_a_slow_client_has_not_taken_is_not_over(
    serve: Serve, observer: Observer, page: Page
) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect(receive_buffer=4096) as client:
        client.send(b"GET /sent HTTP/1.1\r\nHost: a\r\n\r\n")
        client.until(b"\r\n\r\n")
        served.settle()
        assert observer.seen == []
        client.take(LARGE)
        one = observer.only()
        assert (one.sent, one.complete) == (LARGE, True)
        # And the connection goes on as before.
        assert client.get("/small").text == "small"
        assert observer.wait(2)[1].sent == 5


@pytest.mark.parametrize("target", ["/large", "/sent", "/endless"])
def test_what_is_cut_off_is_told_as_far_as_it_went(
    serve: Serve, observer: Observer, page: Page, target: str
) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect(receive_buffer=4096) as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        client.until(b"\r\n\r\n")
        client.take(10000)
        client.reset()
        one = observer.only()
    assert (one.status, one.complete) == (200, False)
    # The framing of chunks that are still queued is taken for a part of what is missing.
    assert one.sent >= (9000 if target == "/endless" else 10000)
    assert target == "/endless" or one.sent < LARGE


def test_a_client_that_leaves_before_there_is_a_response(
    serve: Serve, observer: Observer, page: Page
) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect() as client:
        client.send(b"GET /late_one HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: page.late)
        client.reset()
        one = observer.only()
    assert (one.line, one.status, one.sent, one.complete) == ("GET /late_one", None, 0, False)
    page.late[0].finish()  # comes to nothing
    served.settle()
    assert len(observer.seen) == 1


def test_a_client_that_leaves_in_its_request(serve: Serve, observer: Observer, page: Page) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect() as client:
        client.send(b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        wait_until(lambda: served.connections)
        served.settle()
        client.reset()
        one = observer.only()
    assert (one.line, one.status, one.complete) == ("POST /small", None, False)


@pytest.mark.parametrize("target", ["/torn", "/too_short"])
def test_a_response_that_breaks_off_is_not_complete(
    serve: Serve, observer: Observer, page: Page, target: str
) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect() as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        with pytest.raises((EOFError, ConnectionResetError)):
            client.until(b"no such thing")
    one = observer.only()
    assert (one.status, one.sent, one.complete) == (200, 0, False)  # nothing had left yet


@pytest.mark.parametrize(
    ("data", "line", "status"),
    [
        (b"no request at all\r\n\r\n", "- -", 400),
        (b"GET / HTTP/1.1\r\n\r\n", "- -", 400),
        (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 300), "- -", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 300), "- -", 431),
        (b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n", "POST /up", 413),
        (b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", "- -", 400),
        (
            b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3E8\r\n"
            + b"x" * 1000,
            "POST /up",
            413,
        ),
    ],
)
def test_refusals_of_the_servers_own_are_told(
    serve: Serve, observer: Observer, page: Page, data: bytes, line: str, status: int
) -> None:
    limits = HttpLimits(request_line_size=200, head_size=280, body_size=200)
    served = serve(page, on_exchange=observer, limits=limits)
    with served.connect() as client:
        client.send(data)
        answer = client.read()
    one = observer.only()
    assert (one.status, one.line, one.complete) == (answer.status, line, True)
    assert one.status == status
    assert one.sent == len(answer.body)
    assert bool(one.head) == (line == "POST /up")


def test_a_request_that_does_not_come_is_told(serve: Serve, observer: Observer, page: Page) -> None:
    limits = HttpLimits(header_timeout=0.05, body_timeout=0.05)
    served = serve(page, on_exchange=observer, limits=limits)
    with served.connect() as client:
        client.send(b"GET / HT")
        assert client.read().status == 408
    with served.connect() as client:
        client.send(b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        assert client.read().status == 408
    first, second = observer.wait(2)
    assert (first.head, first.status) == (b"", 408)
    assert (second.line, second.status) == ("POST /small", 408)
    assert second.seconds >= 0.05


def test_a_connection_without_a_request_is_not_told(
    serve: Serve, observer: Observer, page: Page
) -> None:
    served = serve(page, on_exchange=observer)
    served.connect().socket.close()
    served.get("/small")
    served.stop(timeout=5)
    assert [seen.line for seen in observer.seen] == ["GET /small"]


class Shout:
    def __init__(self, connection: TcpConnection) -> None:
        connection.protocol = self
        connection.on_message = lambda connection, buffer: connection.send(
            buffer.retrieve_all().upper()
        )
        self.drain = connection.shutdown


@pytest.mark.parametrize("ends_well", [True, False])
def test_an_upgraded_connection_is_told_when_it_ends(
    serve: Serve, observer: Observer, ends_well: bool
) -> None:
    def on_request(request: HttpRequest, response: HttpResponse) -> None:
        if request.upgrade_offered:
            response.upgrade("shout", Shout)
        else:
            response.text("plain")

    served = serve(on_request, on_exchange=observer)
    with served.connect() as client:
        offer = b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + offer)
        assert client.read().text == "plain"
        assert b" 101 " in client.until(b"\r\n\r\n")
        client.send(b"loud")
        assert client.take(4) == b"LOUD"
        assert [seen.line for seen in observer.seen] == ["GET /"]
        if ends_well:
            client.half_close()
            assert client.at_end()
        else:
            client.reset()
        one = observer.wait(2)[1]
    assert (one.line, one.status, one.sent, one.complete) == ("GET /up", 101, 4, ends_well)
    assert served.server.connections == 0


def test_a_stop_tells_of_what_it_cuts_off(serve: Serve, observer: Observer, page: Page) -> None:
    served = serve(page, on_exchange=observer)
    with served.connect() as client:
        client.send(b"GET /late_one HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: page.late)
        served.stop()
    assert [(seen.line, seen.status) for seen in observer.seen] == [("GET /late_one", None)]


def test_an_observer_that_raises_disturbs_nobody(
    serve: Serve, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(*_: Any) -> None:
        raise ValueError("from the observer")

    served = serve(page, on_exchange=raising)
    with served.connect() as client:
        for _ in range(2):
            assert client.get("/small").text == "small"
    served.stop(timeout=5)
    assert caplog.text.count("on_exchange raised for GET /small HTTP/1.1") == 2


def test_each_loop_tells_in_its_own_thread(serve: Serve, observer: Observer, page: Page) -> None:
    served = serve(page, on_exchange=observer, threads=2)
    for _ in range(4):
        served.get("/small")
    threads = {seen.thread for seen in observer.wait(4)}
    assert len(threads) == 2
    assert threads == {loop.thread_id for loop in served.server.loops}


def test_requests_in_flight_can_be_asked_for(serve: Serve, page: Page) -> None:
    served = serve(page)

    def in_flight() -> int:
        return sum(
            connection.protocol.serving
            for connections in served.server._connections.values()
            for connection in connections
        )

    with served.connect() as client:
        client.get("/small")
        assert served.call(in_flight) == 0
        client.send(b"GET /late_one HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: page.late)
        served.settle()
        assert served.call(in_flight) == 1
        page.late[0].finish()
        client.read()
        assert served.call(in_flight) == 0
