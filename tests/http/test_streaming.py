"""Request bodies that are taken piece by piece, and 100 Continue."""

import contextlib
import fcntl
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from yolanda.buffer import READ_SIZE, Buffer
from yolanda.http import HttpLimits, HttpRequest, HttpResponse
from yolanda.reactor.dispatcher import DISPATCHERS

everywhere = pytest.mark.parametrize(
    ("dispatcher", "threads"), [(name, threads) for name in DISPATCHERS for threads in (0, 2)]
)
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EXPECT = HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


class Taker:
    """Takes bodies piece by piece and answers with their sizes at their ends."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.requests: list[HttpRequest] = []
        self.gone = threading.Event()
        self.arrived = threading.Semaphore(0)

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        self.requests.append(request)
        self.pieces = []
        request.on_disconnect = self.gone.set
        response.defer()

        def take(piece: bytes) -> None:
            self.pieces.append(piece)
            if not piece:
                response.text(f"{request.path} {sum(map(len, self.pieces))}")
                response.finish()

        request.on_body = take
        self.arrived.release()


@everywhere
def test_a_body_in_pieces(serve: Callable[..., Any], dispatcher: str, threads: int) -> None:
    taker = Taker()
    served = serve(taker, streaming=True, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        assert client.read().text == "/ 1000000"
        assert len(taker.pieces) > 2
        client.send(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" + NEXT)
        assert client.read().text == "/ 5"
        assert client.read().text == "/next 0"


def test_more_is_read_at_once_while_a_large_body_comes(
    serve: Callable[..., Any], eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taker = Taker()
    served = serve(taker, streaming=True)
    asked: list[int] = []
    read_from = Buffer.read_from

    def read(buffer: Buffer, fd: int, size: int) -> int:
        asked.append(size)
        return read_from(buffer, fd, size)

    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 3000005\r\n\r\n" + b"slow.")
        eventually(lambda: taker.pieces == [b"slow."])
        (connection,) = served.server.open_connections()
        served.call(taker.requests[0].pause)
        sender = threading.Thread(target=client.send, args=(b"x" * 3_000_000,))
        sender.start()
        eventually(lambda: waiting(connection.socket) > 50_000)
        monkeypatch.setattr(Buffer, "read_from", read)
        served.call(taker.requests[0].resume)
        assert client.read().text == "/ 3000005"
        sender.join()
        sizes = [len(piece) for piece in taker.pieces[1:-1]]
        assert sizes[0] > 50_000
        expected = [4 * READ_SIZE if size >= 49152 else READ_SIZE for size in sizes]
        assert asked == [READ_SIZE, *expected[:-1]]
        assert connection.read_size == READ_SIZE


def waiting(sock: socket.socket) -> int:
    """Bytes that the kernel has for ``sock``."""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_the_handler_is_called_before_the_body_comes(serve: Callable[..., Any]) -> None:
    taker = Taker()
    served = serve(taker, streaming=True)
    with served.connect() as client:
        client.send(CHUNKED)
        assert taker.arrived.acquire(timeout=20)
        client.send(b"5\r\nhello\r\n")
        client.send(b"0\r\n\r\n")
        assert client.read().text == "/ 5"
        assert b"".join(taker.pieces) == b"hello"
        assert taker.pieces[-1] == b""
        assert taker.pieces.count(b"") == 1
        assert taker.requests[0].body == b""


@pytest.mark.parametrize(
    "request_", [NEXT, HEAD + b"Content-Length: 0\r\n\r\n", CHUNKED + b"0\r\n\r\n"]
)
def test_a_body_that_is_empty_has_an_end(serve: Callable[..., Any], request_: bytes) -> None:
    taker = Taker()
    served = serve(taker, streaming=True)
    with served.connect() as client:
        client.send(request_ * 2)
        assert client.read().text.endswith(" 0")
        assert client.read().text.endswith(" 0")
    assert taker.pieces == [b""]


def test_pipelined_streams(serve: Callable[..., Any]) -> None:
    served = serve(Taker(), streaming=True)
    with served.connect() as client:
        one = HEAD + b"Content-Length: 5\r\n\r\nhello"
        client.send((one + CHUNKED + b"1\r\nx\r\n0\r\n\r\n") * 10)
        client.half_close()
        for _ in range(10):
            assert client.read().text == "/ 5"
            assert client.read().text == "/ 1"
        assert client.at_end()


@everywhere
def test_pause_and_resume(
    serve: Callable[..., Any], dispatcher: str, threads: int, eventually: Any
) -> None:
    """A handler that pauses takes no more, and TCP holds the client back."""
    got = [0]
    paused = threading.Event()
    requests: list[HttpRequest] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        requests.append(request)

        def take(piece: bytes) -> None:
            got[0] += len(piece)
            if piece and not paused.is_set():
                request.pause()
                paused.set()
            if not piece:
                response.text(str(got[0]))
                response.finish()

        request.on_body = take

    limits = HttpLimits(body_size=1 << 30)
    served = serve(handler, streaming=True, dispatcher=dispatcher, threads=threads, limits=limits)
    with served.connect() as client:
        size = 30_000_000
        sent = threading.Thread(
            target=client.send, args=(HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size,)
        )
        sent.start()
        assert paused.wait(20)
        time.sleep(0.1)
        assert got[0] < 2_000_000
        assert sent.is_alive()
        requests[0].connection.loop.queue_in_loop(requests[0].resume)
        assert client.read().text == str(size)
        sent.join()


# ---- early responses -------------------------------------------------------------------------


def early(request: HttpRequest, response: HttpResponse) -> None:
    """Answer without looking at the body."""
    response.text(request.path)


def test_an_early_response_and_a_body_that_is_discarded(serve: Callable[..., Any]) -> None:
    served = serve(early, streaming=True)
    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 5\r\n\r\n")
        answer = client.read()
        assert answer.get("Connection") == "Keep-Alive"
        client.send(b"hello" + NEXT)
        assert client.read().text == "/next"
        client.send(HEAD + b"Content-Length: 5\r\n\r\nhello" + NEXT)
        assert client.read().text == "/"
        assert client.read().text == "/next"
        client.half_close()
        assert client.at_end()


@pytest.mark.parametrize("head", [HEAD + b"Content-Length: 1000\r\n\r\n", CHUNKED])
def test_an_early_response_and_a_body_that_is_too_long_to_discard(
    serve: Callable[..., Any], head: bytes
) -> None:
    served = serve(early, streaming=True, limits=HttpLimits(discard_size=999))
    with served.connect() as client:
        client.send(head + b"3\r\nabc\r\n")
        answer = client.read()
        assert answer.text == "/"
        assert answer.get("Connection") == "close"
        assert client.at_end()


def test_the_end_of_a_discarded_body_never_comes(serve: Callable[..., Any]) -> None:
    """The request has its response already: there is no second one."""
    limits = HttpLimits(body_timeout=0.2, linger_timeout=0.2)
    served = serve(early, streaming=True, limits=limits)
    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 5\r\n\r\nhe")
        assert client.read().text == "/"
        assert client.at_end()


def test_the_client_half_closes_within_a_discarded_body(serve: Callable[..., Any]) -> None:
    served = serve(early, streaming=True)
    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 5\r\n\r\nhe")
        assert client.read().text == "/"
        client.half_close()
        assert client.at_end()


def test_an_early_response_from_a_handler_that_has_paused(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/":
            request.pause()
        response.text(request.path)

    served = serve(handler, streaming=True)
    with served.connect() as client:
        for _ in range(2):
            client.send(HEAD + b"Content-Length: 5\r\n\r\n")
            assert client.read().text == "/"
            client.send(b"hello" + NEXT)
            assert client.read().text == "/next"


def test_a_handler_that_pauses_and_answers_without_resuming(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        def take(piece: bytes) -> None:
            request.pause()
            if not piece:
                response.text(request.path)
                response.finish()

        response.defer()
        request.on_body = take

    served = serve(handler, streaming=True)
    with served.connect() as client:
        for _ in range(2):
            client.send(HEAD + b"Content-Length: 5\r\n\r\nhello")
            assert client.read().text == "/"
            client.send(NEXT)
            assert client.read().text == "/next"


def test_an_early_response_while_the_client_still_sends(serve: Callable[..., Any]) -> None:
    """What the client has sent and nobody read must not reset its response away."""
    served = serve(early, streaming=True)
    for _ in range(10):
        with served.connect() as client:
            body = b"x" * 3_000_000

            def send(client: Any = client, body: bytes = body) -> None:
                with contextlib.suppress(OSError):  # it may close when it has answered
                    client.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

            sender = threading.Thread(target=send)
            sender.start()
            answer = client.read()
            assert answer.status == 200
            assert answer.get("Connection") == "close"
            sender.join()


# ---- exceptions ------------------------------------------------------------------------------


def test_a_streaming_handler_that_raises(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/":
            raise LookupError("streaming")

    served = serve(handler, streaming=True)
    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 5\r\n\r\nhello" + NEXT)
        assert client.read().status == 500
        assert client.read().status == 200
    assert "POST / HTTP/1.1" in caplog.text


@pytest.mark.parametrize("at_end", [False, True])
def test_on_body_that_raises(
    serve: Callable[..., Any], at_end: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/next":
            return

        def take(piece: bytes) -> None:
            if not piece or not at_end:
                raise LookupError("in on_body")

        response.defer()
        request.on_body = take

    served = serve(handler, streaming=True)
    with served.connect() as client:
        client.send(HEAD + b"Content-Length: 5\r\n\r\nhello" + NEXT)
        assert client.read().status == 500
        assert client.read().status == 200
    assert "POST / HTTP/1.1" in caplog.text
    assert "in on_body" in caplog.text


@pytest.mark.parametrize(
    ("end", "status"), [("cut off", 400), ("malformed", 400), ("too long", 413), ("late", 408)]
)
def test_a_body_that_goes_wrong_tells_the_handler(
    serve: Callable[..., Any], end: str, status: int
) -> None:
    taker = Taker()
    limits = HttpLimits(body_timeout=0.3 if end == "late" else 30.0, body_size=100)
    served = serve(taker, streaming=True, limits=limits)
    with served.connect() as client:
        client.send(CHUNKED + b"5\r\nhello\r\n")
        assert taker.arrived.acquire(timeout=20)
        if end == "cut off":
            client.half_close()
        elif end == "malformed":
            client.send(b"xyz\r\n")
        elif end == "too long":
            client.send(b"65\r\n" + b"x" * 101 + b"\r\n")
        assert client.read().status == status
        assert client.at_end()
        assert taker.gone.wait(20)
        assert b"" not in taker.pieces  # nobody may take it for whole


def test_a_client_that_vanishes_within_its_body(serve: Callable[..., Any], eventually: Any) -> None:
    taker = Taker()
    served = serve(taker, streaming=True)
    client = served.connect()
    client.send(CHUNKED + b"5\r\nhello\r\n")
    assert taker.arrived.acquire(timeout=20)
    client.reset()
    assert taker.gone.wait(20)
    assert b"" not in taker.pieces
    eventually(lambda: served.connections == 0)


# ---- 100 Continue ----------------------------------------------------------------------------


def echo(request: HttpRequest, response: HttpResponse) -> None:
    response.body = request.body


def stream(request: HttpRequest, response: HttpResponse) -> None:
    response.defer()
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        pieces.append(piece)
        if not piece:
            response.body = b"".join(pieces)
            response.finish()

    request.on_body = take


both = pytest.mark.parametrize(("handler", "streaming"), [(echo, False), (stream, True)])


@both
def test_100_continue(serve: Callable[..., Any], handler: Any, streaming: bool) -> None:
    served = serve(handler, streaming=streaming)
    with served.connect() as client:
        for _ in range(2):
            client.send(EXPECT)
            assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
            client.send(b"he")
            client.send(b"llo")
            answer = client.read()
            assert answer.body == b"hello"
            assert answer.interim == []  # once, not twice


@both
def test_no_100_when_the_body_is_there(
    serve: Callable[..., Any], handler: Any, streaming: bool
) -> None:
    served = serve(handler, streaming=streaming)
    with served.connect() as client:
        client.send(EXPECT + b"hello" + EXPECT + b"hello")
        for _ in range(2):
            answer = client.read()
            assert answer.body == b"hello"
            assert answer.interim == []


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        HEAD + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
    ],
)
@both
def test_no_100_when_nothing_is_waited_for(
    serve: Callable[..., Any], handler: Any, streaming: bool, request_: bytes
) -> None:
    served = serve(echo)
    with served.connect() as client:
        client.send(request_)
        answer = client.read()
        assert answer.status == 200
        assert answer.interim == []


def test_no_100_before_an_early_refusal(serve: Callable[..., Any]) -> None:
    """A handler that answers at the head spares the client its body."""

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.status = 403

    served = serve(handler, streaming=True)
    with served.connect() as client:
        client.send(EXPECT)
        answer = client.read()
        assert answer.status == 403
        assert answer.interim == []
        assert answer.get("Connection") == "close"  # the body may follow, or may not
        assert client.at_end()


def test_100_continue_before_a_body_that_is_too_long(serve: Callable[..., Any]) -> None:
    served = serve(echo, limits=HttpLimits(body_size=4))
    with served.connect() as client:
        client.send(EXPECT)
        answer = client.read()
        assert answer.status == 413
        assert answer.interim == []
        assert client.at_end()


def test_an_expectation_that_nobody_knows(serve: Callable[..., Any]) -> None:
    served = serve(echo)
    with served.connect() as client:
        client.send(EXPECT.replace(b"100-continue", b"miracles"))
        assert client.read().status == 417
        assert client.at_end()


def test_to_pause_a_request_without_a_body_is_harmless(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        request.pause()
        response.text(request.path)

    served = serve(handler, streaming=True)
    answer = served.exchange(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % 1)
    assert answer.endswith(b"/1")
    with served.connect() as client:
        for number in range(3):
            client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            assert client.read().body == b"/%d" % number
