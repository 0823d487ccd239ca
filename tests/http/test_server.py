"""Requests and responses over real sockets, for every dispatcher, with and without threads."""

import gc
import logging
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from yolanda.address import Address
from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop

KINDS = [(name, threads) for name in DISPATCHERS for threads in (0, 2)]
everywhere = pytest.mark.parametrize(("dispatcher", "threads"), KINDS)

H = b"Host: a\r\n"


def get(target: str = "/", fields: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\n" % target.encode() + H + fields + b"\r\n"


def post(body: bytes, target: str = "/") -> bytes:
    return (
        b"POST %b HTTP/1.1\r\n" % target.encode()
        + H
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )


def echo(request: HttpRequest, response: HttpResponse) -> None:
    """Say what was asked."""
    text = f"{request.method} {request.path}?{request.query} {request.version}\n"
    response.text(text + request.body.decode())


@everywhere
def test_a_connection_serves_many_requests(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    served = serve(echo, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        for number in range(20):
            answer = client.get(f"/{number}?q")
            assert answer.status == 200
            assert answer.text == f"GET /{number}?q HTTP/1.1\n"
            assert answer.get("Connection") == "Keep-Alive"
            assert [name for name, _ in answer.fields] == [
                "Content-Length",
                "Connection",
                "Date",
                "Server",
                "Content-Type",
            ]


@everywhere
def test_pipelined_requests_are_answered_in_order(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    served = serve(echo, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        requests = [get(f"/{n}") if n % 3 else post(b"x" * n, f"/{n}") for n in range(200)]
        client.send(b"".join(requests))
        for number in range(200):
            answer = client.read()
            method = "GET" if number % 3 else "POST"
            assert answer.text.startswith(f"{method} /{number}? HTTP/1.1\n")
            assert answer.text.count("x") == (0 if number % 3 else number)


@everywhere
def test_large_bodies_both_ways(serve: Callable[..., Any], dispatcher: str, threads: int) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.body = request.body

    served = serve(handler, dispatcher=dispatcher, threads=threads)
    body = bytes(range(256)) * 8192  # 2 MiB
    with served.connect() as client:
        for _ in range(2):
            sender = threading.Thread(target=client.send, args=(post(body),))
            sender.start()
            answer = client.read()
            sender.join()
            assert answer.body == body
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(body[i : i + 9999]), body[i : i + 9999])
            for i in range(0, len(body), 9999)
        )
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        sender = threading.Thread(target=client.send, args=(head + chunks + b"0\r\n\r\n",))
        sender.start()
        assert client.read().body == body
        sender.join()


@everywhere
def test_many_clients(serve: Callable[..., Any], dispatcher: str, threads: int) -> None:
    served = serve(echo, dispatcher=dispatcher, threads=threads)
    clients = [served.connect() for _ in range(30)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(get(f"/{number}/{turn}"))
        for number, client in enumerate(clients):
            assert client.read().text == f"GET /{number}/{turn}? HTTP/1.1\n"


@pytest.mark.parametrize(
    ("request_", "connection"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Keep-Alive"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close"),
        (b"GET / HTTP/1.0\r\n\r\n", "close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Keep-Alive"),
    ],
)
def test_keep_alive(serve: Callable[..., Any], request_: bytes, connection: str) -> None:
    served = serve(echo)
    with served.connect() as client:
        client.send(request_)
        assert client.read().get("Connection") == connection
        if connection == "close":
            assert client.at_end()
        else:
            assert client.get("/again").status == 200


@pytest.mark.parametrize("how", ["attribute", "field"])
def test_the_handler_may_close(serve: Callable[..., Any], how: str) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if how == "attribute":
            response.close = True
        else:
            response.headers["connection"] = "Close"

    served = serve(handler)
    with served.connect() as client:
        client.send(get() * 3)
        answer = client.read()
        assert answer.get_all("Connection") == ["close"]
        assert client.at_end()


def test_requests_in_pieces(serve: Callable[..., Any]) -> None:
    served = serve(echo)
    with served.connect() as client:
        for byte in get("/slow") + post(b"body", "/slow2"):
            client.send(bytes([byte]))
        assert client.read().text == "GET /slow? HTTP/1.1\n"
        assert client.read().text == "POST /slow2? HTTP/1.1\nbody"


def test_head(serve: Callable[..., Any]) -> None:
    served = serve(echo)
    with served.connect() as client:
        whole = client.get("/x")
        head = client.get("/x", method="HEAD")
        assert head.body == b""
        assert int(head.get("Content-Length")) == len(whole.body) + 1  # "HEAD" is longer
        assert client.get("/y").text == "GET /y? HTTP/1.1\n"


def test_options_of_the_server_itself(serve: Callable[..., Any]) -> None:
    served = serve(echo)
    with served.connect() as client:
        answer = client.get("*", method="OPTIONS")
        assert answer.status == 200
        assert answer.body == b""
        assert "GET" in str(answer.get("Allow"))
        assert client.get("/x", method="OPTIONS").text == "OPTIONS /x? HTTP/1.1\n"


def test_the_request_knows_its_peer(serve: Callable[..., Any]) -> None:
    served = serve(lambda request, response: response.text(str(request.peer_address)))
    with served.connect() as client:
        host, port = client.socket.getsockname()
        assert client.get().text == f"{host}:{port}"


def test_repeated_fields_reach_the_handler_in_order(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.json([request.headers.get_all("x"), request.headers["HOST"]])

    answer = serve(handler).get("/", "X: 1", "Y: 2", "x: 3")
    assert answer.text == '[["1", "3"], "test"]'
    assert answer.get("Content-Type") == "application/json"


# ---- exceptions ------------------------------------------------------------------------------


@everywhere
def test_an_exception_is_a_500_and_the_connection_goes_on(
    serve: Callable[..., Any], dispatcher: str, threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/bad":
            response.text("secret")
            raise LookupError("what the handler raised")

    served = serve(handler, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        client.send(get("/bad?x") + get("/good"))
        answer = client.read()
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert b"raised" not in answer.body
        assert answer.get("Connection") == "Keep-Alive"
        assert client.read().status == 200
    assert "GET /bad?x HTTP/1.1" in caplog.text
    assert "what the handler raised" in caplog.text


def test_an_exception_after_defer_is_answered_once(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[HttpResponse] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/bad":
            kept.append(response)
            response.defer()
            raise LookupError("after defer")
        response.text("good")

    served = serve(handler)
    with served.connect() as client:
        assert client.get("/bad").status == 500
        kept[0].text("late")
        kept[0].finish()
        kept[0].write("late")
        answer = client.get("/good")
        assert (answer.status, answer.text) == (200, "good")
        client.half_close()
        assert client.at_end()


@pytest.mark.parametrize("body", [5, object(), [1, 2], [None], iter([object()])])
def test_a_body_that_is_none_is_a_500(
    serve: Callable[..., Any], body: object, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/bad":
            response.body = body  # type: ignore[assignment]

    served = serve(handler)
    with served.connect() as client:
        if body == [None]:
            client.get("/bad")  # the end of the iteration, as it happens
        else:
            assert client.get("/bad").status == 500
            assert "GET /bad HTTP/1.1" in caplog.text
        assert client.get("/good").status == 200
        client.half_close()
        assert client.at_end()


# ---- an application cannot split a response --------------------------------------------------

SPLITS = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "a\0b",
    "\r\n\r\nHTTP/1.1 200 OK",
    "\u0100",
]


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("value", SPLITS)
@pytest.mark.parametrize("where", ["value", "add", "name", "content_type", "type field"])
def test_splitting(
    serve: Callable[..., Any],
    where: str,
    value: str,
    deferred: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path != "/bad":
            return
        if deferred:
            response.defer()
        response.body = b"body"
        if where == "value":
            response.headers["X-Name"] = value
        elif where == "add":
            response.headers.add("Set-Cookie", value)
        elif where == "name":
            response.headers[value] = "x"
        elif where == "type field":
            response.headers["Content-Type"] = value
        else:
            response.content_type = value
        if deferred:
            response.finish()

    served = serve(handler)
    with served.connect() as client:
        answer = client.get("/bad")
        assert answer.status == 500
        assert answer.get("X-Evil") is None
        assert client.get("/good").status == 200
    assert any(record.levelno >= logging.ERROR for record in caplog.records)
    assert "GET /bad HTTP/1.1" in caplog.text


@pytest.mark.parametrize(
    "status", [0, 99, 100, 101, 199, 600, -200, "200", "200 OK\r\nX: y", None, 2.5, b"200", [200]]
)
@pytest.mark.parametrize("kind", ["bytes", "iterable", "written", "deferred"])
def test_a_status_that_is_none_is_a_500(
    serve: Callable[..., Any], status: object, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/good":
            return
        response.status = status  # type: ignore[assignment]
        response.body = iter([b"x"]) if kind == "iterable" else b"x"
        if kind in ("written", "deferred"):
            response.defer()
            if kind == "written":
                response.write(b"x")
                response.write(b"y")
            response.finish()

    served = serve(handler)
    with served.connect() as client:
        assert client.get("/bad").status == 500
        assert client.get("/good").status == 200
        client.half_close()
        assert client.at_end()
    assert "GET /bad HTTP/1.1" in caplog.text


@pytest.mark.parametrize("name", ["Transfer-Encoding", "transfer-encoding"])
def test_an_application_does_not_frame(
    serve: Callable[..., Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers[name] = "chunked"

    assert serve(handler).get().status == 500


def test_a_content_length_that_is_not_true_is_not_sent(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers["Content-Length"] = "1000"
        response.body = b"abc"

    answer = serve(handler).get()
    assert answer.get_all("Content-Length") == ["3"]
    assert answer.body == b"abc"


# ---- deferred responses ----------------------------------------------------------------------


class Deferring:
    """Defers every response and keeps it."""

    def __init__(self) -> None:
        self.kept: dict[str, HttpResponse] = {}
        self.gone: list[str] = []
        self.arrived = threading.Condition()

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        path = request.path
        request.on_disconnect = lambda: self.note(path)
        with self.arrived:
            self.kept[path] = response
            self.arrived.notify_all()

    def note(self, path: str) -> None:
        with self.arrived:
            self.gone.append(path)
            self.arrived.notify_all()

    def wait_for(self, *paths: str) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: set(paths) <= set(self.kept), 20)

    def wait_gone(self, *paths: str) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: set(paths) <= set(self.gone), 20)

    def finish(self, path: str) -> None:
        self.kept[path].text(path)
        self.kept[path].finish()


@everywhere
def test_deferred_responses_from_another_thread(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    deferring = Deferring()
    served = serve(deferring, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        client.send(get("/0") + get("/1") + post(b"x", "/2"))
        for number in range(3):
            path = f"/{number}"
            deferring.wait_for(path)
            assert set(deferring.kept) == {f"/{n}" for n in range(number + 1)}  # one at a time
            deferring.finish(path)
            assert client.read().text == path
        assert not deferring.gone


@everywhere
def test_deferred_responses_of_several_connections_out_of_order(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    deferring = Deferring()
    served = serve(deferring, dispatcher=dispatcher, threads=threads)
    clients = {f"/{n}": served.connect() for n in range(6)}
    for path, client in clients.items():
        client.send(get(path))
    deferring.wait_for(*clients)
    finishers = [
        threading.Thread(target=deferring.finish, args=(path,)) for path in reversed(clients)
    ]
    for finisher in finishers:
        finisher.start()
    for finisher in finishers:
        finisher.join()
    for path, client in clients.items():
        assert client.read().text == path


def test_handlers_that_finish_within_threads_with_pipelining(serve: Callable[..., Any]) -> None:
    workers: list[threading.Thread] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path.endswith("5"):
            response.text(request.path)
            return
        response.defer()

        def work() -> None:
            response.text(request.path)
            response.finish()

        workers.append(threading.Thread(target=work))
        workers[-1].start()

    served = serve(handler)
    with served.connect() as client:
        client.send(b"".join(get(f"/{n}") for n in range(50)))
        for number in range(50):
            assert client.read().text == f"/{number}"
    for worker in workers:
        worker.join()


def test_finishing_twice_is_once(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        response.text(request.path)
        response.finish()
        response.finish()
        response.write("more")

    served = serve(handler)
    with served.connect() as client:
        client.send(get("/1") + get("/2"))
        assert client.read().text == "/1"
        assert client.read().text == "/2"
        client.half_close()
        assert client.at_end()


def test_writing_needs_a_deferred_response(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(lambda request, response: response.write("x"))
    assert served.get().status == 500
    assert "deferred" in caplog.text


@everywhere
@pytest.mark.parametrize("how", ["half-close", "reset", "close"])
def test_a_client_that_leaves_before_its_answer(
    serve: Callable[..., Any], dispatcher: str, threads: int, how: str, eventually: Any
) -> None:
    """A half-close is no farewell; a reset is one."""
    deferring = Deferring()
    served = serve(deferring, dispatcher=dispatcher, threads=threads)
    client = served.connect()
    client.send(get("/a"))
    deferring.wait_for("/a")
    if how == "half-close":
        client.half_close()
        deferring.finish("/a")
        assert client.read().text == "/a"
        assert client.at_end()
        assert not deferring.gone
    elif how == "reset":
        client.reset()
        deferring.wait_gone("/a")
        deferring.finish("/a")  # nothing happens
    else:
        client.socket.close()
        deferring.finish("/a")  # goes to nobody
    eventually(lambda: served.connections == 0)
    assert deferring.gone in ([], ["/a"])


def test_a_client_that_vanishes_frees_everything(
    serve: Callable[..., Any], eventually: Any
) -> None:
    deferring = Deferring()
    served = serve(deferring)
    client = served.connect()
    client.send(get("/a") + get("/b"))
    deferring.wait_for("/a")
    response = deferring.kept["/a"]
    references: list[Any] = [weakref.ref(response), weakref.ref(response.request)]
    references.append(weakref.ref(response.http_connection.connection))
    client.reset()
    deferring.wait_gone("/a")
    deferring.kept.clear()
    del response

    def all_freed() -> bool:
        gc.collect()
        return all(reference() is None for reference in references)

    eventually(all_freed)


def test_half_close_after_pipelined_requests(serve: Callable[..., Any]) -> None:
    deferring = Deferring()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/deferred":
            deferring(request, response)
        else:
            response.text(request.path)

    served = serve(handler)
    with served.connect() as client:
        client.send(get("/1") + get("/deferred") + get("/2") + post(b"x", "/3"))
        client.half_close()
        assert client.read().text == "/1"
        deferring.wait_for("/deferred")
        deferring.finish("/deferred")
        for path in ("/deferred", "/2", "/3"):
            assert client.read().text == path
        assert client.at_end()


def test_half_close_after_a_large_response(serve: Callable[..., Any]) -> None:
    served = serve(lambda request, response: setattr(response, "body", b"x" * 5_000_000))
    with served.connect(receive_buffer=4096) as client:
        client.send(get())
        client.half_close()
        assert client.read().body == b"x" * 5_000_000
        assert client.at_end()


# ---- addresses -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets here")
def test_a_local_socket(serve: Callable[..., Any], tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with EventLoop() as loop:
        server = HttpServer(f"unix:{path}", echo, loop=loop)
        server.start()
        replies: list[bytes] = []

        def ask() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(get("/local", b"Connection: close\r\n"))
                while piece := client.recv(65536):
                    replies.append(piece)
            loop.queue_in_loop(server.stop, 1.0, loop.stop)

        asker = threading.Thread(target=ask)
        asker.start()
        loop.run()
        asker.join()
        server.close()
    assert b"".join(replies).endswith(b"GET /local? HTTP/1.1\n")


def test_an_address_in_use(serve: Callable[..., Any]) -> None:
    served = serve(echo)
    with pytest.raises(OSError, match="in use"):
        HttpServer(str(served.address), echo)


def test_the_server_names_itself(serve: Callable[..., Any]) -> None:
    served = serve(echo, server_name="Example/1.0")
    assert served.get().get("Server") == "Example/1.0"
    assert serve(echo, server_name="").get().get("Server") is None
    assert isinstance(served.address, Address)
    assert str(served.address) in repr(served.server)
