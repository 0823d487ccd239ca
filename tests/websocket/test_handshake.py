"""What is asked, accepted and refused."""

import threading
from typing import Any

import pytest
from websockets.sync.client import connect

from yolanda.http import HttpRequest, HttpResponse
from yolanda.websocket import (
    WebSocket,
    WebSocketHandshake,
    accept_websocket,
    is_websocket,
    origin_is_own,
    receive_handshake,
)

OFFER = [
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def ask(served: Any, *fields: str, line: str = "GET / HTTP/1.1") -> Any:
    """A request of these fields; the peer, which has read the head of the answer."""
    peer = served.connect()
    peer.send("\r\n".join([line, *fields, "", ""]).encode())
    while b"\r\n\r\n" not in peer.data:
        peer._receive()
    peer.head, _, peer.data = peer.data.partition(b"\r\n\r\n")
    return peer


def test_the_example_of_the_rfc(serve: Any) -> None:
    peer = ask(serve(), *OFFER)
    assert peer.status == 101
    assert peer.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert peer.field("Upgrade") == "websocket"
    assert peer.field("Connection") == "Upgrade"
    assert peer.field("Sec-WebSocket-Extensions") is None
    assert peer.field("Sec-WebSocket-Protocol") is None


def test_the_library_shakes_hands(serve: Any) -> None:
    with connect(f"ws://{serve().server.address}/") as client:
        client.send("hello")
        assert client.recv() == "hello"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"Sec-WebSocket-Version": None}, 426, ("Sec-WebSocket-Version", "13")),
        ({"Sec-WebSocket-Version": "8"}, 426, ("Sec-WebSocket-Version", "13")),
        ({"Upgrade": None}, 426, ("Upgrade", "websocket")),
        ({"Upgrade": "h2c"}, 426, ("Upgrade", "websocket")),
        ({"Connection": "keep-alive"}, 426, ("Upgrade", "websocket")),
        ({"Sec-WebSocket-Key": None}, 400, None),
        ({"Sec-WebSocket-Key": "short"}, 400, None),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==x"}, 400, None),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZ\xe9=="}, 400, None),
        ({"Sec-WebSocket-Extensions": "=,;"}, 400, None),
        ({"Sec-WebSocket-Protocol": "a b"}, 400, None),
    ],
)
def test_what_is_no_handshake_is_refused(
    serve: Any, change: dict[str, str | None], status: int, field: tuple[str, str] | None
) -> None:
    fields = [line for line in OFFER if line.partition(":")[0] not in change]
    fields += [f"{name}: {value}" for name, value in change.items() if value is not None]
    served = serve()
    peer = ask(served, *fields)
    assert peer.status == status
    if field is not None:
        assert peer.field(field[0]) == field[1]
    assert not served.websockets


@pytest.mark.parametrize("name", ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: x"])
def test_a_field_that_stands_there_once(serve: Any, name: str) -> None:
    fields = [line for line in OFFER if not line.startswith("Sec-WebSocket-Key")]
    key = [] if name.startswith("Sec") else [OFFER[-1]]
    assert ask(serve(), *fields, *key, name, name).status == 400


def test_another_method_is_refused(serve: Any) -> None:
    peer = ask(serve(), *OFFER, "Content-Length: 0", line="POST / HTTP/1.1")
    assert (peer.status, peer.field("Allow")) == (405, "GET")


def test_http_1_0_knows_no_upgrade(serve: Any) -> None:
    assert ask(serve(), *OFFER, line="GET / HTTP/1.0").status == 426


def test_names_and_values_in_any_case_and_company(serve: Any) -> None:
    fields = [
        "host: a",
        "CONNECTION: keep-alive, upGrade",
        "UPGRADE: WebSocket",
        "SEC-WEBSOCKET-VERSION: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    assert ask(serve(), *fields).status == 101


def test_a_refused_client_may_ask_again(serve: Any) -> None:
    peer = ask(serve(), *OFFER[:3], OFFER[4])
    assert peer.status == 426
    assert peer._take(int(peer.field("Content-Length"))) == b"the version is 13\n"
    assert peer.shake().status == 101


# ---- subprotocols, origins, fields -----------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["a, b, c"], "b"),
        (["c", "b"], "b"),
        (["c"], "c"),
        (["d, e"], None),
        ([], None),
    ],
)
def test_the_server_prefers(serve: Any, offered: list[str], chosen: str | None) -> None:
    served = serve(subprotocols=["b", "c"])
    peer = ask(served, *OFFER, *(f"Sec-WebSocket-Protocol: {value}" for value in offered))
    assert peer.status == 101
    assert peer.field("Sec-WebSocket-Protocol") == chosen
    assert served.websockets[0].subprotocol == chosen


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://here.example", 101), ("https://evil.example", 403), ("null", 403), (None, 101)],
)
def test_origins(serve: Any, origin: str | None, status: int) -> None:
    served = serve(origins=["https://here.example"])
    fields = [] if origin is None else [f"Origin: {origin}"]
    assert ask(served, *OFFER, *fields).status == status


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://a:80", "a:80", True),
        ("https://a", "a", True),
        ("https://b", "a", False),
        ("https://a.evil", "a", False),
        ("null", "a", False),
        (None, "a", True),
        ("https://", "", False),
        ("https://[::1", "a", False),
    ],
)
def test_an_own_origin(serve: Any, origin: str | None, host: str, own: bool) -> None:
    seen: list[bool] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        seen.append(origin_is_own(request))

    fields = ["" if origin is None else f"Origin: {origin}"]
    ask(serve(handler), f"Host: {host}", *filter(None, fields))
    assert seen == [own]


def test_fields_of_the_application(serve: Any) -> None:
    peer = ask(serve(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]), *OFFER)
    assert peer.head.count(b"\r\nSet-Cookie: ") == 2


def test_what_cannot_be_accepted(serve: Any) -> None:
    errors: list[str] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        handshake = receive_handshake(request, response)
        assert handshake is not None
        for wrong in (
            {"subprotocol": "unasked"},
            {"headers": [("Upgrade", "h2c")]},
            {"headers": [("X", "a\r\nY: b")]},
        ):
            with pytest.raises(ValueError) as caught:  # noqa: PT011  the texts are looked at below
                handshake.accept(**wrong)  # type: ignore[arg-type]
            errors.append(str(caught.value))
        handshake.accept()
        for again in (handshake.accept, handshake.refuse):
            with pytest.raises(RuntimeError, match="before"):
                again()

    assert ask(serve(handler), *OFFER).status == 101
    assert ["unasked" in errors[0], "Upgrade" in errors[1], "X" in errors[2]] == [True] * 3


def test_is_websocket(serve: Any) -> None:
    seen: list[bool] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        seen.append(is_websocket(request))

    served = serve(handler)
    for fields in (OFFER, OFFER[:3], OFFER[:1], [*OFFER[:2], "Upgrade: h2c"]):
        ask(served, *fields)
    assert seen == [True, True, False, False]


# ---- later, and from elsewhere ---------------------------------------------------------------


class Waiting:
    """A handler that decides nothing."""

    def __init__(self) -> None:
        self.handshake: WebSocketHandshake
        self.asked = threading.Event()
        self.gone = threading.Event()

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        handshake = receive_handshake(request, response)
        assert handshake is not None
        handshake.on_gone(self.gone.set)
        self.handshake = handshake
        self.asked.set()


def test_accepted_later_by_another_thread(serve: Any, wire: Any) -> None:
    waiting = Waiting()
    served = serve(waiting)
    peer = served.connect()
    peer.send("\r\n".join(["GET / HTTP/1.1", *OFFER, "", ""]).encode())
    peer.send(wire.frame(wire.TEXT, b"too early, and kept"))
    assert waiting.asked.wait(20)
    websocket = waiting.handshake.accept(on_message=served.on_message, on_closed=served.on_closed)
    websocket.send("first")
    while b"\r\n\r\n" not in peer.data:
        peer._receive()
    peer.head, _, peer.data = peer.data.partition(b"\r\n\r\n")
    assert peer.status == 101
    assert {peer.read()[1], peer.read()[1]} == {b"first", b"too early, and kept"}


@pytest.mark.parametrize("body", [None, "no\n", b"no\n"])
def test_refused_later_by_another_thread(serve: Any, body: str | bytes | None) -> None:
    waiting = Waiting()
    served = serve(waiting)
    peer = served.connect()
    peer.send("\r\n".join(["GET / HTTP/1.1", *OFFER, "", ""]).encode())
    assert waiting.asked.wait(20)
    waiting.handshake.refuse(401, body, [("WWW-Authenticate", "Basic")])
    while b"\r\n\r\n" not in peer.data:
        peer._receive()
    peer.head, _, peer.data = peer.data.partition(b"\r\n\r\n")
    assert (peer.status, peer.field("WWW-Authenticate")) == (401, "Basic")
    expected = b"401 Unauthorized\n" if body is None else b"no\n"
    assert peer._take(int(peer.field("Content-Length"))) == expected


def test_a_refusal_in_pieces(serve: Any) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        assert receive_handshake(request, response) is not None
        response.status = 503
        response.write("not ")
        response.write("now")
        response.finish()

    peer = ask(serve(handler), *OFFER)
    assert (peer.status, peer.field("Transfer-Encoding")) == (503, "chunked")
    assert peer._take(22) == b"4\r\nnot \r\n3\r\nnow\r\n0\r\n\r\n"


def test_a_client_that_does_not_wait_for_the_decision(serve: Any) -> None:
    waiting = Waiting()
    served = serve(waiting)
    peer = served.connect()
    peer.send("\r\n".join(["GET / HTTP/1.1", *OFFER, "", ""]).encode())
    assert waiting.asked.wait(20)
    peer.reset()
    assert waiting.gone.wait(20)
    websocket = waiting.handshake.accept(on_closed=served.on_closed)
    websocket.send("nobody listens")
    served.wait_for("closed", 1006)
    served.settle()
    assert len(served.events) == 1


def test_a_handler_that_accepts_and_raises(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        accept_websocket(request, response, on_closed=served.on_closed)
        raise KeyError("after all")

    served = serve(handler)
    assert ask(served, *OFFER).status == 500
    served.wait_for("closed", 1006)
    assert "after all" in caplog.text


def test_no_hook_is_called_before_accept_returns(serve: Any, wire: Any) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        websocket = accept_websocket(request, response)
        assert isinstance(websocket, WebSocket)
        websocket.on_open = lambda websocket: served.events.append(("open",))
        websocket.on_message = served.on_message

    served = serve(handler)
    peer = served.shake(more=wire.frame(wire.TEXT, b"at once"))
    assert peer.read() == (wire.TEXT, b"at once")
    assert served.events == [("open",), ("message", "at once")]
