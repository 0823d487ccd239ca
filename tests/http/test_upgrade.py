"""A handler takes a connection over from HTTP, or leaves it there."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from yolanda.http import HttpLimits, HttpRequest, HttpResponse
from yolanda.transport.tcp_connection import TcpConnection

OFFER = b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"


class Shout:
    """A protocol without messages: it sends back in capitals what comes."""

    def __init__(self, connection: TcpConnection) -> None:
        self.connection = connection
        connection.protocol = self
        connection.on_message = self.on_message

    def on_message(self, connection: TcpConnection, buffer: Any) -> None:
        data = buffer.retrieve_all()
        if b"!" in data:
            raise ValueError("one does not shout at Shout")
        connection.send(data.upper())

    def drain(self) -> None:
        self.connection.send(b"BYE")
        self.connection.shutdown()


def handler(request: HttpRequest, response: HttpResponse) -> None:
    if request.path == "/now":
        response.headers["X-Volume"] = "11"
        response.upgrade("Shout", Shout)
    elif request.path == "/later":
        response.defer()

        def finish() -> None:
            response.upgrade("shout", Shout)
            response.finish()

        threading.Timer(0.05, finish).start()
    else:
        response.text(f"{request.upgrade_offered}")


@pytest.mark.parametrize("path", [b"now", b"later"])
@pytest.mark.parametrize("streaming", [False, True])
def test_what_comes_after_the_head_is_the_new_protocols(
    serve: Callable[..., Any], path: bytes, streaming: bool
) -> None:
    with serve(handler, streaming=streaming).connect() as client:
        client.send(OFFER % path + b"hel")
        answer = client.until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
        assert b"\r\nupgrade: shout" in answer.lower()
        assert (b"\r\nX-Volume: 11" in answer) == (path == b"now")
        assert b"Content-Length" not in answer
        assert client.take(3) == b"HEL"
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # no longer a request
        assert client.take(18) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("cut", range(1, len(OFFER % b"now")))
def test_an_offer_in_two_pieces(serve: Callable[..., Any], cut: int) -> None:
    served = serve(handler)
    with served.connect() as client:
        data = OFFER % b"now" + b"rest"
        client.send(data[:cut])
        served.settle()
        client.send(data[cut:])
        client.until(b"\r\n\r\n")
        assert client.take(4) == b"REST"


@pytest.mark.parametrize("path", [b"now", b"later"])
def test_requests_before_it_are_answered_first(serve: Callable[..., Any], path: bytes) -> None:
    with serve(handler).connect() as client:
        client.send(PLAIN + OFFER % b"plain" + PLAIN + OFFER % path + PLAIN.lower())
        assert [client.read().text for _ in range(3)] == ["False", "True", "False"]
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take(len(PLAIN)) == PLAIN.upper()


def test_two_requests_behind_a_slow_one_and_the_end(serve: Callable[..., Any]) -> None:
    waiting: list[HttpResponse] = []

    def slow(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/plain":
            response.defer()
            waiting.append(response)
        else:
            handler(request, response)

    served = serve(slow)
    with served.connect() as client:
        client.send(PLAIN + OFFER % b"now" + b"at the end")
        client.half_close()
        served.settle()
        while not waiting:
            served.settle()
        waiting[0].finish()
        assert client.read().status == 200
        client.until(b"\r\n\r\n")
        assert client.rest() == b"AT THE END"


@pytest.mark.parametrize("path", [b"now", b"later"])
def test_a_client_that_has_ended_its_stream(serve: Callable[..., Any], path: bytes) -> None:
    answer = serve(handler).exchange(OFFER % path + b"one word")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\nONE WORD")


@pytest.mark.parametrize("path", [b"now", b"later"])
def test_a_stop_is_told_to_the_new_protocol(serve: Callable[..., Any], path: bytes) -> None:
    served = serve(handler)
    with served.connect() as client:
        client.send(OFFER % path)
        if path == b"now":
            client.until(b"\r\n\r\n")
        else:
            served.settle()
        served.begin_stop()
        assert client.rest().endswith(b"BYE")
    assert served.stopped.wait(20)


def test_a_protocol_without_an_object_is_shut_down_by_a_stop(serve: Callable[..., Any]) -> None:
    def mute(request: HttpRequest, response: HttpResponse) -> None:
        response.upgrade("shout", lambda connection: None)

    served = serve(mute)
    with served.connect() as client:
        client.send(OFFER % b"")
        client.until(b"\r\n\r\n")
        served.begin_stop()
        assert client.rest() == b""
    assert served.stopped.wait(20)


def test_the_times_of_http_are_over(serve: Callable[..., Any]) -> None:
    seen: list[TcpConnection] = []

    def take(request: HttpRequest, response: HttpResponse) -> None:
        seen.append(request.connection)
        response.upgrade("shout", Shout)

    served = serve(take, limits=HttpLimits(keep_alive_timeout=0.05, header_timeout=0.05))
    with served.connect() as client:
        client.send(OFFER % b"")
        client.until(b"\r\n\r\n")
        passed = threading.Event()
        served.loop.queue_in_loop(served.loop.call_later, 0.2, passed.set)
        assert passed.wait(20)
        client.send(b"still here")
        assert client.take(10) == b"STILL HERE"


def test_what_the_new_protocol_raises_ends_its_connection_alone(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(handler)
    for path in (b"now", b"later"):
        with served.connect() as client, served.connect() as other:
            other.send(OFFER % b"now")
            other.until(b"\r\n\r\n")
            client.send(OFFER % path + b"!")
            with pytest.raises(ConnectionResetError):
                client.rest()
            other.send(b"fine")
            assert other.take(4) == b"FINE"
    assert "one does not shout" in caplog.text


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: shout\r\n\r\n",  # Connection does not name it
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: whisper\r\n\r\n",
    ],
    ids=["none", "hop", "other"],
)
def test_nothing_is_taken_that_was_not_offered(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture, request_text: bytes
) -> None:
    def take(request: HttpRequest, response: HttpResponse) -> None:
        response.upgrade("shout", Shout)

    with serve(take).connect() as client:
        client.send(request_text)
        assert client.read().status == 500
    assert "offers no upgrade to 'shout'" in caplog.text


def test_an_upgrade_waits_for_the_body(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def take(request: HttpRequest, response: HttpResponse) -> None:
        response.upgrade("shout", Shout)

    offer = OFFER.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n") % b""
    with serve(take, streaming=True).connect() as client:
        client.send(offer)
        assert client.read().status == 500
    assert "has to wait for the request's body" in caplog.text
    with serve(take).connect() as client:
        client.send(offer + b"bodyrest")
        client.until(b"\r\n\r\n")
        assert client.take(4) == b"REST"


def test_a_client_that_is_gone_before_the_upgrade(serve: Callable[..., Any]) -> None:
    gone, taken = threading.Event(), []
    waiting: list[HttpResponse] = []

    def wait(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        request.on_disconnect = gone.set
        waiting.append(response)

    served = serve(wait)
    with served.connect() as client:
        client.send(OFFER % b"")
        while not waiting:
            served.settle()
        client.reset()
    assert gone.wait(20)
    waiting[0].upgrade("shout", taken.append)
    waiting[0].finish()
    served.settle()
    assert not taken
