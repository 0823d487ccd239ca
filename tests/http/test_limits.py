"""What a client may ask for, and how long it may take: each limit has its answer."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from yolanda.http import HttpLimits, HttpRequest, HttpResponse
from yolanda.reactor.dispatcher import DISPATCHERS

everywhere = pytest.mark.parametrize(
    ("dispatcher", "threads"), [(name, threads) for name in DISPATCHERS for threads in (0, 2)]
)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def echo(request: HttpRequest, response: HttpResponse) -> None:
    response.body = request.body


def refused(served: Any, data: bytes) -> int:
    """The status of the one answer to ``data``, after which the server closes."""
    with served.connect() as client:
        client.send(data)
        answer = client.read()
        if answer.status != 200:
            assert answer.get("Connection") == "close"
            assert client.at_end()
        return int(answer.status)


@pytest.mark.parametrize(
    ("limits", "data", "status"),
    [
        ({"request_line_size": 40}, b"GET /" + b"a" * 40, 414),
        ({"request_line_size": 40}, b"GET /" + b"a" * 40 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ({"request_line_size": 40}, GET, 200),
        ({"head_size": 100}, GET[:-2] + b"X: " + b"y" * 100, 431),
        ({"head_size": 100}, GET[:-2] + b"X: " + b"y" * 100 + b"\r\n\r\n", 431),
        ({"head_size": 100}, GET, 200),
        ({"header_count": 3}, GET[:-2] + b"a:\r\nb:\r\nc:\r\n\r\n", 431),
        ({"header_count": 3}, GET[:-2] + b"a:\r\nb:\r\n\r\n", 200),
        ({"body_size": 4}, POST + b"Content-Length: 5\r\n\r\n", 413),
        ({"body_size": 4}, POST + b"Content-Length: 4\r\n\r\nabcd", 200),
        ({"body_size": 4}, POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde", 413),
        ({"body_size": 4}, POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", 200),
        ({"head_size": 100}, POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 300, 431),
    ],
)
def test_sizes(serve: Callable[..., Any], limits: dict[str, int], data: bytes, status: int) -> None:
    served = serve(echo, limits=HttpLimits(linger_timeout=0.2, **limits))
    assert refused(served, data) == status
    assert served.get().status == 200


def test_the_defaults(serve: Callable[..., Any]) -> None:
    served = serve(echo, limits=None)
    assert refused(served, b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n") == 200
    assert refused(served, b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: a\r\n\r\n") == 414
    assert refused(served, GET[:-2] + b"X: " + b"y" * 32_000 + b"\r\n\r\n") == 200
    assert refused(served, GET[:-2] + b"X: " + b"y" * 33_000 + b"\r\n\r\n") == 431
    assert refused(served, GET[:-2] + b"X: y\r\n" * 99 + b"\r\n") == 200
    assert refused(served, GET[:-2] + b"X: y\r\n" * 100 + b"\r\n") == 431
    assert refused(served, POST + b"Content-Length: 16777217\r\n\r\n") == 413


def test_a_response_is_not_lost_when_the_client_sent_more(serve: Callable[..., Any]) -> None:
    served = serve(echo, limits=HttpLimits(body_size=10))
    for _ in range(10):
        with served.connect() as client:
            sender = threading.Thread(
                target=client.send, args=(POST + b"Content-Length: 300000\r\n\r\n" + b"x" * 300000,)
            )
            sender.start()
            assert client.read().status == 413
            sender.join()


# ---- time ------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize(
    ("limit", "data", "status"),
    [
        ("header_timeout", b"GET / HT", 408),
        ("header_timeout", GET[:-2], 408),
        ("body_timeout", POST + b"Content-Length: 5\r\n\r\nhe", 408),
        ("body_timeout", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", 408),
        ("keep_alive_timeout", b"", None),
        ("keep_alive_timeout", GET, 200),
        ("keep_alive_timeout", b"\r\n", None),
    ],
)
def test_time_outs(
    serve: Callable[..., Any],
    dispatcher: str,
    threads: int,
    limit: str,
    data: bytes,
    status: int | None,
    eventually: Any,
) -> None:
    limits = HttpLimits(linger_timeout=0.1, **{limit: 0.1})
    served = serve(echo, dispatcher=dispatcher, threads=threads, limits=limits)
    with served.connect() as client:
        client.send(data)
        if status is not None:
            answer = client.read()
            assert answer.status == status
            assert (answer.get("Connection") == "close") == (status == 408)
        assert client.at_end()
    eventually(lambda: served.connections == 0)


def test_a_head_that_dribbles_in_does_not_win_time(serve: Callable[..., Any]) -> None:
    served = serve(echo, limits=HttpLimits(header_timeout=0.3, linger_timeout=0.1))
    with served.connect() as client:
        client.socket.settimeout(0.02)
        received = b""
        client.send(b"GET / HTTP/1.1\r\nX: ")
        end = time.monotonic() + 20
        while not received and time.monotonic() < end:
            client.send(b"y")
            try:
                received = client.socket.recv(65536)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_dribbles_in_is_patiently_read(serve: Callable[..., Any]) -> None:
    served = serve(echo, limits=HttpLimits(body_timeout=1.0))
    with served.connect() as client:
        client.send(POST + b"Content-Length: 12\r\n\r\n")
        for _ in range(12):
            client.send(b"x")
            time.sleep(0.1)  # 1.2 s in all, and never 1 s between two pieces
        assert client.read().body == b"x" * 12


def test_an_application_may_take_its_time(serve: Callable[..., Any]) -> None:
    kept: list[HttpResponse] = []
    arrived = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        kept.append(response)
        arrived.set()

    limits = HttpLimits(header_timeout=0.1, body_timeout=0.1, keep_alive_timeout=0.1)
    served = serve(handler, limits=limits)
    with served.connect() as client:
        client.send(POST + b"Content-Length: 1\r\n\r\nx")
        assert arrived.wait(20)
        time.sleep(0.4)
        kept[0].text("at last")
        kept[0].finish()
        assert client.read().text == "at last"
        assert client.at_end()  # idle from then on


def test_a_client_that_takes_nothing_is_reset(serve: Callable[..., Any], eventually: Any) -> None:
    served = serve(
        lambda request, response: setattr(response, "body", b"x" * 20_000_000),
        limits=HttpLimits(write_timeout=0.2),
    )
    client = served.connect(receive_buffer=4096)
    client.send(GET)
    eventually(lambda: served.connections == 1)
    eventually(lambda: served.connections == 0)
    with pytest.raises(ConnectionResetError):
        client.rest()


@pytest.mark.parametrize("more", [b"", b"x"])
def test_a_client_that_never_closes_is_closed(
    serve: Callable[..., Any], more: bytes, eventually: Any
) -> None:
    served = serve(echo, limits=HttpLimits(linger_timeout=0.2))
    with served.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read().status == 200
        assert client.rest() == b""
        if more:
            client.send(more)
        eventually(lambda: served.connections == 0)


# ---- pipelining ------------------------------------------------------------------------------


@everywhere
def test_what_is_read_ahead_is_bounded(
    serve: Callable[..., Any], dispatcher: str, threads: int, eventually: Any
) -> None:
    kept: list[HttpResponse] = []
    arrived = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if not kept:
            response.defer()
            kept.append(response)
            arrived.set()
        response.text("x")

    limits = HttpLimits(pipeline_size=5000)
    served = serve(handler, dispatcher=dispatcher, threads=threads, limits=limits)
    count = 20_000
    with served.connect() as client:
        sender = threading.Thread(target=client.send, args=(GET * count,))
        sender.start()
        assert arrived.wait(20)
        connection = kept[0].http_connection.connection
        eventually(lambda: not connection.reading)
        held = len(connection.input)
        assert held < 400_000
        kept[0].finish()
        for _ in range(count):
            assert client.read().status == 200
        sender.join()


@everywhere
def test_a_client_that_asks_and_does_not_read_is_held_back(
    serve: Callable[..., Any], dispatcher: str, threads: int, eventually: Any
) -> None:
    served_count = [0]

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        served_count[0] += 1
        response.body = b"x" * 20_000

    served = serve(handler, dispatcher=dispatcher, threads=threads)
    count = 1500
    client = served.connect(receive_buffer=4096)
    sender = threading.Thread(target=client.send, args=(GET * count,))
    sender.start()
    eventually(lambda: served_count[0])

    def at_rest() -> bool:
        before = served_count[0]
        time.sleep(0.05)
        return served_count[0] == before

    eventually(at_rest)
    assert served_count[0] < count // 2
    for _ in range(count):
        assert len(client.read().body) == 20_000
    sender.join()
