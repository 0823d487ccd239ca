"""How a WebSocket begins, is kept alive, is held back and ends."""

import contextlib
import gc
import socket
import threading
import time
import weakref
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect

from yolanda.websocket import WebSocket, WebSocketState, receive_handshake

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# ---- the closing handshake -------------------------------------------------------------------


def test_the_server_closes(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    served.call(served.websockets[0].close, 4001, "enough")
    assert peer.read() == (CLOSE, b"\x0f\xa1enough")
    assert served.websockets[0].state is WebSocketState.CLOSING
    assert ("closed", 4001, "enough") not in served.events  # the client has not answered yet
    peer.send(wire.close(4001, "enough"))
    peer.assert_end()
    served.wait_for("closed", 4001, "enough")
    peer.socket.close()
    served.wait_empty()


def test_both_close_at_the_same_time(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    served.call(served.websockets[0].close, 4001, "mine")
    peer.send(wire.close(4002, "yours"))
    assert peer.read_close() == (4001, "mine")
    served.wait_for("closed", 4002, "yours")


def test_what_was_sent_before_a_close_comes_before_it(serve: Any) -> None:
    served = serve()
    with connect(f"ws://{served.server.address}/") as client:
        served.wait_for("open")
        websocket = served.websockets[0]
        for number in range(100):
            websocket.send(f"{number}")  # from this thread
        websocket.close(1000, "done")
        websocket.send("too late")
        assert list(client) == [f"{number}" for number in range(100)]
        assert (client.close_code, client.close_reason) == (1000, "done")
    served.wait_for("closed", 1000, "done")


def test_a_client_that_does_not_answer_a_close(serve: Any, wire: Any) -> None:
    served = serve(close_timeout=0.1)
    peer = served.shake()
    served.call(served.websockets[0].close)
    assert peer.read() == (CLOSE, b"\x03\xe8")
    with pytest.raises(ConnectionResetError):
        peer.read()
    served.wait_for("closed", 1006)


def test_a_client_that_does_not_end_its_stream(serve: Any, wire: Any) -> None:
    served = serve(close_timeout=0.1)
    peer = served.shake()
    peer.send(wire.close(1000))
    assert peer.read_close() == (1000, "")
    served.wait_for("closed", 1000)
    served.wait_empty()


def test_a_client_that_sends_on_after_the_end(serve: Any, wire: Any) -> None:
    served = serve(close_timeout=0.3)
    peer = served.shake()
    peer.send(wire.close(1000))
    assert peer.read_close() == (1000, "")
    much = wire.frame(BINARY, b"x" * 1000) * 1000
    with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012  sooner or later
        while True:
            peer.send(much)
    served.wait_empty()
    assert served.events == [("open",), ("closed", 1000, "")]


def test_messages_that_come_after_our_close_are_not_delivered(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    served.call(served.websockets[0].close)
    peer.send(wire.frame(TEXT, b"on its way") + wire.close(1000))
    assert peer.read_close() == (1000, "")
    served.wait_for("closed", 1000)
    assert served.events == [("open",), ("closed", 1000, "")]


def test_a_close_from_the_message_hook(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    served.websockets[0].on_message = lambda websocket, message: websocket.close(3000, message)
    peer.send(wire.frame(TEXT, b"one") + wire.frame(TEXT, b"two") + wire.close(1000))
    assert peer.read_close() == (1000, "")  # the client's own Close had come with it
    served.wait_for("closed", 1000)


def test_close_is_harmless_when_repeated(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    websocket = served.websockets[0]
    for _ in range(3):
        websocket.close(1001)
    peer.send(wire.close(1001))
    assert peer.read_close() == (1001, "")
    served.wait_for("closed", 1001)
    websocket.close()
    websocket.ping()
    websocket.send("nobody")
    websocket.abort()
    served.settle()
    assert [event[0] for event in served.events] == ["open", "closed"]


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2000, 5000])
def test_codes_that_may_not_be_sent(serve: Any, code: int) -> None:
    served = serve()
    served.shake()
    with pytest.raises(ValueError, match=str(code)):
        served.websockets[0].close(code)


def test_what_cannot_be_sent(serve: Any) -> None:
    served = serve()
    served.shake()
    websocket = served.websockets[0]
    with pytest.raises(ValueError, match="123 bytes, not 124"):
        websocket.close(1000, "r" * 124)
    with pytest.raises(ValueError, match="125 bytes, not 126"):
        websocket.ping(b"p" * 126)
    with pytest.raises(TypeError, match="str or bytes, not int"):
        websocket.send(5)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        websocket.send("\ud800")


# ---- ends that nobody has agreed upon --------------------------------------------------------


@pytest.mark.parametrize("end", ["reset", "close", "half"])
@pytest.mark.parametrize("begun", [b"", b"\x81", b"\x81\xfe\x10\x00\0\0\0\0half a"])
def test_a_client_that_is_killed(serve: Any, end: str, begun: bytes) -> None:
    served = serve()
    peer = served.shake()
    peer.send(begun)
    served.settle()
    if end == "reset":
        peer.reset()
    elif end == "close":
        peer.socket.close()
    else:
        peer.socket.shutdown(socket.SHUT_WR)
        with peer:
            assert peer.socket.recv(1) == b""
    served.wait_for("closed", 1006)
    served.wait_empty()
    assert [event[0] for event in served.events] == ["open", "closed"]


def test_the_server_aborts(serve: Any) -> None:
    served = serve()
    peer = served.shake()
    served.websockets[0].abort()
    with pytest.raises(ConnectionResetError):
        peer.read()
    served.wait_for("closed", 1006)


def test_the_server_stops(serve: Any) -> None:
    served = serve()
    with connect(f"ws://{served.server.address}/") as client:
        served.wait_for("open")
        served.server.stop(20)
        with pytest.raises(ConnectionClosedOK):
            client.recv()
        assert (client.close_code, client.close_reason) == (1001, "the server stops")
    assert served.stopped.wait(20)
    assert served.events == [("open",), ("closed", 1001, "the server stops")]


def test_the_server_stops_and_the_client_does_not_mind(serve: Any) -> None:
    served = serve(close_timeout=0.1)
    peer = served.shake()
    served.server.stop(20)
    assert peer.read()[0] == CLOSE
    assert served.stopped.wait(20)
    assert served.events[-1][:2] == ("closed", 1006)


def test_a_stop_while_a_handshake_is_being_decided(serve: Any, eventually: Any) -> None:
    handshakes: list[Any] = []
    served = serve(
        lambda request, response: handshakes.append(receive_handshake(request, response))
    )
    peer = served.connect()
    peer.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    eventually(lambda: handshakes)
    served.server.stop(20)
    served.settle()
    handshakes[0].accept(on_closed=served.on_closed)
    while b"\r\n\r\n" not in peer.data:
        peer._receive()
    peer.data = peer.data.partition(b"\r\n\r\n")[2]
    assert peer.read() == (CLOSE, b"\x03\xe9the server stops")
    peer.socket.close()
    assert served.stopped.wait(20)


@pytest.mark.parametrize("hook", ["on_open", "on_message", "on_pong", "on_closed"])
def test_a_hook_that_raises_ends_its_websocket_alone(
    serve: Any, wire: Any, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(websocket: WebSocket, *_: object) -> None:
        raise KeyError("of the hook")

    def handler(request: Any, response: Any) -> None:
        served.accept(request, response)
        if request.path == "/failing":
            setattr(served.websockets[-1], hook, fail)

    served = serve(handler)
    other = served.shake()
    peer = served.shake("/failing")
    if hook == "on_closed":
        peer.send(wire.close(1000))
        assert peer.read_close() == (1000, "")
    else:
        if hook != "on_open":
            peer.send(wire.frame(TEXT if hook == "on_message" else PONG, b"x"))
        assert peer.read_close() == (1011, "")
        served.wait_for("closed", 1011)
    served.settle()
    assert "of the hook" in caplog.text
    other.send(wire.frame(TEXT, b"fine"))
    assert other.read() == (TEXT, b"fine")


# ---- signs of life ---------------------------------------------------------------------------


def test_a_silent_client_is_asked(serve: Any, wire: Any) -> None:
    served = serve(ping_interval=0.1, ping_timeout=None)
    peer = served.shake()
    for _ in range(3):
        assert peer.read() == (PING, b"")
        peer.send(wire.frame(PONG))


def test_a_client_that_talks_is_not_asked(serve: Any, wire: Any) -> None:
    served = serve(ping_interval=0.5, ping_timeout=0.5)
    peer = served.shake()
    end = time.monotonic() + 1.2
    count = 0
    while time.monotonic() < end:
        peer.send(wire.frame(TEXT, b"still here"))
        opcode, _ = peer.read()
        if opcode == TEXT:
            count += 1
        else:  # this machine was slower than half a second
            assert opcode == PING
            peer.send(wire.frame(PONG))
    assert count
    assert served.websockets[0].open


def test_a_dead_client_is_given_up(serve: Any, wire: Any) -> None:
    served = serve(ping_interval=0.05, ping_timeout=0.1, close_timeout=0.1)
    peer = served.shake()
    served.wait_for("closed", 1011, "no answer to a ping")
    served.wait_empty()
    assert peer.read() == (PING, b"")


def test_a_client_that_is_not_listened_to_is_not_given_up(serve: Any, wire: Any) -> None:
    served = serve(ping_interval=0.05, ping_timeout=0.05)
    peer = served.shake()
    served.call(served.websockets[0].pause_reading)
    passed = threading.Event()
    served.call(served.loop.call_later, 0.4, passed.set)
    assert passed.wait(20)
    assert served.websockets[0].open
    served.call(served.websockets[0].resume_reading)
    peer.send(wire.frame(TEXT, b"hello"))
    opcode, data = peer.read()
    while opcode == PING:
        peer.send(wire.frame(PONG))
        opcode, data = peer.read()
    assert (opcode, data) == (TEXT, b"hello")


def test_a_ping_of_the_application(serve: Any) -> None:
    served = serve()
    with connect(f"ws://{served.server.address}/") as client:
        served.wait_for("open")
        served.websockets[0].ping(b"are you there")
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.01)
        served.wait_for("pong", b"are you there")


# ---- held back -------------------------------------------------------------------------------


def test_reading_is_paused_and_nothing_is_lost(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    websocket = served.websockets[0]

    def one(websocket: WebSocket, message: Any) -> None:
        served.events.append(("message", message))
        websocket.pause_reading()

    websocket.on_message = one
    peer.send(b"".join(wire.frame(TEXT, b"%d" % n) for n in range(5)) + wire.frame(PING, b"p"))
    peer.send(wire.close(4000, "end"))
    assert peer.read() == (PONG, b"p")
    for number in range(5):
        served.wait_for("message", f"{number}")
        served.settle()
        expected = [("open",), *(("message", f"{n}") for n in range(number + 1))]
        assert served.events == expected
        served.call(websocket.resume_reading)
    served.wait_for("closed", 4000, "end")
    assert peer.read_close() == (4000, "end")


def test_an_end_of_its_own_is_told_though_reading_is_paused(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    websocket = served.websockets[0]
    websocket.on_message = lambda websocket, message: websocket.pause_reading()
    peer.send(wire.frame(TEXT, b"1") + wire.frame(TEXT, b"held"))
    served.settle()
    served.call(websocket.close, 4000)
    peer.send(wire.close(4000))
    served.wait_for("closed", 4000)


def test_nobody_wants_what_is_held_any_more(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    websocket = served.websockets[0]
    websocket.on_message = lambda websocket, message: websocket.pause_reading()
    peer.send(wire.frame(TEXT, b"1") + wire.frame(TEXT, b"held") + wire.close(4000))
    assert peer.read_close()[0] == 4000
    assert ("closed", 4000, "") not in served.events
    websocket.close()
    served.wait_for("closed", 4000)


def test_a_client_that_takes_nothing_is_not_sent_without_end(serve: Any) -> None:
    served = serve(max_queued=1 << 20)
    peer = served.connect(receive_buffer=4096).shake()
    websocket = served.websockets[0]
    most = 0

    def flood() -> None:
        nonlocal most
        for _ in range(2000):
            websocket.send(b"x" * 65536)
            most = max(most, websocket.queued)

    served.call(flood)
    assert most < (1 << 20) + 65536 + 20
    served.wait_for("closed", 1006)
    assert "max_queued" in served.events[-1][2]
    with pytest.raises(ConnectionResetError):  # noqa: PT012  behind what had been sent
        while True:
            peer.read()


def test_a_client_that_asks_and_does_not_take_is_held_back(serve: Any, wire: Any) -> None:
    served = serve(high_water=100_000, low_water=10_000)
    peer = served.connect(receive_buffer=4096).shake()
    peer.socket.settimeout(0.1)
    websocket = served.websockets[0]
    one = wire.frame(BINARY, b"x" * 65536)
    sent = 0
    while served.call(lambda: websocket.connection.reading):
        with contextlib.suppress(TimeoutError):
            sent += peer.socket.send(memoryview(one)[sent % len(one) :])
        assert sent < 1 << 30
    assert served.call(lambda: websocket.queued) < 100_000 + 3 * 65536
    assert websocket.open


def test_a_client_that_asks_much_at_once_gets_it_all(serve: Any, wire: Any) -> None:
    served = serve(high_water=200_000, low_water=1000, max_queued=2_000_000)
    peer = served.connect(receive_buffer=4096).shake()
    big = "x" * 1_000_000
    served.websockets[0].on_message = lambda websocket, message: websocket.send(message + big)
    peer.send(b"".join(wire.frame(TEXT, b"%d" % n) for n in range(10)) + wire.close(1000))
    for number in range(10):
        assert peer.read() == (TEXT, (f"{number}" + big).encode())
        if number == 0:
            assert ("closed", 1000, "") not in served.events
    assert peer.read_close() == (1000, "")
    served.wait_for("closed", 1000)


def test_a_client_that_asks_much_and_is_gone(serve: Any, wire: Any) -> None:
    served = serve(high_water=200_000, low_water=1000, close_timeout=0.2, write_timeout=0.2)
    peer = served.connect(receive_buffer=4096).shake()
    websocket = served.websockets[0]
    websocket.on_message = lambda websocket, message: websocket.send("x" * 4_000_000)
    peer.send(wire.frame(TEXT, b"one") + wire.frame(TEXT, b"two") + wire.close(1000))
    served.wait_for("closed", 1006)  # its Close was behind what it did not take
    served.wait_empty()


def test_nothing_is_delivered_after_an_abort(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    served.websockets[0].on_message = lambda websocket, message: (
        served.events.append(("message", message)),
        websocket.abort(),
    )
    peer.send(wire.frame(TEXT, b"1") + wire.frame(TEXT, b"2"))
    served.wait_for("closed", 1006)
    assert served.events == [("open",), ("message", "1"), ("closed", 1006, "")]


def test_a_close_behind_a_pause_is_told_if_nothing_is_held(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    served.websockets[0].on_message = lambda websocket, message: websocket.pause_reading()
    peer.send(wire.frame(TEXT, b"1") + wire.close(4000))
    served.wait_for("closed", 4000)


def test_water_marks(serve: Any) -> None:
    served = serve(high_water=200_000, low_water=1000)
    peer = served.connect(receive_buffer=4096).shake()
    websocket = served.websockets[0]
    websocket.on_high_water = lambda websocket, queued: served.events.append(("high", queued))
    websocket.on_low_water = lambda websocket: served.events.append(("low",))
    count = 0

    def fill() -> None:
        nonlocal count
        while websocket.queued <= 300_000:
            websocket.send(b"x" * 10_000)
            count += 1

    served.call(fill)
    served.wait_for("high")
    assert ("low",) not in served.events
    for _ in range(count):
        assert peer.read()[1] == b"x" * 10_000
    served.wait_for("low")


def test_a_client_that_takes_nothing_for_too_long(serve: Any) -> None:
    served = serve(write_timeout=0.1)
    served.connect(receive_buffer=4096).shake()
    websocket = served.websockets[0]
    served.call(lambda: websocket.send(b"x" * (8 << 20)))
    served.wait_for("closed", 1006)
    assert "write time-out" in served.events[-1][2]


# ---- threads, and what is left behind --------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_many_threads_send(serve: Any, threads: int) -> None:
    served = serve(threads=threads)
    with connect(f"ws://{served.server.address}/") as client:
        served.wait_for("open")
        websocket = served.websockets[0]
        senders = [
            threading.Thread(
                target=lambda name=name: [websocket.send(f"{name} {n}") for n in range(200)]
            )
            for name in "abcd"
        ]
        for sender in senders:
            sender.start()
        got = [client.recv() for _ in range(800)]
        for sender in senders:
            sender.join()
    for name in "abcd":
        assert [m for m in got if m[0] == name] == [f"{name} {n}" for n in range(200)]


def test_an_end_leaves_nothing_for_the_collector(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake("/", "Sec-WebSocket-Extensions: permessage-deflate")
    left = weakref.ref(served.websockets.pop())
    protocol = weakref.ref(left()._protocol)  # type: ignore[union-attr]
    gc.collect()
    gc.disable()
    try:
        peer.send(wire.frame(TEXT, b"x" * 500) + wire.close(1000))
        while peer.read()[0] != CLOSE:
            pass
        peer.socket.close()
        served.wait_empty()
        served.settle()
        assert left() is None
        assert protocol() is None
    finally:
        gc.enable()


def test_the_client_of_the_library_sees_an_error_as_one(serve: Any) -> None:
    served = serve(max_message_size=10)
    with connect(f"ws://{served.server.address}/") as client:
        client.send("a message of many letters")
        with pytest.raises(ConnectionClosedError, match="1009"):
            client.recv()
