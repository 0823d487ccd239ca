"""WSGI over real connections: environments, heads, bodies both ways, and what goes wrong."""

import contextlib
import contextvars
import gzip
import http.client
import io
import logging
import os
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from yolanda.apps.wsgi.body_stream import HIGH_WATER, ClientDisconnected
from yolanda.apps.wsgi.environment import Settings
from yolanda.apps.wsgi.handler import SMALL_BODY, WsgiHandler
from yolanda.http import HttpServer
from yolanda.http.connection import HttpHandler
from yolanda.http.forwarded import TrustedProxies
from yolanda.http.limits import HttpLimits
from yolanda.reactor.event_loop import EventLoop

PATIENCE = 30.0  # seconds after which a test that waits for something has failed
TEXT = [("Content-Type", "text/plain")]

Environment = dict[str, Any]
Application = Callable[[Environment, Any], Iterable[bytes]]


class Served:
    """An application behind a server in a thread of its own."""

    def __init__(
        self,
        application: Application,
        threads: int = 4,
        around: Callable[[WsgiHandler], HttpHandler] = lambda handler: handler,
        limits: HttpLimits | None = None,
        address: str = "127.0.0.1:0",
        **options: Any,
    ) -> None:
        self._started = threading.Event()
        self._make_handler = lambda loop: WsgiHandler(loop, application, threads, **options)
        self._around = around
        self._limits = limits
        self._listen_on = address
        self.all_threads_ended = False
        self._thread = threading.Thread(target=self._run, name="server")
        self._thread.start()
        assert self._started.wait(PATIENCE)

    def _run(self) -> None:
        with EventLoop() as loop:
            self.handler = self._make_handler(loop)
            self.server = HttpServer(
                self._listen_on,
                self._around(self.handler),
                loop=loop,
                streaming=True,
                limits=self._limits,
            )
            self.server.start()
            self._started.set()
            loop.run()
            self.server.close()
            loop.run_once(0)  # for the last hooks
            self.all_threads_ended = self.handler.close(PATIENCE)

    @property
    def port(self) -> int:
        return self.server.address.port

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(
        self,
        path: str = "/",
        method: str = "GET",
        body: Any = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> http.client.HTTPResponse:
        """A request on a connection of its own; the body is in the answer's ``content``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {}, **options)
            answer = connection.getresponse()
            answer.content = answer.read()  # type: ignore[attr-defined]
            return answer
        finally:
            connection.close()

    def get(self, path: str = "/", **headers: str) -> bytes:
        answer = self.ask(path, headers=headers)
        assert answer.status == 200
        return content(answer)

    def raw(self, request: bytes) -> bytes:
        """Everything that comes for ``request``, up to the end of the connection."""
        with self.connect() as client:
            client.sendall(request)
            return read_all(client)

    def stop(self, timeout: float = 0) -> None:
        if self.server.loop.closed:
            return
        self.server.stop(timeout, self.server.loop.stop)
        self._thread.join(PATIENCE)


def content(answer: http.client.HTTPResponse) -> bytes:
    return answer.content  # type: ignore[attr-defined, no-any-return]


def read_all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = client.recv(65536)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(application: Application, **options: Any) -> Served:
        started.append(Served(application, **options))
        return started[-1]

    yield start
    for served in started:
        served.stop()


def answering(body: bytes = b"ok", status: str = "200 OK", headers: Any = TEXT) -> Application:
    def application(environ: Environment, start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [body]

    return application


@pytest.fixture
def environ(serve: Callable[..., Served]) -> Callable[..., Environment]:
    """``environ(request, **options)``: the environment that a request becomes."""

    def ask(request: str, **options: Any) -> Environment:
        kept: list[Environment] = []

        def application(environ: Environment, start_response: Any) -> list[bytes]:
            kept.append(environ)
            start_response("200 OK", TEXT)
            return [b"ok"]

        served = serve(application, **options)
        served.raw(request.replace("\n", "\r\n").encode("latin-1"))
        return kept[0]

    return ask


# ---- environments ------------------------------------------------------------------------


def test_the_environment_says_what_the_request_says(environ: Callable[..., Environment]) -> None:
    found = environ(
        "POST /caf%C3%A9/a%2Fb?x=1&y=%20 HTTP/1.1\nHost: example.org\nContent-Type: text/csv\n"
        "Content-Length: 3\nAccept: a\nX-Two: 1\nx-two: 2\nCookie: a=1\nCookie: b=2\n"
        "Connection: close\n\nabc"
    )
    assert found["REQUEST_METHOD"] == "POST"
    assert found["SCRIPT_NAME"] == ""
    assert found["PATH_INFO"] == "/caf\xc3\xa9/a/b"
    assert found["QUERY_STRING"] == "x=1&y=%20"
    assert found["REQUEST_URI"] == "/caf%C3%A9/a%2Fb?x=1&y=%20"
    assert found["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert found["CONTENT_TYPE"] == "text/csv"
    assert found["CONTENT_LENGTH"] == "3"
    assert found["HTTP_HOST"] == "example.org"
    assert found["HTTP_ACCEPT"] == "a"
    assert found["HTTP_X_TWO"] == "1,2"
    assert found["HTTP_COOKIE"] == "a=1; b=2"
    assert "HTTP_CONTENT_TYPE" not in found
    assert "HTTP_CONTENT_LENGTH" not in found
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert int(found["REMOTE_PORT"]) > 0
    assert found["SERVER_NAME"] == "127.0.0.1"
    assert int(found["SERVER_PORT"]) > 0
    assert found["wsgi.version"] == (1, 0)
    assert found["wsgi.url_scheme"] == "http"
    assert found["wsgi.multithread"] is True
    assert found["wsgi.multiprocess"] is False
    assert found["wsgi.run_once"] is False
    assert found["wsgi.input_terminated"] is True
    assert type(found) is dict


def test_the_environment_says_where_the_application_is_mounted(
    environ: Callable[..., Environment],
) -> None:
    settings = Settings(root_path="/caf\xe9", scheme="https", multithread=False, multiprocess=True)
    found = environ("GET /page HTTP/1.0\n\n", settings=settings)
    assert found["SCRIPT_NAME"] == "/caf\xc3\xa9"
    assert found["PATH_INFO"] == "/page"
    assert found["QUERY_STRING"] == ""
    assert found["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert found["wsgi.url_scheme"] == "https"
    assert found["wsgi.multithread"] is False
    assert found["wsgi.multiprocess"] is True
    assert "CONTENT_LENGTH" not in found
    assert "CONTENT_TYPE" not in found


def test_the_absolute_form_gives_a_path(environ: Callable[..., Environment]) -> None:
    found = environ("GET http://a.org?q HTTP/1.1\nHost: a.org\nConnection: close\n\n")
    assert (found["PATH_INFO"], found["QUERY_STRING"]) == ("/", "q")


def test_no_field_can_pass_for_another_or_for_a_variable_of_a_library(
    environ: Callable[..., Environment],
) -> None:
    found = environ(
        "GET / HTTP/1.0\nProxy: http://evil\nX_Real_Ip: 6.6.6.6\nContent_Length: 5\n"
        "X-Real-Ip: 1.2.3.4\n\n"
    )
    assert "HTTP_PROXY" not in found
    assert found["HTTP_X_REAL_IP"] == "1.2.3.4"
    assert "CONTENT_LENGTH" not in found
    assert "" not in found


def test_a_proxy_that_is_trusted_is_believed(environ: Callable[..., Environment]) -> None:
    request = "GET / HTTP/1.0\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\n\n"
    trusting = Settings(proxies=TrustedProxies(["127.0.0.1"]))
    found = environ(request, settings=trusting)
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("1.2.3.4", "https")
    found = environ(request, settings=Settings(proxies=TrustedProxies(["10.0.0.0/8"])))
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("127.0.0.1", "http")


def test_a_local_socket_still_has_a_server_name_and_port(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    kept: list[Environment] = []

    def application(environ: Environment, start_response: Any) -> list[bytes]:
        kept.append(environ)
        return answering()(environ, start_response)  # type: ignore[return-value]

    path = tmp_path / "s"
    serve(validator(application), address=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_all(client).endswith(b"\r\n\r\nok")
    found = kept[0]
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("localhost", "80")
    assert found["REMOTE_ADDR"] == ""


def test_context_variables_of_one_request_are_not_seen_by_the_next(
    serve: Callable[..., Served],
) -> None:
    seen = contextvars.ContextVar("seen", default="nothing")

    def application(environ: Environment, start_response: Any) -> list[bytes]:
        before = seen.get()
        seen.set(environ["PATH_INFO"])
        start_response("200 OK", TEXT)
        return [before.encode()]

    served = serve(application, threads=1)
    assert served.get("/one") == b"nothing"
    assert served.get("/two") == b"nothing"


# ---- what the validator says -------------------------------------------------------------


def everything(environ: Environment, start_response: Any) -> Iterable[bytes]:
    """Answers in as many ways as there are paths."""
    path = environ["PATH_INFO"]
    if path == "/echo":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
        return [body]
    if path == "/lines":
        lines = [line.rstrip() for line in environ["wsgi.input"]]
        start_response("200 OK", TEXT)
        return [b"|".join(lines)]
    if path == "/pieces":
        start_response("200 OK", TEXT)
        return iter([b"one", b"", b"two", b"three"])
    if path == "/write":
        write = start_response("200 OK", TEXT)
        write(b"written, ")
        return [b"returned"]
    if path == "/empty":
        start_response("200 OK", TEXT)
        return []
    if path == "/nothing":
        start_response("204 No Content", [])
        return []
    if path == "/unchanged":
        start_response("304 Not Modified", [("ETag", '"1"')])
        return []
    if path == "/errors":
        environ["wsgi.errors"].write("something is wrong\n")
        environ["wsgi.errors"].flush()
    if path == "/file":
        file = open(__file__, "rb")  # noqa: SIM115  the server closes it
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](file, 8192)  # type: ignore[no-any-return]
    start_response("200 OK", [*TEXT, ("Content-Length", "2")])
    return [b"ok"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, b"ok"),
        ("/pieces", 200, b"onetwothree"),
        ("/write", 200, b"written, returned"),
        ("/empty", 200, b""),
        ("/nothing", 204, b""),
        ("/unchanged", 304, b""),
        ("/errors", 200, b"ok"),
        ("/file", 200, Path(__file__).read_bytes()),
    ],
)
def test_the_validator_has_nothing_to_say(
    serve: Callable[..., Served],
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    status: int,
    body: bytes,
) -> None:
    served = serve(validator(everything))
    answer = served.ask(path, method)
    assert answer.status == status
    assert content(answer) == (b"" if method == "HEAD" else body)
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == (
        ["something is wrong"] if path == "/errors" else []
    )


@pytest.mark.parametrize("size", [0, 1, 70_000, SMALL_BODY, SMALL_BODY + 1, 3 << 20])
def test_the_validator_has_nothing_to_say_of_bodies(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, size: int
) -> None:
    served = serve(validator(everything))
    body = os.urandom(size)
    assert content(served.ask("/echo", "POST", body)) == body
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


# ---- heads -------------------------------------------------------------------------------


def test_fields_are_sent_as_they_were_given(serve: Callable[..., Served]) -> None:
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe9"), ("X-Other", "  v  ")]
    served = serve(answering(headers=headers), fields=[(b"X-Every", b"time")])
    answer = served.ask()
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=\xe9"]
    assert answer.headers["X-Other"] == "v"
    assert answer.headers["X-Every"] == "time"
    assert answer.headers["Server"] == "Yolanda"


@pytest.mark.parametrize(
    ("status", "headers", "complaint"),
    [
        ("200 OK", [("X-A", "1\r\nX-B: 2")], "cannot have the value"),
        ("200 OK", [("X A", "1")], "cannot be the name"),
        ("200 OK", [("X-A", "\u20ac")], "latin-1"),
        ("200 OK", [("X-A", 1)], "pairs of text"),
        ("200 OK", [(b"X-A", b"1")], "pairs of text"),
        ("200 OK", [("Content-Length", "many")], "Content-Length is a number"),
        (200, [], "a status is text"),
        ("OK", [], "from 200 to 599"),
        ("100 Continue", [], "from 200 to 599"),
        ("2000 OK", [], "from 200 to 599"),
    ],
)
def test_what_cannot_be_sent_is_the_applications_fault(
    serve: Callable[..., Served],
    caplog: pytest.LogCaptureFixture,
    status: Any,
    headers: Any,
    complaint: str,
) -> None:
    assert serve(answering(status=status, headers=headers)).ask().status == 500
    assert complaint in caplog.text


def test_an_application_can_close_the_connection(serve: Callable[..., Served]) -> None:
    served = serve(answering(headers=[("Connection", "close")]))
    assert b"connection: close\r\n" in served.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").lower()


def test_start_response_is_called_once(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    def twice(environ: Environment, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b"ok"]

    assert serve(twice).ask().status == 500
    assert "without exc_info" in caplog.text


def test_start_response_is_called(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    def never(environ: Environment, start_response: Any) -> Iterable[bytes]:
        return [b"ok"] if environ["PATH_INFO"] == "/list" else iter([b"ok"])

    served = serve(never)
    assert served.ask("/list").status == 500
    assert served.ask("/iterator").status == 500
    assert caplog.text.count("RuntimeError: the application has not called start_response") == 2


def test_an_error_replaces_a_head_that_is_not_sent(serve: Callable[..., Served]) -> None:
    def failing(environ: Environment, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-First", "1")])
        try:
            raise ValueError("late")
        except ValueError:
            start_response("503 Later", TEXT, sys.exc_info())
        return [b"later"]

    answer = serve(failing).ask()
    assert (answer.status, content(answer)) == (503, b"later")
    assert "X-First" not in answer.headers


def test_an_error_after_the_head_is_raised_again_and_cuts_the_response(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[BaseException] = []

    def failing(environ: Environment, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"x" * 4 * HIGH_WATER  # more than can wait: something of it has been sent
        yield b"x"
        try:
            raise ValueError("too late")
        except ValueError:
            try:
                start_response("500 Oops", TEXT, sys.exc_info())
            except ValueError as error:
                seen.append(error)
                raise

    served = serve(failing)
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        with pytest.raises(ConnectionResetError):  # and not an end, as if it were complete
            read_all(client)
    assert [str(error) for error in seen] == ["too late"]
    assert "ValueError: too late" in caplog.text


def test_an_application_that_raises_is_answered_for(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    def raising(environ: Environment, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit(3)
        if environ["PATH_INFO"] == "/raise":
            raise RuntimeError("wrong")
        return answering()(environ, start_response)  # type: ignore[return-value]

    served = serve(raising, threads=1)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    for path, status in (("/raise", 500), ("/exit", 500), ("/", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
    assert "RuntimeError: wrong" in caplog.text
    assert "for GET /raise HTTP/1.1" in caplog.text


# ---- bodies of responses -----------------------------------------------------------------


def test_pieces_are_sent_as_they_come(serve: Callable[..., Served]) -> None:
    go_on = threading.Semaphore(0)

    def slowly(environ: Environment, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for word in (b"one", b"two"):
            yield word
            assert go_on.acquire(timeout=PATIENCE)

    served = serve(slowly)
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = read_until(client, b"one\r\n")
        assert b"Transfer-Encoding: chunked" in data
        go_on.release()
        assert read_until(client, b"two\r\n") == b"3\r\ntwo\r\n"
        go_on.release()
        assert read_all(client) == b"0\r\n\r\n"


def test_http_1_0_gets_no_chunks(serve: Callable[..., Served]) -> None:
    served = serve(everything)
    assert served.raw(b"GET /pieces HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nonetwothree")


@pytest.mark.parametrize("shape", [list, iter])
def test_no_more_is_sent_than_was_announced(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, shape: Any
) -> None:
    def longer(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return shape([b"abc", b"def", b"ghi"])  # type: ignore[no-any-return]

    served = serve(longer)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    for _ in range(3):  # and the connection stays in step
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read() == b"abcd"
    connection.close()
    assert "longer than its Content-Length" in caplog.text


@pytest.mark.parametrize("shape", [list, iter])
def test_less_than_was_announced_is_an_error(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, shape: Any
) -> None:
    def shorter(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        return shape([b"abc"])  # type: ignore[no-any-return]

    served = serve(shorter)
    try:
        answer = served.raw(b"GET / HTTP/1.0\r\n\r\n")
    except ConnectionResetError:
        pass  # the piece was sent before the end was known
    else:
        assert answer.startswith(b"HTTP/1.1 500 ")
    assert "Content-Length" in caplog.text


def test_an_endless_body_ends_where_it_has_to(serve: Callable[..., Served]) -> None:
    closed = threading.Event()

    def endless(environ: Environment, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "100000")])
        try:
            while True:
                yield b"x" * 999
        finally:
            closed.set()

    served = serve(endless)
    assert served.get() == b"x" * 100000
    assert closed.wait(PATIENCE)
    assert content(served.ask("/", "HEAD")) == b""


def test_a_head_is_told_a_length_only_if_one_is_known(serve: Callable[..., Served]) -> None:
    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return {"/list": [b"12345"], "/empty": []}.get(environ["PATH_INFO"]) or iter([b"1", b"2"])

    served = serve(application)
    assert served.ask("/list", "HEAD").headers["Content-Length"] == "5"
    answer = served.ask("/iterator", "HEAD")
    assert "Content-Length" not in answer.headers
    assert "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize("piece", ["text", 7, None, ["x"]])
def test_a_body_is_made_of_bytes(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, piece: Any
) -> None:
    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [piece] if environ["PATH_INFO"] == "/list" else iter([piece, b"x"])

    served = serve(application)
    assert served.ask("/list").status == 500
    if piece is not None:  # nothing is an empty piece
        assert served.ask("/iterator").status == 500


class Result:
    """An iterable that notes whether it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.closed = threading.Event()
        self.produced = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.produced += len(piece)
            yield piece

    def close(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()


def failing_pieces() -> Iterator[bytes]:
    yield b"x"
    raise RuntimeError("in the middle")


@pytest.mark.parametrize(
    "pieces",
    [list, lambda: [b"a", b"b"], lambda: ["text"], failing_pieces],
    ids=["none", "two", "text", "failing"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_always_called(
    serve: Callable[..., Served], pieces: Callable[[], Any], method: str
) -> None:
    result = Result(pieces())

    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return result

    served = serve(application)
    with served.connect() as client:
        client.sendall(f"{method} / HTTP/1.0\r\n\r\n".encode())
        assert result.closed.wait(PATIENCE)


def test_what_close_raises_is_logged(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Result):
        def close(self) -> None:
            super().close()
            raise RuntimeError("in close")

    result = Bad([b"ok"])

    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return result

    served = serve(application)
    assert served.get() == b"ok"
    served.stop()
    assert "RuntimeError: in close" in caplog.text


def test_a_slow_client_slows_the_application_down(serve: Callable[..., Served]) -> None:
    size = 64 << 20
    result = Result(b"x" * 65536 for _ in range(size // 65536))

    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return result

    served = serve(application)
    with served.connect(receive_buffer=65536) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head = read_until(client, b"\r\n\r\n")
        # Another request is served meanwhile, and the first can go no further by itself.
        assert result.produced < size // 2
        left = size - len(head.partition(b"\r\n\r\n")[2])
        while left:
            left -= len(client.recv(1 << 20))
    assert result.closed.wait(PATIENCE)
    assert result.produced == size


@pytest.mark.parametrize("by_write", [False, True])
def test_an_application_stops_when_its_client_is_gone(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, by_write: bool
) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    result = Result(endless())
    failures: list[BaseException] = []
    ended = threading.Event()

    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        if not by_write:
            return result
        try:
            while True:
                write(b"x" * 65536)
        except ClientDisconnected as error:
            failures.append(error)
            raise
        finally:
            ended.set()

    served = serve(application)
    client = served.connect(receive_buffer=65536)
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    read_until(client, b"xxx")
    client.close()
    assert (ended if by_write else result.closed).wait(PATIENCE)
    assert len(failures) == by_write
    served.stop()
    assert served.all_threads_ended
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_client_that_is_gone_before_its_turn_costs_nothing(serve: Callable[..., Served]) -> None:
    busy, go_on = threading.Event(), threading.Event()
    paths: list[str] = []

    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        paths.append(environ["PATH_INFO"])
        busy.set()
        assert go_on.wait(PATIENCE)
        start_response("200 OK", TEXT)
        return [b"ok"]

    served = serve(application, threads=1)
    first, second = served.connect(), served.connect()
    first.sendall(b"GET /first HTTP/1.0\r\n\r\n")
    assert busy.wait(PATIENCE)
    second.sendall(b"GET /second HTTP/1.0\r\n\r\n")
    while served.handler.in_flight < 2:
        busy.wait(0.001)
    second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    second.close()
    while served.server.connections == 2:
        busy.wait(0.001)
    go_on.set()
    assert read_all(first).endswith(b"ok")
    first.close()
    assert served.get("/third") == b"ok"
    assert paths == ["/first", "/third"]
    assert served.handler.in_flight == 0


# ---- files -------------------------------------------------------------------------------


def wrapping(file: Any, headers: Any = TEXT) -> Application:
    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    return application


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(50_000)))
    return path


@pytest.mark.parametrize("buffering", [0, -1])
@pytest.mark.parametrize("offset", [0, 8, 100_003, 400_000, 500_000])
@pytest.mark.parametrize("count", [None, 0, 5])
def test_a_file_is_sent_from_where_it_stands(
    serve: Callable[..., Served], numbers: Path, buffering: int, offset: int, count: int | None
) -> None:
    whole = numbers.read_bytes()
    expected = whole[offset:][: len(whole) if count is None else count]
    file = numbers.open("rb", buffering=buffering)
    file.seek(offset)
    if offset == 8:
        file.read(3)  # a buffer is ahead of its descriptor
        expected = whole[offset + 3 :][: len(whole) if count is None else count]
    headers = [] if count is None else [("Content-Length", str(len(expected)))]
    served = serve(wrapping(file, headers))
    answer = served.ask()
    assert content(answer) == expected
    assert answer.headers["Content-Length"] == str(len(expected))
    served.stop()
    assert file.closed


def test_files_that_are_no_plain_ones_are_read(serve: Callable[..., Served], numbers: Path) -> None:
    packed = numbers.with_suffix(".gz")
    packed.write_bytes(gzip.compress(numbers.read_bytes()))
    with gzip.open(packed) as file:  # its descriptor is the packed file's
        assert serve(wrapping(file)).get() == numbers.read_bytes()
    assert serve(wrapping(io.BytesIO(b"in memory"))).get() == b"in memory"
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    assert serve(wrapping(os.fdopen(reading, "rb"))).get() == b"from a pipe"


def test_temporary_files_are_sent(serve: Callable[..., Served]) -> None:
    named = tempfile.NamedTemporaryFile()  # noqa: SIM115  the server closes it
    named.write(b"hidden, shown")
    named.seek(8)
    assert serve(wrapping(named)).get() == b"shown"
    spooled = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    spooled.write(b"spooled")
    spooled.seek(0)
    assert serve(wrapping(spooled)).get() == b"spooled"


def test_a_file_shorter_than_announced_is_an_error(
    serve: Callable[..., Served], numbers: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(wrapping(numbers.open("rb"), [("Content-Length", "999999")]))
    with contextlib.suppress(ConnectionResetError, http.client.IncompleteRead):
        assert served.ask().status == 500  # nothing of it was sent before that was noticed
    served.stop()
    assert "shorter than its Content-Length" in caplog.text


def test_a_file_may_follow_what_was_written(serve: Callable[..., Served], numbers: Path) -> None:
    def application(environ: Environment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)(b"first, ")
        return environ["wsgi.file_wrapper"](numbers.open("rb"))  # type: ignore[no-any-return]

    assert serve(application).get() == b"first, " + numbers.read_bytes()


# ---- bodies of requests ------------------------------------------------------------------


def reading(read: Callable[[Any], Any]) -> Application:
    def application(environ: Environment, start_response: Any) -> list[bytes]:
        result = read(environ["wsgi.input"])
        start_response("200 OK", TEXT)
        return [result if isinstance(result, bytes) else repr(result).encode()]

    return application


@pytest.mark.parametrize("size", [20, 200_000, 1_500_000], ids=["here", "waited for", "streamed"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda body: body.read(),
        lambda body: body.read(-1),
        lambda body: b"".join(iter(lambda: body.read(7000), b"")),
        lambda body: b"".join(iter(body.readline, b"")),
        lambda body: b"".join(iter(lambda: body.readline(13), b"")),
        lambda body: b"".join(body.readlines()),
        lambda body: b"".join(body),
        lambda body: body.read(5) + body.readline() + body.read() + body.read(1),
    ],
)
def test_a_body_can_be_read_in_every_way(
    serve: Callable[..., Served], size: int, chunked: bool, read: Callable[[Any], bytes]
) -> None:
    line = b"0123456789" * 9 + b"\n"
    body = (line * (size // len(line) + 1))[:size]
    pieces: Any = (body[i : i + 50_000] for i in range(0, size, 50_000)) if chunked else body
    served = serve(reading(read))
    assert content(served.ask("/", "POST", pieces, encode_chunked=chunked)) == body


def test_a_hint_ends_the_lines(serve: Callable[..., Served]) -> None:
    served = serve(reading(lambda body: body.readlines(3)))
    assert content(served.ask("/", "POST", b"a\nb\nc\nd\n")) == b"[b'a\\n', b'b\\n']"
    served = serve(reading(lambda body: len(body.readlines(200_000))))
    assert content(served.ask("/", "POST", b"x" * 99 + b"\n" + b"y\n" * 999_999)) == b"99952"


def test_a_body_that_nobody_reads_is_passed_over(serve: Callable[..., Served]) -> None:
    served = serve(answering())
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    for size in (10, 60_000, 60_000):
        connection.request("POST", "/", b"x" * size)
        answer = connection.getresponse()
        assert answer.read() == b"ok"
    connection.close()


def test_a_fast_client_is_slowed_down(serve: Callable[..., Served]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def read(body: Any) -> int:
        begun.set()
        assert go_on.wait(PATIENCE)
        return sum(len(piece) for piece in iter(lambda: body.read(65536), b""))

    size = 256 << 20
    served = serve(reading(read), limits=HttpLimits(body_size=size))
    block = b"x" * (1 << 20)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % size)
        assert begun.wait(PATIENCE)
        client.settimeout(0.5)
        sent = 0
        try:
            while sent < size:
                sent += client.send(block)
        except TimeoutError:
            pass  # what is sent is not taken
        assert sent < size // 2
        client.settimeout(PATIENCE)
        go_on.set()
        while sent < size:
            sent += client.send(block[: size - sent])
        assert read_all(client).endswith(b"\r\n\r\n%d" % size)


def test_a_small_body_takes_no_thread_before_it_is_here(serve: Callable[..., Served]) -> None:
    served = serve(reading(lambda body: body.read()), threads=1)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: 6\r\n\r\nabc")
        for _ in range(3):
            assert content(served.ask("/", "POST", b"other")) == b"other"
        client.sendall(b"def")
        assert read_all(client).endswith(b"\r\n\r\nabcdef")
    assert served.handler.in_flight == 0


def test_too_many_small_bodies_are_read_while_they_come(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolanda.apps.wsgi.handler._SMALL_BODIES", 1000)
    served = serve(reading(lambda body: f"{type(body).__name__} {len(body.read())}".encode()))
    clients = [served.connect() for _ in range(2)]
    for client in clients:
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: 600\r\n\r\nabc")
        # So that the second finds the first waiting: they are served in the order of their heads.
        served.get()
    for client, kind in zip(clients, (b"BytesIO", b"BufferedReader"), strict=True):
        client.sendall(b"x" * 597)
        assert read_all(client).endswith(b"\r\n\r\n" + kind + b" 600")
        client.close()


@pytest.mark.parametrize("length", [100, 2 << 20])
def test_a_client_that_does_not_send_all_is_noticed(
    serve: Callable[..., Served], length: int
) -> None:
    failures: list[BaseException] = []
    begun, ended = threading.Event(), threading.Event()

    def application(environ: Environment, start_response: Any) -> list[bytes]:
        begun.set()
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            failures.append(error)
        ended.set()
        start_response("200 OK", TEXT)
        return [b"ok"]

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\nabc" % length)
        if length > SMALL_BODY:
            assert begun.wait(PATIENCE)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).startswith(b"HTTP/1.1 400 ")
    if length > SMALL_BODY:
        assert ended.wait(PATIENCE)
        assert [type(error) for error in failures] == [ClientDisconnected]
    else:  # the application has never seen it
        assert not begun.is_set()
    served.stop()
    assert served.handler.in_flight == 0
    assert served.all_threads_ended


@pytest.mark.parametrize("size", [3, 100_000])
def test_the_client_is_told_to_continue_when_somebody_reads(
    serve: Callable[..., Served], size: int
) -> None:
    go_on = threading.Event()

    def application(environ: Environment, start_response: Any) -> list[bytes]:
        assert go_on.wait(PATIENCE)
        body = environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return [b"%d" % len(body)]

    served = serve(application)
    with served.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n" % size
        )
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):  # nothing is said before somebody reads
            client.recv(1)
        client.settimeout(PATIENCE)
        go_on.set()
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"x" * size)
        assert read_all(client).endswith(b"\r\n\r\n%d" % size)


def test_a_client_is_not_told_to_continue_for_nothing(serve: Callable[..., Served]) -> None:
    served = serve(answering(status="403 Forbidden"))
    answer = served.raw(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close\r\n" in answer  # whether the body comes nobody knows


def test_a_body_can_be_answered_while_it_comes(serve: Callable[..., Served]) -> None:
    def application(environ: Environment, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for line in environ["wsgi.input"]:
            yield line.upper()

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one\n", b"two\n"):
            client.sendall(b"%x\r\n%b\r\n" % (len(word), word))
            read_until(client, word.upper())
        client.sendall(b"0\r\n\r\n")
        read_until(client, b"0\r\n\r\n")


def test_input_after_the_response_does_not_block(serve: Callable[..., Served]) -> None:
    failed = threading.Event()

    def application(environ: Environment, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"ok"
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected:
            failed.set()
            raise

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\nabc")
        read_until(client, b"\r\n\r\nok")
        assert failed.wait(PATIENCE)


def test_a_body_that_stops_coming_is_given_up(serve: Callable[..., Served]) -> None:
    limits = HttpLimits(body_timeout=0.2)
    served = serve(reading(lambda body: body.read()), limits=limits)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\nabc")
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


# ---- several at once ---------------------------------------------------------------------


def test_requests_on_one_connection_are_answered_in_their_order(
    serve: Callable[..., Served],
) -> None:
    def application(environ: Environment, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [f"[{environ['PATH_INFO']}]".encode()]

    served = serve(application)
    requests = [f"GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(50)]
    last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = served.raw("".join([*requests, last]).encode())
    expected = [f"[/{n}]".encode() for n in range(50)] + [b"[/last]"]
    assert re.findall(rb"\[/\w+\]", answers) == expected


def test_as_many_run_at_once_as_there_are_threads(serve: Callable[..., Served]) -> None:
    together = threading.Barrier(4, timeout=PATIENCE)
    names: set[str] = set()

    def application(environ: Environment, start_response: Any) -> list[bytes]:
        names.add(threading.current_thread().name)
        together.wait()
        start_response("200 OK", TEXT)
        return [b"ok"]

    served = serve(application, threads=4)
    clients = [served.connect() for _ in range(8)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    for client in clients:
        assert read_all(client).endswith(b"ok")
        client.close()
    assert names == {"WSGI-1", "WSGI-2", "WSGI-3", "WSGI-4"}


def test_one_after_the_other_needs_one_thread(serve: Callable[..., Served]) -> None:
    names: list[str] = []

    def application(environ: Environment, start_response: Any) -> list[bytes]:
        names.append(threading.current_thread().name)
        start_response("200 OK", TEXT)
        return [b"ok"]

    served = serve(application, threads=4)
    for _ in range(20):
        served.get()
        while served.handler.busy_threads:
            pass
    assert set(names) == {"WSGI-1"}


# ---- the log -----------------------------------------------------------------------------


def test_errors_are_lines_of_the_log(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    def application(environ: Environment, start_response: Any) -> list[bytes]:
        errors = environ["wsgi.errors"]
        print("one", "line", file=errors)
        errors.writelines(["another ", "line\n"])
        errors.write("the end of one")
        start_response("200 OK", TEXT)
        return [b"ok"]

    served = serve(application)
    served.get()
    served.stop()
    lines = [r.message for r in caplog.records if r.name == "yolanda.wsgi"]
    assert lines == ["one line", "another line", "the end of one"]
