"""ASGI's WebSocket: how it begins, what comes and goes, and how it ends."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from yolanda.apps.asgi.coroutine_runner import CoroutineRunner
from yolanda.apps.asgi.handler import AsgiHandler
from yolanda.apps.asgi.http import HttpExchange
from yolanda.apps.asgi.interface import HIGH_WATER, ClientDisconnected
from yolanda.apps.asgi.scope import ScopeMaker
from yolanda.http import HttpServer
from yolanda.reactor.event_loop import EventLoop

PATIENCE = 20.0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def noting(notes: list[Any], done: threading.Event) -> Any:
    """An application that accepts, and notes what comes until the end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            notes.append(message)
            if message["type"] == "websocket.disconnect":
                done.set()
                return

    return app


def _read_all(websocket: Any) -> None:
    while True:
        websocket.recv(PATIENCE)


def closed_with(error: pytest.ExceptionInfo[ConnectionClosed]) -> tuple[int, str]:
    received = error.value.rcvd
    assert received is not None
    return received.code, received.reason


# ---- beginning -----------------------------------------------------------------------------


def test_messages_come_back(serve):
    websocket = serve(echo).websocket()
    for message in ("text", "текст 漢字", "", b"bytes", b"", b"\0" * 70000):
        websocket.send(message)
        assert websocket.recv(PATIENCE) == message
    websocket.close()


def test_scope(serve):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "b"})
        await receive()

    served = serve(app, state={"pool": 1}, root_path="/mounted")
    websocket = served.websocket("/a%20b?q=%20", subprotocols=["a", "b"])
    assert websocket.subprotocol == "b"
    local = websocket.local_address
    scope = scopes[0]
    headers = dict(scope.pop("headers"))
    assert headers[b"sec-websocket-version"] == b"13"
    assert headers[b"upgrade"] == b"websocket"
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/mounted/a b",
        "raw_path": b"/mounted/a%20b",
        "query_string": b"q=%20",
        "root_path": "/mounted",
        "client": local,
        "server": ("127.0.0.1", served.port),
        "subprotocols": ["a", "b"],
        "state": {"pool": 1},
        "extensions": {"websocket.http.response": {}},
    }


def test_fields_of_the_application_and_of_the_server(serve):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept", "headers": [(b"x-one", b"1"), [b"x-two", b"2"]]})

    websocket = serve(app, fields=[(b"X-Always", b"yes")]).websocket()
    fields = websocket.response.headers
    assert (fields["x-one"], fields["x-two"], fields["x-always"]) == ("1", "2", "yes")


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": [(b"x", b"1\r\nY: 2")]},
        {"headers": [(b"sec-websocket-accept", b"1")]},
        {"subprotocol": "never offered"},
    ],
)
def test_an_answer_that_cannot_be_sent_is_the_application_s_error(serve, wrong):
    errors = []

    async def app(scope, receive, send):
        try:
            await send({"type": "websocket.accept", **wrong})
        except ValueError as error:
            errors.append(error)
        await send({"type": "websocket.close"})

    with pytest.raises(InvalidStatus) as refused:
        serve(app).websocket()
    assert refused.value.response.status_code == 403
    assert len(errors) == 1


def test_refusal(serve):
    messages = []
    done = threading.Event()

    async def app(scope, receive, send):
        messages.append(await receive())
        await send({"type": "websocket.close", "code": 4000})
        messages.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.accept"})
        done.set()

    with pytest.raises(InvalidStatus) as refused:
        serve(app, fields=[(b"x-always", b"yes")]).websocket()
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["x-always"] == "yes"
    assert done.wait(PATIENCE)
    assert messages[1]["type"] == "websocket.disconnect"


@pytest.mark.parametrize("pieces", [[b"please log in"], [b"please ", b"log ", b"in", b""]])
def test_denial_with_a_response(serve, pieces):
    async def app(scope, receive, send):
        assert "websocket.http.response" in scope["extensions"]
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"www-authenticate", b"Basic")],
            }
        )
        for number, piece in enumerate(pieces, 1):
            await asyncio.sleep(0)
            await send(
                {
                    "type": "websocket.http.response.body",
                    "body": piece,
                    "more_body": number < len(pieces),
                }
            )
        while (await receive())["type"] != "websocket.disconnect":
            pass

    with pytest.raises(InvalidStatus) as refused:
        serve(app).websocket()
    response = refused.value.response
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Basic"
    assert response.body == b"please log in"


def test_denial_is_no_way_to_send_anything_else(serve):
    errors = []

    async def app(scope, receive, send):
        for wrong in (
            {"type": "websocket.http.response.body", "body": b""},
            {"type": "http.response.start", "status": 200},
            {"type": "websocket.send", "text": "x"},
            {"type": "no such thing"},
        ):
            try:
                await send(wrong)
            except RuntimeError as error:
                errors.append(str(error))
        try:
            await send({"type": "websocket.http.response.start", "status": 99})
        except ValueError as error:
            errors.append(str(error))
        await send({"type": "websocket.http.response.start", "status": 404})
        for kind in ("websocket.accept", "http.response.pathsend", "websocket.close"):
            try:
                await send({"type": kind, "path": "/etc/passwd"})
            except RuntimeError as error:
                errors.append(str(error))
        await send({"type": "websocket.http.response.body", "body": b"not here"})

    with pytest.raises(InvalidStatus) as refused:
        serve(app).websocket()
    assert refused.value.response.body == b"not here"
    assert len(errors) == 8
    assert "'websocket.send' where websocket.accept, websocket.close or" in errors[2]


def test_error_before_it_is_accepted(serve, logged):
    async def app(scope, receive, send):
        await receive()
        if scope["path"] == "/late":
            await asyncio.sleep(0)
        raise LookupError("nothing")

    served = serve(app)
    for path in ("/", "/late"):
        with pytest.raises(InvalidStatus) as refused:
            served.websocket(path)
        assert refused.value.response.status_code == 500
        assert b"nothing" not in refused.value.response.body
    assert [text.startswith("the application raised for GET /") for text in logged()] == [True] * 2


def test_return_without_a_decision(serve, logged):
    async def app(scope, receive, send):
        await receive()

    with pytest.raises(InvalidStatus) as refused:
        serve(app).websocket()
    assert refused.value.response.status_code == 500
    assert "neither accepted nor refused" in logged()[0]


def test_client_that_goes_before_it_is_answered(serve, eventually):
    messages = []
    accepted = []
    done = threading.Event()

    async def app(scope, receive, send):
        messages.append(await receive())
        messages.append(await receive())
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            accepted.append(error)
        done.set()

    served = serve(app)
    client = served.connect()
    client.ask(
        "/",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    eventually(lambda: messages)
    client.reset()
    assert done.wait(PATIENCE)
    assert messages == [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1006, "reason": ""},
    ]
    assert isinstance(accepted[0], ClientDisconnected)


def test_request_that_is_none_does_not_reach_the_application(serve):
    served = serve(echo)
    client = served.connect()
    status, _ = client.get("/", "Connection: Upgrade", "Upgrade: websocket")
    assert status == 426
    client.ask("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    assert client.read()[0] == 400


# ---- messages ------------------------------------------------------------------------------


def test_what_comes_with_the_handshake_s_answer_pending(serve):
    notes, done = [], threading.Event()

    async def app(scope, receive, send):
        await asyncio.sleep(0)
        await noting(notes, done)(scope, receive, send)

    websocket = serve(app).websocket()
    websocket.send("at once")
    websocket.close(1000, "bye")
    assert done.wait(PATIENCE)
    assert notes == [
        {"type": "websocket.receive", "text": "at once"},
        {"type": "websocket.disconnect", "code": 1000, "reason": "bye"},
    ]


@pytest.mark.parametrize(
    "message",
    [{}, {"text": None, "bytes": None}, {"text": b"x"}, {"bytes": "x"}, {"bytes": 5}, {"text": 5}],
)
def test_message_that_is_none(serve, message):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        with pytest.raises(TypeError):
            await send({"type": "websocket.send", **message})
        with pytest.raises(RuntimeError, match=r"'websocket\.accept' where websocket\.send"):
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "still here"})

    assert serve(app).websocket().recv(PATIENCE) == "still here"


@pytest.mark.parametrize("key", ["bytes", "text"])
def test_none_stands_for_absence(serve, key):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": None})
        value = b"x" if key == "bytes" else "x"
        await send({"type": "websocket.send", "bytes": None, "text": None, key: value})

    assert serve(app).websocket().recv(PATIENCE) in ("x", b"x")


def test_client_that_sends_more_than_is_received_is_held_back(serve, eventually):
    begin = asyncio.Event()
    notes, done = [], threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await begin.wait()
        while (message := await receive())["type"] == "websocket.receive":
            notes.append(len(message["bytes"]))
        done.set()

    served = serve(app)
    websocket = served.websocket(compression=None)
    size, count = 20_000, 2_000

    sent = []

    def send():
        for _ in range(count):
            websocket.send(bytes(size))
            sent.append(size)
        websocket.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        connection = served.the_connection()
        eventually(lambda: not connection.reading)
        assert len(sent) < count
    finally:
        served.call(begin.set)
        thread.join(PATIENCE)
    assert done.wait(PATIENCE)
    assert notes == [size] * count


def test_many_tiny_messages_are_bounded_too(serve, eventually):
    begin = asyncio.Event()
    notes, done = [], threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await begin.wait()
        await noting(notes, done)(scope, lambda: receive(), _ignore)

    async def _ignore(message):
        pass

    served = serve(app)
    websocket = served.websocket(compression=None)
    for _ in range(5000):
        websocket.send("x")
    connection = served.the_connection()
    eventually(lambda: not connection.reading)
    served.call(begin.set)
    websocket.close()
    assert done.wait(PATIENCE)
    # The first is what `noting` takes for the beginning.
    assert notes[:-1] == [{"type": "websocket.receive", "text": "x"}] * 4999


def test_send_waits_for_a_client_that_takes_too_little(serve, eventually):
    sent = []
    done = threading.Event()

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        for _ in range(400):
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
            sent.append(1)
        done.set()

    served = serve(app)
    websocket = served.websocket(compression=None, max_queue=1)
    connection = served.the_connection()
    eventually(lambda: connection.queued > HIGH_WATER)
    # What is in flight is the kernel's buffers and a message above the mark.
    assert connection.queued < 2 * HIGH_WATER + 100_000
    assert not done.is_set()
    for _ in range(400):
        assert len(websocket.recv(PATIENCE)) == 100_000
    assert done.wait(PATIENCE)


def test_client_that_goes_while_send_waits(serve, eventually):
    errors = []
    done = threading.Event()

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError as error:
            errors.append(error)
            done.set()
            raise

    served = serve(app)
    websocket = served.websocket(compression=None, max_queue=1)
    connection = served.the_connection()
    eventually(lambda: connection.queued > HIGH_WATER)
    served.call(connection.abort)
    assert done.wait(PATIENCE)
    assert isinstance(errors[0], ClientDisconnected)
    with pytest.raises(ConnectionClosed):
        _read_all(websocket)


# ---- ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ((1000, ""), (1000, "")),
        ((4321, "weil"), (4321, "weil")),
        ((1001, "fort"), (1001, "fort")),
    ],
)
def test_client_closes(serve, client, told):
    notes, done = [], threading.Event()
    websocket = serve(noting(notes, done)).websocket()
    websocket.close(*client)
    assert done.wait(PATIENCE)
    assert notes == [{"type": "websocket.disconnect", "code": told[0], "reason": told[1]}]


def test_client_is_lost(serve):
    notes, done = [], threading.Event()
    served = serve(noting(notes, done))
    served.websocket()
    connection = served.the_connection()
    served.call(connection.abort)
    assert done.wait(PATIENCE)
    assert (notes[0]["type"], notes[0]["code"]) == ("websocket.disconnect", 1006)


def test_application_closes(serve):
    messages, errors = [], []
    done = threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last"})
        await send({"type": "websocket.close", "code": 4001, "reason": "that is all"})
        messages.append(await receive())
        for kind in ("websocket.send", "websocket.close"):
            try:
                await send({"type": kind, "text": "too late"})
            except OSError as error:
                errors.append(error)
        done.set()

    websocket = serve(app).websocket()
    assert websocket.recv(PATIENCE) == "last"
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(PATIENCE)
    assert closed_with(closed) == (4001, "that is all")
    assert done.wait(PATIENCE)
    assert messages == [{"type": "websocket.disconnect", "code": 4001, "reason": "that is all"}]
    assert len(errors) == 2


def test_application_returns(serve):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})

    with pytest.raises(ConnectionClosed) as closed:
        serve(app).websocket().recv(PATIENCE)
    assert closed_with(closed) == (1000, "")


def test_application_raises(serve, logged):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await receive()
        await receive()
        raise LookupError("secret")

    websocket = serve(app).websocket()
    websocket.send("x")
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(PATIENCE)
    assert closed_with(closed) == (1011, "")
    assert "the application raised" in logged()[0]


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (1000, "x" * 124)])
def test_close_that_cannot_be_sent(serve, code, reason):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        with pytest.raises(ValueError, match=r"closed with the code|a reason has at most"):
            await send({"type": "websocket.close", "code": code, "reason": reason})
        await send({"type": "websocket.close", "code": 1000, "reason": None})

    with pytest.raises(ConnectionClosed) as closed:
        serve(app).websocket().recv(PATIENCE)
    assert closed_with(closed) == (1000, "")


def test_send_after_the_client_has_closed(serve, logged):
    errors = []
    done = threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "x"})
        except Exception as error:
            errors.append(error)
            raise
        finally:
            done.set()

    served = serve(app)
    served.websocket().close()
    assert done.wait(PATIENCE)
    assert isinstance(errors[0], OSError)
    served.call(lambda: None)
    assert logged() == []  # it is nobody's mistake


def test_server_stops(serve):
    notes, done = [], threading.Event()
    served = serve(noting(notes, done))
    websocket = served.websocket()
    served.stop_gracefully()
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(PATIENCE)
    assert closed_with(closed)[0] == 1001
    assert done.wait(PATIENCE)
    assert notes[0]["code"] == 1001
    assert served.stopped.wait(PATIENCE)


def test_send_while_the_server_stops(serve):
    errors = []
    done = threading.Event()
    go = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError as error:
            errors.append(error)
        done.set()

    served = serve(app)
    served.websocket()

    def stop() -> None:
        served.server.stop(PATIENCE, served.stopped.set)
        go.set()

    served.call(stop)
    assert done.wait(PATIENCE)
    assert isinstance(errors[0], ClientDisconnected)


def test_accepted_while_the_server_stops(serve):
    go = asyncio.Event()
    begun = threading.Event()
    notes, done = [], threading.Event()

    async def app(scope, receive, send):
        begun.set()
        await go.wait()
        await noting(notes, done)(scope, receive, send)

    served = serve(app)
    results = []

    def ask():
        websocket = served.websocket()
        try:
            websocket.recv(PATIENCE)
        except ConnectionClosed as error:
            results.append(error.rcvd.code)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(PATIENCE)
    served.stop_gracefully()
    served.call(go.set)
    thread.join(PATIENCE)
    assert results == [1001]
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("accepted", [True, False])
def test_cancelled(serve, accepted):
    begun = threading.Event()
    cancelled = []

    async def app(scope, receive, send):
        if accepted:
            await send({"type": "websocket.accept"})
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    served = serve(app)
    results = []

    def ask():
        try:
            served.websocket().recv(PATIENCE)
        except ConnectionClosed as error:
            results.append(error.rcvd.code)
        except InvalidStatus as error:
            results.append(error.response.status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(PATIENCE)
    served.call(served.runner.cancel)
    thread.join(PATIENCE)
    assert results == [1012 if accepted else 503]
    assert cancelled == [1]


# ---- options -------------------------------------------------------------------------------


def test_message_above_the_limit(serve):
    notes, done = [], threading.Event()
    websocket = serve(noting(notes, done), max_size=1000).websocket(compression=None)
    websocket.send("x" * 1000)
    websocket.send("x" * 1001)
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(PATIENCE)
    assert closed_with(closed)[0] == 1009
    assert done.wait(PATIENCE)
    assert [n["type"] for n in notes] == ["websocket.receive", "websocket.disconnect"]
    assert notes[1]["code"] == 1009


@pytest.mark.parametrize("on", [True, False])
def test_compression(serve, on):
    websocket = serve(echo, per_message_deflate=on).websocket()
    names = [extension.name for extension in websocket.protocol.extensions]
    assert names == (["permessage-deflate"] if on else [])
    websocket.send("x" * 10_000)
    assert websocket.recv(PATIENCE) == "x" * 10_000


def test_silent_client_is_asked_whether_it_lives(serve):
    notes, done = [], threading.Event()
    served = serve(noting(notes, done), ping_interval=0.05, ping_timeout=0.05)
    client = served.connect()
    client.ask(
        "/",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    client.begin()
    assert client.file.read(2) == b"\x89\0"  # a ping, which is not answered
    assert done.wait(PATIENCE)
    assert notes[0]["code"] == 1011


# ---- without the library -------------------------------------------------------------------


def test_without_the_library_it_is_a_request_like_others(loop_factory, caplog):
    """RFC 9110, 7.8: a server may ignore the wish to upgrade."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope["type"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"plain"})

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.write(request + request.replace(b"Upgrade\r\nUp", b"Upgrade, close\r\nUp"))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> bytes:
        outer = asyncio.get_running_loop()
        runner = CoroutineRunner(outer)
        with EventLoop("epoll") as loop:
            outer.add_reader(loop.fileno(), loop.run_once, 0)
            server = HttpServer(
                "127.0.0.1:0",
                AsgiHandler(app, runner, ScopeMaker()),
                loop=loop,
                streaming=True,
                response_class=HttpExchange,
            )
            server.start()
            answer = await asyncio.wait_for(ask(server.address.port), PATIENCE)
            await runner.close()
            server.close()
            loop.run_once(0)
            outer.remove_reader(loop.fileno())
        return answer

    with caplog.at_level(logging.WARNING), asyncio.Runner(loop_factory=loop_factory) as runner:
        answer = runner.run(main())
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert scopes == ["http", "http"]
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 1
    assert "pip install 'yolanda[websocket]'" in texts[0]
