import errno
import gc
import logging
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from yolanda import framing, heartbeat
from yolanda.framing import Message, encode_message
from yolanda.heartbeat import PING, PONG, Heartbeat
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import TcpServer

PATIENCE = 20.0  # seconds after which a test that waits for something has failed


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeConnection:
    """As much of a `TcpConnection` as a heartbeat looks at."""

    name = "connection-7"
    peer_address = "192.0.2.1:7"

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.last_read = loop.time()
        self.connected = True
        self.closed = False
        self.reading = True
        self.error: OSError | None = None
        self.on_connection_closed: Callable[[Any], object] | None = None

    def guard(self, callback: Callable[..., object], *args: object) -> None:
        callback(*args)

    def abort(self) -> None:
        self.closed = True
        self.connected = False

    def hear(self) -> None:
        self.last_read = self.loop.time()


class Bench:
    """A fake connection, and the seconds (from the start) at which pings were sent over it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.start = self.clock.now
        self.loop = EventLoop(clock=self.clock)
        self.fake = FakeConnection(self.loop)
        self.connection = cast(TcpConnection, self.fake)
        self.pings: list[float] = []
        self.deaths: list[float] = []

    @property
    def seconds(self) -> float:
        return self.clock.now - self.start

    def beat(self, **options: Any) -> Heartbeat:
        return Heartbeat(
            self.connection,
            send_ping=lambda connection: self.pings.append(self.seconds),
            on_dead=lambda connection: self.deaths.append(self.seconds),
            **options,
        )

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.clock.now += 0.25
            self.loop.run_once(0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.loop.close()


# ---- when a ping is sent ---------------------------------------------------------------------


def test_three_pings_and_the_end_as_in_the_course(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    heart = bench.beat()
    with caplog.at_level(logging.WARNING, "yolanda.heartbeat"):
        bench.advance(18.75)
        assert heart.unanswered == 3
        bench.advance(20)
    assert bench.pings == [10, 13, 16]
    assert bench.deaths == [19]
    assert bench.fake.closed
    assert bench.fake.error is not None
    assert bench.fake.error.errno == errno.ETIMEDOUT
    [record] = caplog.records
    assert record.getMessage() == (
        "gave up connection-7 of 192.0.2.1:7: nothing received for 19.0 s, 3 pings unanswered"
    )
    assert bench.loop.statistics.timers == 0


def test_an_answer_begins_a_new_silence(bench: Bench) -> None:
    heart = bench.beat()
    bench.advance(14)
    bench.fake.hear()
    bench.advance(9.75)
    assert heart.unanswered == 0
    bench.advance(13.25)
    assert bench.pings == [10, 13, 24, 27, 30]
    assert bench.deaths == [33]


def test_an_answer_to_the_last_ping_saves_the_connection(bench: Bench) -> None:
    bench.beat()
    bench.advance(18.75)
    bench.fake.hear()
    bench.advance(9)
    assert not bench.deaths
    assert bench.pings == [10, 13, 16]


def test_a_busy_connection_is_not_asked_and_costs_one_timer(bench: Bench) -> None:
    bench.beat()
    for _ in range(100):
        bench.advance(1)
        bench.fake.hear()
        assert bench.loop.statistics.timers == 1
    assert bench.pings == []
    bench.advance(10)
    assert bench.pings == [110]


def test_the_times_can_be_chosen(bench: Bench) -> None:
    bench.beat(idle=2, interval=0.5, probes=1)
    bench.advance(5)
    assert bench.pings == [2]
    assert bench.deaths == [2.5]


def test_silence_before_the_heartbeat_began_counts(bench: Bench) -> None:
    bench.advance(60)
    bench.beat()
    bench.advance(0.25)
    assert bench.pings == [60.25]


def test_a_loop_that_was_late_asks_before_it_gives_up(bench: Bench) -> None:
    bench.beat()
    bench.clock.now += 1000
    bench.loop.run_once(0)
    assert bench.pings == [1000]
    assert not bench.fake.closed
    bench.advance(8.75)
    assert not bench.fake.closed


@pytest.mark.parametrize("unable", ["reading", "connected"])
def test_who_cannot_ask_or_hear_does_not_judge(bench: Bench, unable: str) -> None:
    heart = bench.beat()
    bench.advance(11)
    setattr(bench.fake, unable, False)
    bench.advance(100)
    assert bench.pings == [10]
    assert heart.unanswered == 0
    assert not bench.deaths
    setattr(bench.fake, unable, True)
    bench.fake.hear()  # as resume_reading() does
    bench.advance(30)
    assert bench.pings[1:] == [121, 124, 127]
    assert bench.deaths == [130]


@pytest.mark.parametrize(
    "wrong", [{"idle": 0}, {"idle": -1.5}, {"interval": 0}, {"probes": 0}, {"idle": float("nan")}]
)
def test_what_is_not_positive_is_refused(bench: Bench, wrong: dict[str, Any]) -> None:
    [value] = wrong.values()
    with pytest.raises(ValueError, match=f"not .*{value}"):
        bench.beat(**wrong)
    assert bench.fake.on_connection_closed is None


# ---- how it ends -----------------------------------------------------------------------------


def test_it_can_be_stopped(bench: Bench) -> None:
    heart = bench.beat()
    bench.advance(11)
    heart.stop()
    heart.stop()
    assert bench.loop.statistics.timers == 0
    bench.advance(100)
    assert bench.pings == [10]
    assert not bench.fake.closed


def test_it_can_be_stopped_while_it_sends_a_ping(bench: Bench) -> None:
    def send_ping(connection: TcpConnection) -> None:
        bench.pings.append(heart.unanswered)
        heart.stop()

    heart = Heartbeat(bench.connection, send_ping=send_ping)
    bench.advance(100)
    assert bench.pings == [1]
    assert not bench.fake.closed


def test_it_ends_with_the_connection_and_calls_the_hook_that_was_there(bench: Bench) -> None:
    closed: list[object] = []
    bench.fake.on_connection_closed = closed.append
    bench.beat()
    bench.fake.abort()
    bench.fake.on_connection_closed(bench.fake)
    assert closed == [bench.fake]
    assert bench.loop.statistics.timers == 0


def test_it_ends_with_the_connection_when_its_hook_was_replaced(bench: Bench) -> None:
    bench.beat()
    bench.fake.on_connection_closed = None
    bench.fake.abort()
    bench.advance(10)
    assert bench.loop.statistics.timers == 0
    assert bench.pings == []
    assert bench.deaths == []


# ---- over real sockets -----------------------------------------------------------------------


class Wire:
    """A server whose connections have a heartbeat, in this thread's loop, and one client."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = EventLoop(clock=self.clock)
        self.seen: list[Message] = []
        self.events: list[str] = []
        self.hearts: list[Heartbeat] = []
        self.connections: list[TcpConnection] = []
        self.send_ping = heartbeat.send_ping
        on_frame = heartbeat.answering(lambda connection, message: self.seen.append(message))
        self.server = TcpServer(
            self.loop,
            "127.0.0.1:0",
            on_connection_completed=self.handle_completed,
            on_message=framing.messages(on_frame),
            on_connection_closed=self.handle_closed,
        )
        self.server.start()
        address = self.server.address
        self.client = socket.create_connection((address.host, address.port), PATIENCE)

    def handle_completed(self, connection: TcpConnection) -> None:
        self.connections.append(connection)
        self.hearts.append(
            Heartbeat(
                connection,
                send_ping=lambda connection: self.send_ping(connection),
                on_dead=lambda connection: self.events.append("dead"),
            )
        )

    def handle_closed(self, connection: TcpConnection) -> None:
        self.events.append(f"closed: {type(connection.error).__name__}")

    def accept(self) -> TcpConnection:
        self.turn_until(lambda: bool(self.connections))
        return self.connections[0]

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        self.loop.run_once(0)

    def turn_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "nothing came of it"
            self.loop.run_once(0.05)

    def deliver(self, data: bytes) -> None:
        connection = self.connections[0]
        expected = connection.bytes_in + len(data)
        self.client.sendall(data)
        self.turn_until(lambda: connection.bytes_in == expected)

    def close(self) -> None:
        self.client.close()
        self.server.close()
        self.loop.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def test_a_peer_that_answers_lives(wire: Wire) -> None:
    wire.accept()
    [heart] = wire.hearts
    for _ in range(3):
        wire.advance(10)
        assert heart.unanswered == 1
        assert wire.client.recv(8, socket.MSG_WAITALL) == encode_message(PING)
        wire.deliver(encode_message(PONG))
        wire.advance(3)
        assert heart.unanswered == 0
        wire.deliver(encode_message(11, b"work"))
    assert wire.seen == [(11, b"work")] * 3
    assert wire.events == []


def test_a_peer_that_does_not_answer_is_reset(wire: Wire) -> None:
    connection = wire.accept()
    for seconds in (10, 3, 3):
        wire.advance(seconds)
        assert wire.client.recv(8, socket.MSG_WAITALL) == encode_message(PING)
    wire.advance(2.75)
    assert wire.events == []
    wire.advance(0.25)
    assert connection.closed
    wire.turn_until(lambda: len(wire.events) == 2)
    assert wire.events == ["dead", "closed: TimeoutError"]
    with pytest.raises(ConnectionResetError):
        wire.client.recv(1)


def test_a_heartbeat_leaves_nothing_behind_when_the_peer_closes(wire: Wire) -> None:
    connection = wire.accept()
    reference = weakref.ref(connection)
    wire.client.close()
    wire.turn_until(lambda: bool(wire.events))
    assert wire.events == ["closed: NoneType"]
    assert wire.loop.statistics.timers == 0
    wire.turn_until(lambda: wire.server.connections == 0)
    wire.connections.clear()
    wire.hearts.clear()
    del connection
    gc.collect()
    assert reference() is None


def test_a_ping_that_cannot_be_made_closes_its_connection_alone(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    def send_ping(connection: TcpConnection) -> None:
        raise LookupError("no ping today")

    wire.send_ping = send_ping
    connection = wire.accept()
    with caplog.at_level(logging.ERROR):
        wire.advance(10)
    assert connection.closed
    assert "no ping today" in caplog.text
    wire.turn_until(lambda: bool(wire.events))
    assert wire.loop.statistics.timers == 0


def test_a_ping_is_answered_with_its_own_body(wire: Wire) -> None:
    wire.accept()
    wire.deliver(encode_message(PING, b"42") + encode_message(PONG) + encode_message(21, b"x"))
    assert wire.client.recv(10, socket.MSG_WAITALL) == encode_message(PONG, b"42")
    assert wire.seen == [(21, b"x")]


def test_a_paused_connection_is_not_given_up(wire: Wire) -> None:
    connection = wire.accept()
    connection.pause_reading()
    for _ in range(10):
        wire.advance(10)
    connection.resume_reading()
    wire.advance(9.75)
    assert wire.events == []
    assert connection.bytes_out == 0
    wire.advance(0.25)
    wire.turn_until(lambda: wire.hearts[0].unanswered == 1)
