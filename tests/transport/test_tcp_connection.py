import array
import errno
import logging
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.buffer import Buffer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport import output_queue, tcp_connection
from yolanda.transport.tcp_connection import ConnectionState, TcpConnection

RunUntil = Callable[..., None]
BIG = 10_000_000  # more than the kernel's buffers take


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A connection in a loop, its peer as a plain socket, and a record of the hooks' calls."""

    def __init__(self, loop: EventLoop, run_until: RunUntil, small: bool = False) -> None:
        self.loop = loop
        self.until = run_until
        self.calls: list[str] = []
        self.received = bytearray()
        self.arrived = bytearray()
        with socket.socket() as listener:
            self.peer = socket.socket()
            if small:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
                self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            self.peer.settimeout(30)
            self.peer.connect(listener.getsockname())
            sock, sockaddr = listener.accept()
        sock.setblocking(False)
        self.connection = TcpConnection(loop, sock, sockaddr)

    def establish(self, on_connection_completed: Any = None, **hooks: Any) -> TcpConnection:
        """Bring the connection to life; every hook is recorded, those that are given are called."""
        hooks.setdefault("on_message", self.take)
        hooks.setdefault("on_write_completed", None)
        hooks.setdefault("on_connection_closed", None)
        for name, hook in hooks.items():
            setattr(self.connection, name, self._recorded(name, hook))
        self.connection.establish(
            self._recorded("on_connection_completed", on_connection_completed)
        )
        return self.connection

    def _recorded(self, name: str, hook: Any) -> Any:
        def call(connection: TcpConnection, *args: object) -> None:
            assert connection is self.connection
            assert self.loop.in_loop_thread
            self.calls.append(name.removeprefix("on_"))
            if hook is not None:
                hook(connection, *args)

        return call

    def take(self, connection: TcpConnection, buffer: Buffer) -> None:
        self.received += buffer.retrieve_all()

    def count(self, name: str) -> int:
        return self.calls.count(name)

    @property
    def is_over(self) -> bool:
        return "connection_closed" in self.calls

    def until_closed(self) -> None:
        self.until(self.loop, lambda: self.is_over)

    def settle(self) -> None:
        """Do all that is pending without waiting for anything new."""
        for _ in range(3):
            self.loop.run_once(0)

    def collect(self, size: int) -> bytes:
        """Turn the loop until ``size`` bytes more have arrived at the peer; return them."""

        def pump() -> bool:
            while len(self.arrived) < size:
                try:
                    data = self.peer.recv(1 << 20)
                except BlockingIOError:
                    break
                assert data, f"the stream ended after {len(self.arrived)} of {size} bytes"
                self.arrived += data
            return len(self.arrived) >= size

        self.peer.setblocking(False)
        self.until(self.loop, pump, timeout=30)
        self.peer.settimeout(30)
        data = bytes(self.arrived[:size])
        del self.arrived[:size]
        return data

    def peer_sees(self) -> bytes | int:
        """What the peer reads until the end: the bytes, or the number of the error."""
        data = bytearray(self.arrived)
        while True:
            try:
                piece = self.peer.recv(1 << 20)
            except ConnectionError as error:
                return error.errno or 0
            if not piece:
                return bytes(data)
            data += piece

    def reset_by_peer(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def fill(self) -> int:
        """Send until something is queued; return how much was sent."""
        sent = 0
        while not self.connection.queued:
            self.connection.send(b"x" * 20_000)
            sent += 20_000
        return sent

    def turns(self, seconds: float) -> int:
        """How often the loop turns in ``seconds`` when it is left alone."""
        before = self.loop.statistics.iterations
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()
        return self.loop.statistics.iterations - before

    def close(self) -> None:
        if not self.connection.closed:
            self.connection.close()
            self.settle()
        if self.connection.state is ConnectionState.CONNECTING:
            self.connection.socket.close()
        self.peer.close()


@pytest.fixture(params=list(DISPATCHERS))
def loop(request: pytest.FixtureRequest) -> Iterator[EventLoop]:
    with EventLoop(request.param) as loop:
        yield loop


@pytest.fixture
def bench(loop: EventLoop, run_until: RunUntil) -> Iterator[Bench]:
    bench = Bench(loop, run_until)
    yield bench
    bench.close()


@pytest.fixture
def narrow(loop: EventLoop, run_until: RunUntil) -> Iterator[Bench]:
    """A bench whose kernel buffers are small."""
    bench = Bench(loop, run_until, small=True)
    yield bench
    bench.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock, run_until: RunUntil) -> Iterator[Bench]:
    """A bench with small kernel buffers, whose time the test moves."""
    with EventLoop(clock=clock) as loop:
        bench = Bench(loop, run_until, small=True)
        yield bench
        bench.close()


# ---- the hooks and their order -----------------------------------------------------------


def test_the_life_of_a_connection(bench: Bench) -> None:
    connection = bench.connection
    assert connection.state.value == "connecting"
    bench.establish()
    assert bench.calls == ["connection_completed"]
    assert connection.connected
    bench.peer.sendall(b"hello")
    bench.until(bench.loop, lambda: bench.received == b"hello")
    connection.send(b"world")
    assert bench.collect(5) == b"world"
    bench.until(bench.loop, lambda: bench.count("write_completed") == 1)
    bench.peer.close()
    bench.until_closed()
    assert connection.state is ConnectionState.DISCONNECTED
    assert connection.closed
    assert connection.error is None
    bench.settle()
    assert bench.calls == [
        "connection_completed",
        "message",
        "write_completed",
        "connection_closed",
    ]


def test_close_in_connection_completed(bench: Bench) -> None:
    bench.establish(lambda connection: connection.close())
    assert bench.calls == ["connection_completed"]
    bench.until_closed()
    bench.settle()
    assert bench.calls == ["connection_completed", "connection_closed"]
    assert bench.peer_sees() == b""


def test_send_and_close_in_connection_completed(bench: Bench) -> None:
    def complete(connection: TcpConnection) -> None:
        connection.send(b"go away")
        connection.close()

    bench.establish(complete)
    bench.until_closed()
    bench.settle()
    assert bench.calls == ["connection_completed", "connection_closed"]
    assert bench.peer_sees() == b"go away"


def test_close_in_message(bench: Bench) -> None:
    states = []

    def on_message(connection: TcpConnection, buffer: Buffer) -> None:
        connection.close()
        connection.close()
        states.append((connection.state, list(bench.calls)))
        connection.send(b"too late")

    bench.establish(on_message=on_message)
    bench.peer.sendall(b"a")
    bench.until_closed()
    bench.settle()
    assert states == [(ConnectionState.DISCONNECTED, ["connection_completed", "message"])]
    assert bench.calls == ["connection_completed", "message", "connection_closed"]


def test_close_in_write_completed(bench: Bench) -> None:
    bench.establish(on_write_completed=lambda connection: connection.close())
    bench.connection.send(b"all")
    bench.until_closed()
    bench.settle()
    assert bench.calls == ["connection_completed", "write_completed", "connection_closed"]
    assert bench.peer_sees() == b"all"


def test_close_in_connection_closed_is_harmless(bench: Bench) -> None:
    bench.establish(on_connection_closed=lambda connection: connection.close())
    bench.connection.close()
    bench.until_closed()
    bench.settle()
    assert bench.count("connection_closed") == 1


def test_nothing_follows_closed(narrow: Bench) -> None:
    connection = narrow.establish(on_high_water=None, on_low_water=None, on_end_of_stream=None)
    connection.set_water_marks(10, 1)
    narrow.peer.sendall(b"unread")
    narrow.fill()
    connection.send(b"a")
    connection.close()
    narrow.until_closed()
    narrow.settle()
    assert narrow.calls[-1] == "connection_closed"
    assert narrow.count("connection_closed") == 1


def test_the_released_hook_comes_after_the_application_s(bench: Bench) -> None:
    bench.connection.on_released = lambda _: bench.calls.append("released")
    bench.establish()
    bench.connection.close()
    bench.until_closed()
    assert bench.calls[-2:] == ["connection_closed", "released"]


def test_hooks_may_be_replaced(bench: Bench) -> None:
    seen: list[bytes] = []

    def second(connection: TcpConnection, buffer: Buffer) -> None:
        seen.append(buffer.retrieve_all())

    def first(connection: TcpConnection, buffer: Buffer) -> None:
        seen.append(buffer.retrieve(1))
        connection.on_message = second

    bench.establish(on_message=first)
    bench.peer.sendall(b"ab")
    bench.until(bench.loop, lambda: seen == [b"a"])
    bench.peer.sendall(b"c")
    bench.until(bench.loop, lambda: seen == [b"a", b"bc"])


def test_without_a_message_hook_bytes_are_discarded(bench: Bench) -> None:
    bench.connection.establish()
    bench.peer.sendall(b"nobody cares")
    bench.until(bench.loop, lambda: bench.connection.bytes_in == 12)
    assert len(bench.connection.input) == 0


def test_what_is_not_retrieved_stays(bench: Bench) -> None:
    seen: list[int] = []
    bench.establish(on_message=lambda connection, buffer: seen.append(len(buffer)))
    bench.peer.sendall(b"abc")
    bench.until(bench.loop, lambda: seen == [3])
    bench.peer.sendall(b"de")
    bench.until(bench.loop, lambda: seen == [3, 5])
    assert bench.connection.input.retrieve_all() == b"abcde"


def test_completed_comes_when_the_channel_is_registered(bench: Bench) -> None:
    channels: list[int] = []
    before = bench.loop.statistics.channels
    bench.establish(lambda _: channels.append(bench.loop.statistics.channels))
    assert channels == [before + 1]


def test_a_descriptor_that_cannot_be_watched_is_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, events: int) -> None:
        raise OSError(errno.ENOSPC, "no room for another watch")

    monkeypatch.setattr(bench.loop._dispatcher, "add", refuse)
    released: list[TcpConnection] = []
    bench.connection.on_released = released.append
    bench.establish()
    bench.settle()
    assert bench.calls == []  # closed comes for each completed, and there was none
    assert released == [bench.connection]
    assert bench.connection.error is not None
    assert bench.connection.error.errno == errno.ENOSPC
    assert bench.peer_sees() == b""


def test_write_completed_comes_once_a_turn(bench: Bench) -> None:
    connection = bench.establish()
    for _ in range(5):
        connection.send(b"x")
    bench.settle()
    assert bench.count("write_completed") == 1
    connection.send(b"y")
    bench.settle()
    assert bench.count("write_completed") == 2


def test_write_completed_comes_when_all_is_in_the_kernel(narrow: Bench) -> None:
    queued: list[int] = []
    connection = narrow.establish(on_write_completed=lambda c: queued.append(c.queued))
    connection.send(b"x" * 2_000_000)
    narrow.settle()
    assert queued == []
    assert connection.queued > 0
    narrow.collect(2_000_000)
    narrow.until(narrow.loop, lambda: narrow.count("write_completed") == 1)
    assert queued == [0]


def test_a_chain_of_write_completed(bench: Bench) -> None:
    left = [b"b", b"c", b"d"]

    def go_on(connection: TcpConnection) -> None:
        if left:
            connection.send(left.pop(0))

    bench.establish(on_write_completed=go_on)
    bench.connection.send(b"a")
    assert bench.collect(4) == b"abcd"


# ---- what is sent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"bytearray"), b"bytearray"),
        (memoryview(b"memoryview"), b"memoryview"),
        (memoryview(bytearray(b"0123456789"))[2:5], b"234"),
        (memoryview(b"0123456789")[::2], b"02468"),
        (memoryview(array.array("H", [0x4141, 0x4242])), b"AABB"),
        (Buffer(b"buffer"), b"buffer"),
        ([b"a", bytearray(b"b"), memoryview(b"c"), Buffer(b"d")], b"abcd"),
        ((b"x", b"", b"y"), b"xy"),
        ([b"one"], b"one"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("from_thread", [False, True])
def test_what_can_be_sent(
    run_until: RunUntil, data: Any, expected: bytes, from_thread: bool
) -> None:
    if isinstance(data, Buffer):
        data = Buffer(expected)  # sending empties it, and the parameters are used twice
    elif isinstance(data, list) and len(data) == 4:
        data[3] = Buffer(b"d")
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        connection = bench.establish()
        if from_thread:
            thread = threading.Thread(target=connection.send, args=(data,))
            thread.start()
            thread.join()
        else:
            connection.send(data)
        assert bench.collect(len(expected)) == expected
        assert connection.bytes_out == len(expected)
        bench.until(loop, lambda: bench.count("write_completed") == 1)
        if isinstance(data, Buffer):
            assert len(data) == 0
        bench.close()


@pytest.mark.parametrize("data", ["text", ["text"], 5, [b"a", 5], None])
def test_what_cannot_be_sent_says_so(timed: Bench, data: Any) -> None:
    connection = timed.establish()
    with pytest.raises(TypeError, match=r"str|int|NoneType"):
        connection.send(data)
    assert connection.connected
    connection.send(b"still here")
    assert timed.collect(10) == b"still here"


@pytest.mark.parametrize("nothing", [b"", [], [b"", b""], bytearray()])
def test_nothing_can_be_sent(timed: Bench, nothing: Any) -> None:
    connection = timed.establish()
    connection.send(nothing)
    timed.settle()
    assert connection.queued == 0
    assert connection.connected
    connection.send(b"a")
    assert timed.collect(1) == b"a"


@pytest.mark.parametrize("kind", ["bytearray", "memoryview", "list", "thread"])
def test_data_changed_after_send_is_not_seen_by_the_peer(bench: Bench, kind: str) -> None:
    data = bytearray(os.urandom(1000) * 8000)
    expected = bytes(data)
    connection = bench.establish()
    if kind == "thread":
        thread = threading.Thread(target=connection.send, args=(data,))
        thread.start()
        thread.join()
    elif kind == "list":
        connection.send([data, b""])
    else:
        connection.send(memoryview(data) if kind == "memoryview" else data)
    data[:] = bytes(len(data))
    assert bench.collect(len(expected)) == expected


def test_a_big_send(bench: Bench) -> None:
    data = os.urandom(BIG)
    connection = bench.establish()
    connection.send(data)
    assert 0 < connection.queued < BIG
    assert connection.bytes_out == BIG - connection.queued
    connection.send(b"the end")
    assert bench.collect(BIG) == data
    assert bench.collect(7) == b"the end"
    bench.until(bench.loop, lambda: bench.count("write_completed") == 1)
    assert connection.queued == 0
    assert connection.bytes_out == BIG + 7


def test_many_small_sends_while_the_kernel_is_full(narrow: Bench) -> None:
    connection = narrow.establish()
    expected = bytearray(b"x" * narrow.fill())
    for number in range(1000):
        expected += b"%d;" % number
        connection.send(b"%d;" % number)
    assert narrow.collect(len(expected)) == bytes(expected)


def test_the_loop_rests_when_all_is_sent(narrow: Bench) -> None:
    connection = narrow.establish()
    connection.send(b"x" * 500_000)
    narrow.collect(500_000)
    narrow.until(narrow.loop, lambda: not connection.queued)
    narrow.settle()
    assert narrow.turns(0.1) < 10  # writable is watched only while something is queued


def test_the_loop_rests_while_the_kernel_is_full(narrow: Bench) -> None:
    connection = narrow.establish()
    narrow.fill()
    connection.send(b"x" * 500_000)
    narrow.settle()
    assert narrow.turns(0.1) < 10


def test_sends_from_many_threads_arrive_whole(bench: Bench) -> None:
    threads_count, messages, size = 8, 40, 5000
    connection = bench.establish()

    def work(number: int) -> None:
        for turn in range(messages):
            connection.send(struct.pack("!II", number, turn) + bytes([number]) * size)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(threads_count)]
    for thread in threads:
        thread.start()
    data = bench.collect(threads_count * messages * (8 + size))
    for thread in threads:
        thread.join()
    turns = [0] * threads_count
    for start in range(0, len(data), 8 + size):
        number, turn = struct.unpack_from("!II", data, start)
        assert data[start + 8 : start + 8 + size] == bytes([number]) * size
        assert turn == turns[number]  # the order of one thread is kept
        turns[number] += 1
    assert turns == [messages] * threads_count


def test_one_fast_reader_leaves_turns_to_the_others(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (output_queue, tcp_connection):
        monkeypatch.setattr(module, "BYTES_A_TURN", 10_000)
    path = tmp_path / "file"
    path.write_bytes(bytes(10_000))
    connection = bench.establish()
    with path.open("rb") as file:
        for _ in range(20):  # the kernel would take it all at once
            connection._enqueue(output_queue.FilePiece(file, 0, 10_000))
        connection._flush_unless_waiting()
        assert connection.queued == 190_000
        before = bench.loop.statistics.iterations
        bench.until(bench.loop, lambda: not connection.queued)
        assert bench.loop.statistics.iterations - before >= 19
        assert bench.collect(200_000) == bytes(200_000)


def test_shutdown_and_close_from_another_thread(bench: Bench) -> None:
    connection = bench.establish()

    def work() -> None:
        connection.send(b"last words")
        connection.shutdown()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert bench.collect(10) == b"last words"
    bench.until(bench.loop, lambda: connection.state is ConnectionState.DISCONNECTING)
    thread = threading.Thread(target=connection.close)
    thread.start()
    thread.join()
    bench.until_closed()


def test_abort_from_another_thread(bench: Bench) -> None:
    connection = bench.establish()
    thread = threading.Thread(target=connection.abort)
    thread.start()
    thread.join()
    bench.until_closed()
    assert bench.peer_sees() == errno.ECONNRESET


def test_calls_for_a_closed_loop_are_harmless(run_until: RunUntil, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    file = path.open("rb")
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        connection = bench.establish()
        bench.close()

    def work() -> None:
        connection.send(b"a")
        connection.send_file(file, close=True)
        connection.shutdown()
        connection.close()
        connection.abort()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert file.closed


def test_close_after_the_loop(loop: EventLoop, run_until: RunUntil) -> None:
    bench = Bench(loop, run_until)
    bench.establish()
    loop.close()
    bench.connection.close()
    assert bench.calls == ["connection_completed", "connection_closed"]
    assert bench.peer_sees() == b""
    bench.peer.close()


# ---- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("from_thread", [False, True])
def test_send_file(bench: Bench, tmp_path: Path, from_thread: bool) -> None:
    data = os.urandom(5_000_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    file = path.open("rb")
    connection = bench.establish()
    connection.send(b"head")

    def send() -> None:
        connection.send_file(file, close=True)
        connection.send(b"tail")

    if from_thread:
        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
    else:
        send()
    assert bench.collect(len(data) + 8) == b"head" + data + b"tail"
    bench.until(bench.loop, lambda: file.closed)
    assert connection.bytes_out == len(data) + 8


def test_send_a_part_of_a_file(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    connection = bench.establish()
    with path.open("rb") as file:
        connection.send_file(file, 2, 3)
        connection.send_file(file, 8)
        connection.send_file(file, 10)
        connection.send_file(file, 20)
        assert bench.collect(5) == b"23489"
        bench.settle()
        assert bench.count("write_completed") == 1


@pytest.mark.parametrize(("offset", "count"), [(-1, None), (0, -1)])
def test_a_part_that_cannot_be(
    timed: Bench, tmp_path: Path, offset: int, count: int | None
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    timed.establish()
    with path.open("rb") as file, pytest.raises(ValueError, match="-1"):
        timed.connection.send_file(file, offset, count)


def test_a_short_file_closes_the_connection(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = path.open("rb")
    connection = bench.establish()
    connection.send_file(file, 0, 15, close=True)
    bench.until_closed()
    assert connection.error is not None
    assert connection.error.errno == errno.EIO
    assert file.closed
    assert bench.count("write_completed") == 0


def test_a_file_for_a_closed_connection_is_closed(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    connection = bench.establish()
    connection.close()
    bench.until_closed()
    file = path.open("rb")
    connection.send_file(file, close=True)
    assert file.closed


def test_a_queued_file_is_closed_with_the_connection(narrow: Bench, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1_000_000))
    file = path.open("rb")
    connection = narrow.establish()
    connection.send_file(file, close=True)
    assert not file.closed
    connection.close()
    assert file.closed


# ---- the ends of a connection ------------------------------------------------------------


def test_shutdown_sends_what_is_queued_first(bench: Bench) -> None:
    data = os.urandom(BIG)
    connection = bench.establish()
    connection.send(data)
    connection.shutdown()
    assert connection.state is ConnectionState.DISCONNECTING
    connection.send(b"too late")
    assert bench.collect(BIG) == data
    bench.until(bench.loop, lambda: not connection.queued)
    assert bench.peer.recv(10) == b""
    assert not connection.closed  # the other side may still send
    bench.peer.sendall(b"answer")
    bench.until(bench.loop, lambda: bench.received == b"answer")
    bench.peer.close()
    bench.until_closed()
    assert connection.error is None
    assert connection.bytes_out == BIG


def test_shutdown_may_be_repeated(bench: Bench) -> None:
    connection = bench.establish()
    connection.shutdown()
    connection.shutdown()
    assert bench.peer.recv(10) == b""
    bench.peer.close()
    bench.until_closed()
    connection.shutdown()
    bench.settle()
    assert bench.count("connection_closed") == 1


def test_close_drops_what_is_queued(narrow: Bench) -> None:
    connection = narrow.establish()
    connection.send(b"x" * 2_000_000)
    taken = connection.bytes_out
    connection.close()
    assert connection.queued == 0
    narrow.until_closed()
    seen = narrow.peer_sees()
    assert isinstance(seen, bytes)
    assert len(seen) == taken < 2_000_000
    assert narrow.count("write_completed") == 0


def test_abort_resets(bench: Bench) -> None:
    connection = bench.establish()
    connection.abort()
    bench.until_closed()
    assert bench.peer_sees() == errno.ECONNRESET
    assert connection.error is None
    connection.abort()
    bench.settle()
    assert bench.count("connection_closed") == 1


def test_abort_drops_what_is_queued(narrow: Bench) -> None:
    narrow.establish()
    narrow.fill()
    narrow.connection.abort()
    narrow.until_closed()
    assert narrow.peer_sees() == errno.ECONNRESET


def test_the_peer_half_closes_and_is_still_served(bench: Bench) -> None:
    data = os.urandom(BIG)

    def answer(connection: TcpConnection, buffer: Buffer) -> None:
        buffer.retrieve_all()
        connection.send(data)

    connection = bench.establish(on_message=answer)
    bench.peer.sendall(b"all of it, please")
    bench.peer.shutdown(socket.SHUT_WR)
    assert bench.collect(BIG) == data
    bench.until_closed()
    assert bench.peer.recv(10) == b""
    assert connection.error is None


def test_the_peer_half_closes_when_nothing_is_queued(bench: Bench) -> None:
    bench.establish()
    bench.peer.shutdown(socket.SHUT_WR)
    bench.until_closed()
    assert bench.calls == ["connection_completed", "connection_closed"]
    assert bench.peer.recv(10) == b""


def test_an_end_of_stream_hook_may_go_on_sending(bench: Bench) -> None:
    connection = bench.establish(on_end_of_stream=lambda connection: connection.send(b"more"))
    bench.peer.sendall(b"end")
    bench.peer.shutdown(socket.SHUT_WR)
    assert bench.collect(4) == b"more"
    assert bench.received == b"end"
    assert connection.connected
    assert bench.turns(0.05) < 10  # the end of the stream is told once
    connection.send(b"and more")
    assert bench.collect(8) == b"and more"
    connection.shutdown()
    bench.until_closed()
    assert bench.peer.recv(10) == b""
    assert bench.count("end_of_stream") == 1
    assert connection.error is None


def test_an_end_of_stream_hook_may_close(bench: Bench) -> None:
    bench.establish(on_end_of_stream=lambda connection: connection.close())
    bench.peer.close()
    bench.until_closed()
    assert bench.calls == ["connection_completed", "end_of_stream", "connection_closed"]


def test_a_reset_by_the_peer(bench: Bench) -> None:
    connection = bench.establish()
    bench.reset_by_peer()
    bench.until_closed()
    bench.settle()
    assert connection.error is not None
    assert connection.error.errno == errno.ECONNRESET
    assert bench.calls == ["connection_completed", "connection_closed"]


def test_a_reset_while_output_is_queued(narrow: Bench) -> None:
    connection = narrow.establish()
    narrow.fill()
    narrow.reset_by_peer()
    narrow.until_closed()
    narrow.settle()
    assert connection.error is not None
    assert connection.error.errno in (errno.ECONNRESET, errno.EPIPE)
    assert narrow.count("connection_closed") == 1
    assert connection.queued == 0


def test_a_reset_while_reading_is_paused_and_output_queued(narrow: Bench) -> None:
    connection = narrow.establish()
    connection.pause_reading()
    narrow.fill()
    narrow.reset_by_peer()
    narrow.until_closed()
    assert connection.error is not None
    assert connection.error.errno in (errno.ECONNRESET, errno.EPIPE)


def test_writing_to_a_peer_that_has_closed(bench: Bench) -> None:
    connection = bench.establish(on_end_of_stream=None)  # so that it stays open
    bench.peer.close()
    bench.until(bench.loop, lambda: bench.count("end_of_stream") == 1)
    connection.send(b"it answers with a reset")
    connection.send(b"which the second one finds")
    bench.until_closed()
    bench.settle()
    assert connection.error is not None
    assert connection.error.errno in (errno.EPIPE, errno.ECONNRESET)
    assert bench.count("connection_closed") == 1


def test_writing_to_a_closed_connection_is_ignored(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    connection = bench.establish()
    connection.close()
    caplog.set_level(logging.DEBUG, "yolanda.transport")
    connection.send(b"four")
    connection.send([b"a", b"b"])
    connection.send(bytearray(b"c"))
    bench.until_closed()
    bench.settle()
    assert connection.bytes_out == 0
    assert bench.count("write_completed") == 0
    assert "4 bytes dropped" in caplog.text


def test_settings_of_a_closed_connection_leave_nothing_behind(timed: Bench, clock: Clock) -> None:
    connection = timed.establish()
    connection.set_timeouts(idle=5)
    connection.close()
    timed.until_closed()
    connection.pause_reading()
    connection.resume_reading()
    assert timed.loop.statistics.timers == 0
    clock.now += 10
    timed.settle()
    assert timed.count("connection_closed") == 1


def test_eagain_is_no_close(bench: Bench) -> None:
    connection = bench.establish()
    assert connection._handle_read() is False  # an event without bytes, as select may give
    connection._flush()
    bench.settle()
    assert connection.connected
    bench.peer.sendall(b"a")
    bench.until(bench.loop, lambda: bench.received == b"a")


def test_signals_do_not_end_a_connection(bench: Bench) -> None:
    data = os.urandom(2_000_000)
    caught: list[int] = []
    done = threading.Event()
    main = threading.get_ident()

    def interrupt() -> None:
        while not done.wait(0.001):
            signal.pthread_kill(main, signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, lambda number, _: caught.append(number))
    thread = threading.Thread(target=interrupt)
    try:
        connection = bench.establish()
        thread.start()
        bench.until(bench.loop, lambda: len(caught) > 3)  # while it waits
        connection.send(data)
        assert bench.collect(len(data)) == data
        bench.peer.sendall(b"ok")
        bench.until(bench.loop, lambda: bench.received == b"ok")
    finally:
        done.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)
    assert connection.connected
    assert len(caught) > 3


def test_a_descriptor_number_that_is_used_again(
    loop: EventLoop, run_until: RunUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    benches = [Bench(loop, run_until) for _ in range(3)]
    first, second, new = benches
    new_number = new.connection.socket.detach()
    others = {first: second, second: first}
    replaced: list[Bench] = []

    def replace(bench: Bench) -> Callable[[TcpConnection, Buffer], None]:
        def on_message(connection: TcpConnection, buffer: Buffer) -> None:
            buffer.retrieve_all()
            if replaced:
                return
            victim = others[bench]
            number = victim.connection.socket.fileno()
            victim.connection.close()
            os.dup2(new_number, number)
            os.close(new_number)
            new.connection = TcpConnection(loop, socket.socket(fileno=number))
            new.establish()
            replaced.append(victim)

        return on_message

    first.establish(on_message=replace(first))
    second.establish(on_message=replace(second))
    first.peer.sendall(b"x")
    second.peer.sendall(b"x")
    run_until(loop, lambda: replaced and replaced[0].is_over)
    assert replaced[0].count("message") == 0  # its event was dropped with it
    assert new.calls == ["connection_completed"]
    new.peer.sendall(b"mine")
    run_until(loop, lambda: new.received == b"mine")
    for bench in benches:
        bench.close()


# ---- exceptions --------------------------------------------------------------------------


class Oops(Exception):
    pass


def fail(*args: object) -> None:
    raise Oops


@pytest.mark.parametrize(
    "hook",
    [
        "on_connection_completed",
        "on_message",
        "on_write_completed",
        "on_end_of_stream",
        "on_high_water",
        "on_low_water",
        "on_timeout",
        "on_connection_closed",
    ],
)
def test_an_exception_closes_its_connection_alone(
    loop: EventLoop, run_until: RunUntil, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = Bench(loop, run_until)
    other.establish()
    bench = Bench(loop, run_until, small=True)
    released: list[TcpConnection] = []
    bench.connection.on_released = released.append
    connection = bench.establish(**{hook: fail})
    connection.set_water_marks(1000, 100)
    if hook == "on_message":
        bench.peer.sendall(b"a")
    elif hook == "on_write_completed":
        connection.send(b"a")
    elif hook == "on_end_of_stream":
        bench.peer.shutdown(socket.SHUT_WR)
    elif hook in ("on_high_water", "on_low_water"):
        connection.send(b"x" * 300_000)
        if hook == "on_low_water":
            bench.collect(300_000)
    elif hook == "on_timeout":
        connection.set_timeouts(idle=0.01)
    elif hook == "on_connection_closed":
        connection.close()
    bench.until_closed()
    bench.settle()
    assert bench.count("connection_closed") == 1
    assert released == [connection]
    assert connection.closed
    assert "Oops" in caplog.text
    other.peer.sendall(b"alive")
    run_until(loop, lambda: other.received == b"alive")
    other.connection.send(b"too")
    assert other.collect(3) == b"too"
    bench.close()
    other.close()


def test_an_exception_resets_the_connection(bench: Bench) -> None:
    connection = bench.establish(on_message=fail)
    bench.peer.sendall(b"a")
    bench.until_closed()
    assert bench.peer_sees() == errno.ECONNRESET
    assert connection.error is None


# ---- back-pressure -----------------------------------------------------------------------


def test_water_marks_are_told_once_a_crossing(narrow: Bench) -> None:
    levels: list[int] = []
    connection = narrow.establish(
        on_high_water=lambda _, queued: levels.append(queued), on_low_water=None
    )
    connection.set_water_marks(100_000, 10_000)
    for crossing in (1, 2):
        size = narrow.fill()
        narrow.settle()
        assert narrow.count("high_water") == crossing - 1
        for _ in range(10):
            connection.send(b"x" * 50_000)
            narrow.settle()
        assert narrow.count("high_water") == crossing
        assert narrow.count("low_water") == crossing - 1
        assert levels[-1] > 100_000
        narrow.collect(size + 500_000)
        narrow.until(narrow.loop, lambda: not connection.queued)
        narrow.settle()
        assert narrow.count("high_water") == crossing
        assert narrow.count("low_water") == crossing


@pytest.mark.parametrize("way", ["bytes", "list", "file"])
def test_high_water_is_seen_however_it_is_sent(narrow: Bench, tmp_path: Path, way: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000))
    connection = narrow.establish(on_high_water=None)
    narrow.fill()
    connection.set_water_marks(100_000, 10_000)
    with path.open("rb") as file:
        if way == "bytes":
            connection.send(bytes(200_000))
        elif way == "list":
            connection.send([bytes(100_000), bytes(100_000)])
        else:
            connection.send_file(file)
        narrow.settle()
        assert narrow.count("high_water") == 1
        connection.close()


def test_low_water_may_send_more(narrow: Bench) -> None:
    rounds = 5

    def more(connection: TcpConnection) -> None:
        nonlocal rounds
        rounds -= 1
        if rounds:
            connection.send(b"x" * 100_000)

    connection = narrow.establish(on_low_water=more)
    connection.set_water_marks(50_000, 5_000)
    connection.send(b"x" * 500_000)
    narrow.collect(500_000 + 4 * 100_000)
    narrow.until(narrow.loop, lambda: rounds == 0)


def test_reading_is_paused_between_the_marks(narrow: Bench) -> None:
    connection = narrow.establish()
    connection.set_water_marks(50_000, 5_000, pause_reading=True)
    assert connection.reading
    connection.send(b"x" * 500_000)
    assert not connection.reading
    narrow.peer.sendall(b"and what about me?")
    narrow.settle()
    assert narrow.received == b""
    connection.resume_reading()
    assert not connection.reading  # the marks are still crossed
    narrow.collect(500_000)
    narrow.until(narrow.loop, lambda: bytes(narrow.received) == b"and what about me?")
    assert connection.reading


def test_the_marks_do_not_resume_what_the_application_paused(narrow: Bench) -> None:
    connection = narrow.establish()
    connection.set_water_marks(50_000, 5_000, pause_reading=True)
    connection.pause_reading()
    connection.send(b"x" * 500_000)
    narrow.collect(500_000)
    narrow.until(narrow.loop, lambda: not connection.queued)
    narrow.settle()
    assert not connection.reading


@pytest.mark.parametrize(("high", "low"), [(0, 0), (10, 10), (10, 11), (10, -1)])
def test_water_marks_that_make_no_sense(timed: Bench, high: int, low: int) -> None:
    with pytest.raises(ValueError, match=str(low)):
        timed.connection.set_water_marks(high, low)
    timed.establish()


def test_pause_and_resume_reading(bench: Bench) -> None:
    connection = bench.establish()
    connection.pause_reading()
    assert not connection.reading
    bench.peer.sendall(b"later")
    bench.settle()
    assert bench.turns(0.05) < 10
    assert bench.received == b""
    connection.resume_reading()
    assert connection.reading
    bench.until(bench.loop, lambda: bench.received == b"later")


def test_pause_in_the_message_hook(bench: Bench) -> None:
    total = 3_000_000
    sizes: list[int] = []

    def take_and_pause(connection: TcpConnection, buffer: Buffer) -> None:
        bench.received += buffer.retrieve_all()
        sizes.append(len(bench.received))
        connection.pause_reading()

    bench.establish(on_message=take_and_pause)
    data = os.urandom(total)
    thread = threading.Thread(target=bench.peer.sendall, args=(data,))
    thread.start()
    bench.until(bench.loop, lambda: len(sizes) == 1)
    bench.settle()
    assert len(sizes) == 1

    def go_on() -> bool:
        bench.connection.resume_reading()
        return len(bench.received) == total

    bench.until(bench.loop, go_on, timeout=30)
    thread.join()
    assert bench.received == data


@pytest.mark.parametrize("ours_first", [False, True], ids=["peer only", "both sides"])
def test_a_hang_up_while_paused_does_not_spin(bench: Bench, ours_first: bool) -> None:
    connection = bench.establish()
    connection.pause_reading()
    if ours_first:
        connection.shutdown()
        assert bench.peer.recv(10) == b""
    bench.peer.sendall(b"unread")
    bench.peer.close()
    assert bench.turns(0.1) < 10
    assert bench.received == b""
    assert not connection.closed
    connection.resume_reading()
    bench.until_closed()
    assert bench.received == b"unread"
    assert connection.error is None


def test_what_came_before_a_hang_up_is_read(bench: Bench) -> None:
    data = os.urandom(300_000)  # several reads
    connection = bench.establish()
    connection.pause_reading()
    connection.shutdown()
    assert bench.peer.recv(10) == b""
    bench.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    bench.peer.sendall(data)
    bench.peer.close()
    connection.resume_reading()  # now bytes, their end and the hang-up are there at once
    bench.until_closed()
    assert bench.received == data
    assert connection.error is None


def test_a_reset_after_a_half_close(bench: Bench) -> None:
    connection = bench.establish(on_end_of_stream=None)
    bench.peer.shutdown(socket.SHUT_WR)
    bench.until(bench.loop, lambda: bench.count("end_of_stream") == 1)
    bench.reset_by_peer()
    assert bench.turns(0.05) < 10
    connection.send(b"x")  # with select only now is it seen
    bench.until_closed()
    assert connection.error is not None
    assert connection.error.errno in (errno.ECONNRESET, errno.EPIPE)
    assert bench.count("connection_closed") == 1


def test_a_hang_up_while_paused_and_then_close(bench: Bench) -> None:
    connection = bench.establish()
    connection.pause_reading()
    connection.shutdown()
    bench.peer.close()
    assert bench.turns(0.05) < 10
    connection.close()
    bench.until_closed()
    assert bench.count("connection_closed") == 1


def test_a_reset_while_paused(bench: Bench) -> None:
    connection = bench.establish()
    connection.pause_reading()
    bench.reset_by_peer()
    assert bench.turns(0.05) < 10
    connection.resume_reading()  # with select only now is it seen
    bench.until_closed()
    assert connection.error is not None
    assert connection.error.errno == errno.ECONNRESET


# ---- time --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["idle", "read"])
def test_a_silent_peer_is_aborted(timed: Bench, clock: Clock, kind: str) -> None:
    connection = timed.establish()
    connection.set_timeouts(**{kind: 10.0})
    clock.now += 9
    timed.settle()
    assert connection.connected
    timed.peer.sendall(b"a")
    timed.until(timed.loop, lambda: timed.received == b"a")
    clock.now += 9
    timed.settle()
    assert connection.connected  # the byte began a new period
    clock.now += 2
    timed.settle()
    assert timed.is_over
    assert isinstance(connection.error, TimeoutError)
    assert kind in str(connection.error)
    assert timed.peer_sees() == errno.ECONNRESET
    assert timed.loop.statistics.timers == 0


def test_sending_counts_for_idle_and_not_for_read(timed: Bench, clock: Clock) -> None:
    connection = timed.establish()
    connection.set_timeouts(idle=10)
    clock.now += 9
    timed.settle()
    connection.send(b"a")
    clock.now += 9
    timed.settle()
    assert connection.connected
    connection.set_timeouts(read=10)
    timed.settle()
    assert isinstance(connection.error, TimeoutError)


def test_read_time_does_not_run_while_reading_is_paused(timed: Bench, clock: Clock) -> None:
    connection = timed.establish()
    connection.set_timeouts(read=10)
    connection.pause_reading()
    clock.now += 100
    timed.settle()
    assert connection.connected
    connection.resume_reading()
    clock.now += 9
    timed.settle()
    assert connection.connected
    clock.now += 2
    timed.settle()
    assert connection.closed


def test_write_time_runs_while_the_kernel_takes_nothing(timed: Bench, clock: Clock) -> None:
    connection = timed.establish()
    connection.set_timeouts(write=10)
    clock.now += 100
    timed.settle()
    assert connection.connected  # nothing is queued
    size = timed.fill()
    connection.send(b"x" * 100_000)
    clock.now += 9
    timed.settle()
    queued = connection.queued
    timed.collect(size)
    timed.settle()
    assert connection.queued < queued
    clock.now += 9
    timed.settle()
    assert connection.connected
    clock.now += 2
    timed.settle()
    assert isinstance(connection.error, TimeoutError)
    assert "write" in str(connection.error)


def test_a_time_out_hook_decides(timed: Bench, clock: Clock) -> None:
    kinds: list[str] = []
    connection = timed.establish(on_timeout=lambda _, kind: kinds.append(kind))
    connection.set_timeouts(idle=10)
    clock.now += 11
    timed.settle()
    assert kinds == ["idle"]
    assert connection.connected
    clock.now += 9
    timed.settle()
    assert kinds == ["idle"]  # a new period
    clock.now += 2
    timed.settle()
    assert kinds == ["idle", "idle"]
    connection.on_timeout = lambda connection, _: connection.close()
    clock.now += 11
    timed.settle()
    assert timed.is_over
    assert connection.error is None


def test_the_first_of_several_time_outs_is_told(timed: Bench, clock: Clock) -> None:
    kinds: list[str] = []
    connection = timed.establish(on_timeout=lambda _, kind: kinds.append(kind))
    connection.set_timeouts(idle=30, read=10, write=20)
    clock.now += 11
    timed.settle()
    assert kinds == ["read"]
    connection.set_timeouts()
    clock.now += 1000
    timed.settle()
    assert kinds == ["read"]


def test_a_time_out_may_be_made_shorter(timed: Bench, clock: Clock) -> None:
    connection = timed.establish()
    connection.set_timeouts(idle=1000)
    connection.set_timeouts(idle=5)
    clock.now += 6
    timed.settle()
    assert connection.closed


@pytest.mark.parametrize("kind", ["idle", "read", "write"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_outs_that_make_no_sense(timed: Bench, kind: str, seconds: float) -> None:
    timed.establish()
    with pytest.raises(ValueError, match=f"{kind}.*{seconds}"):
        timed.connection.set_timeouts(**{kind: seconds})


def test_a_time_out_in_real_time(bench: Bench) -> None:
    connection = bench.establish()
    connection.set_timeouts(idle=0.03)
    bench.until_closed()
    assert isinstance(connection.error, TimeoutError)


# ---- options and figures -----------------------------------------------------------------


@pytest.mark.parametrize("on", [True, False])
def test_no_delay(timed: Bench, on: bool) -> None:
    connection = timed.establish()
    connection.set_no_delay(not on)
    connection.set_no_delay(on)
    value = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert bool(value) is on


def test_keep_alive(timed: Bench) -> None:
    connection = timed.establish()
    sock = connection.socket
    connection.set_keep_alive(idle=33, interval=7, count=5)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 5
    connection.set_keep_alive(None)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_figures_and_names(bench: Bench) -> None:
    connection = bench.establish()
    host, port = bench.peer.getsockname()
    assert (connection.peer_address.host, connection.peer_address.port) == (host, port)
    assert connection.local_address.port == bench.peer.getpeername()[1]
    assert connection.name == f"connection-{connection.socket.fileno()}"
    assert str(port) in repr(connection)
    bench.peer.sendall(b"12345")
    bench.until(bench.loop, lambda: connection.bytes_in == 5)
    connection.send(b"123")
    connection.send([b"4", b"5"])
    assert connection.bytes_out == 5
    connection.context = "the application's"
    connection.close()
    bench.until_closed()
    assert (connection.bytes_in, connection.bytes_out) == (5, 5)
    assert connection.context == "the application's"
    assert connection.peer_address.port == port  # still known, for the log
    assert "disconnected" in repr(connection)


def test_the_peer_of_a_closed_connection_is_known(bench: Bench) -> None:
    number = bench.connection.socket.detach()
    bench.connection = TcpConnection(bench.loop, socket.socket(fileno=number))
    addresses: list[str] = []
    bench.establish(on_connection_closed=lambda c: addresses.append(str(c.peer_address)))
    bench.peer.close()
    bench.until_closed()
    assert len(addresses) == 1
    assert addresses[0].startswith("127.0.0.1:")
