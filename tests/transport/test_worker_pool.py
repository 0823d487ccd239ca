import functools
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from yolanda.buffer import Buffer
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.worker_pool import WorkerPool

RunUntil = Callable[..., None]


class Gate:
    """Jobs that wait until a test opens the gate of each."""

    def __init__(self) -> None:
        self.events: dict[object, threading.Event] = {}
        self.started: list[object] = []
        self.threads: set[str] = set()

    def add(self, *names: object) -> None:
        for name in names:
            self.events[name] = threading.Event()

    def open(self, *names: object) -> None:
        for name in names or list(self.events):
            self.events[name].set()

    def job(self, name: object) -> bytes:
        self.threads.add(threading.current_thread().name)
        self.started.append(name)
        assert self.events[name].wait(20)
        return b"<%s>" % str(name).encode()


class Bench:
    """Connections whose every byte is a job, and their peers."""

    def __init__(self, run_until: RunUntil, threads: int = 4, **options: Any) -> None:
        self.loop = EventLoop()
        self.pool = WorkerPool(threads, **options)
        self.gate = Gate()
        self._run_until = run_until
        self.connections: list[TcpConnection] = []
        self.peers: list[socket.socket] = []
        self.closed: list[TcpConnection] = []

    def connect(self, on_message: Any = None) -> tuple[TcpConnection, socket.socket]:
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        connection = TcpConnection(self.loop, ours)
        connection.on_message = on_message or self.submit_each
        connection.on_connection_closed = self.closed.append
        connection.establish()
        self.connections.append(connection)
        self.peers.append(peer)
        return connection, peer

    def submit_each(self, connection: TcpConnection, buffer: Buffer) -> None:
        for byte in buffer.retrieve_all():
            self.pool.submit(connection, self.gate.job, chr(byte))

    def until(self, condition: Callable[[], object]) -> None:
        self._run_until(self.loop, condition)

    def receive(self, peer: socket.socket, size: int) -> bytes:
        """Turn the loop until ``size`` bytes or the end have arrived."""
        data = bytearray()

        def look() -> bool:
            try:
                piece = peer.recv(size - len(data))
            except BlockingIOError:
                return False
            data.extend(piece)
            return not piece or len(data) == size

        peer.setblocking(False)
        self.until(look)
        return bytes(data)

    def settle(self, seconds: float = 0.03) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def close(self) -> None:
        self.gate.open()
        for connection in self.connections:
            connection.abort()
        for peer in self.peers:
            peer.close()
        self.pool.close()
        self.settle(0)
        self.loop.close()


@pytest.fixture
def bench(run_until: RunUntil) -> Iterator[Bench]:
    bench = Bench(run_until)
    yield bench
    bench.close()


def test_results_come_in_the_order_of_their_jobs(bench: Bench) -> None:
    bench.gate.add("a", "b", "c", "d")
    connection, peer = bench.connect()
    peer.sendall(b"abcd")
    bench.until(lambda: len(bench.gate.started) == 4)
    bench.gate.open("d", "c")
    bench.settle()
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(1)
    bench.gate.open("a")
    assert bench.receive(peer, 3) == b"<a>"
    bench.gate.open("b")
    assert bench.receive(peer, 9) == b"<b><c><d>"
    assert not connection.jobs


def test_jobs_run_in_worker_threads_and_results_in_the_loop(bench: Bench) -> None:
    bench.gate.add(1)
    bench.gate.open()
    connection, _ = bench.connect()
    threads: list[int] = []
    bench.pool.submit(
        connection, bench.gate.job, 1, then=lambda _c, _r: threads.append(threading.get_ident())
    )
    bench.until(lambda: threads)
    assert threads == [threading.get_ident()]
    assert len(bench.gate.threads) == 1
    assert bench.gate.threads.pop().startswith("Worker")


def test_then_gets_the_connection_and_the_result(bench: Bench) -> None:
    got: list[tuple[TcpConnection, Any]] = []
    connection, _ = bench.connect()
    bench.pool.submit(connection, max, 3, 7, then=lambda c, result: got.append((c, result)))
    bench.until(lambda: got)
    assert got == [(connection, 7)]


def test_the_loop_serves_while_workers_block(bench: Bench) -> None:
    bench.gate.add(*"abcdefgh")
    _, slow = bench.connect()
    slow.sendall(b"abcdefgh")  # twice as many as there are threads
    bench.until(lambda: len(bench.gate.started) == 4)

    def echo(connection: TcpConnection, buffer: Buffer) -> None:
        connection.send(buffer.retrieve_all())

    _, quick = bench.connect(echo)
    quick.sendall(b"still there?")
    assert bench.receive(quick, 12) == b"still there?"
    bench.gate.open()
    assert bench.receive(slow, 24) == b"".join(b"<%c>" % c for c in b"abcdefgh")


def test_one_connection_does_not_wait_for_another(bench: Bench) -> None:
    bench.gate.add("a", "b")
    _, first = bench.connect()
    _, second = bench.connect()
    first.sendall(b"a")
    second.sendall(b"b")
    bench.gate.open("b")
    assert bench.receive(second, 3) == b"<b>"
    bench.gate.open("a")
    assert bench.receive(first, 3) == b"<a>"


def test_an_exception_aborts_that_connection_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> bytes:
        raise RuntimeError("this job went wrong")

    bench.gate.add("a", "b")
    bench.gate.open()
    bad, bad_peer = bench.connect()
    _, good_peer = bench.connect()
    bench.pool.submit(bad, bench.gate.job, "a")
    bench.pool.submit(bad, fail)
    bench.pool.submit(bad, bench.gate.job, "b")
    assert bench.receive(bad_peer, 100) == b"<a>"  # what came before it has been sent
    bench.until(lambda: bench.closed)
    assert bench.closed == [bad]
    assert "this job went wrong" in caplog.text
    good_peer.sendall(b"a")
    assert bench.receive(good_peer, 3) == b"<a>"


def test_an_exception_of_then_aborts_that_connection_alone(bench: Bench) -> None:
    def fail(connection: TcpConnection, result: object) -> None:
        raise RuntimeError("cannot encode that")

    bad, _ = bench.connect()
    bench.connect()
    bench.pool.submit(bad, int, then=fail)
    bench.until(lambda: bench.closed)
    bench.settle()
    assert bench.closed == [bad]


def has_grown(jobs: deque[Any], before: int) -> bool:
    return len(jobs) > before


def test_a_fast_client_is_held_back(run_until: RunUntil) -> None:
    bench = Bench(run_until, 2, jobs_a_connection=3)
    bench.gate.add(*"abcdefgh")
    names = iter("abcdefgh")

    def submit_one(connection: TcpConnection, buffer: Buffer) -> None:
        buffer.retrieve_all()
        bench.pool.submit(connection, bench.gate.job, next(names))

    connection, peer = bench.connect(submit_one)
    jobs = connection.jobs = deque()  # as the pool does with the first job
    while len(jobs) < 3:
        assert connection.reading
        before = len(jobs)
        peer.sendall(b"x")
        bench.until(functools.partial(has_grown, jobs, before))
    assert not connection.reading
    peer.sendall(b"x")
    bench.settle()
    assert connection.jobs is not None
    assert len(connection.jobs) == 3
    bench.gate.open("a")
    assert bench.receive(peer, 3) == b"<a>"
    bench.until(lambda: connection.jobs and len(connection.jobs) == 3)
    assert not connection.reading
    bench.gate.open()
    assert bench.receive(peer, 9) == b"<b><c><d>"
    assert connection.reading
    bench.close()


def test_a_burst_beyond_the_limit_pauses_too(run_until: RunUntil) -> None:
    bench = Bench(run_until, 2, jobs_a_connection=2)
    bench.gate.add(*"abcde")
    connection, peer = bench.connect()
    peer.sendall(b"abcde")
    bench.until(lambda: connection.jobs)
    assert connection.jobs is not None
    assert len(connection.jobs) == 5  # they were there already
    assert not connection.reading
    bench.gate.open("a", "b", "c")
    assert bench.receive(peer, 9) == b"<a><b><c>"
    assert not connection.reading
    bench.gate.open("d")
    assert bench.receive(peer, 3) == b"<d>"
    bench.until(lambda: connection.reading)
    bench.close()


def test_a_peer_that_half_closes_still_gets_its_results(bench: Bench) -> None:
    bench.gate.add("a", "b")
    connection, peer = bench.connect()
    peer.sendall(b"ab")
    peer.shutdown(socket.SHUT_WR)
    bench.until(lambda: len(bench.gate.started) == 2)
    bench.settle()
    assert connection.connected
    bench.gate.open()
    assert bench.receive(peer, 100) == b"<a><b>"
    bench.until(lambda: bench.closed)
    assert connection.error is None


def test_a_peer_that_half_closes_while_it_is_held_back(run_until: RunUntil) -> None:
    bench = Bench(run_until, 2, jobs_a_connection=1)
    bench.gate.add("a", "b")
    bench.gate.open("b")
    connection, peer = bench.connect()
    peer.sendall(b"a")
    bench.until(lambda: connection.jobs)
    peer.sendall(b"b")
    peer.shutdown(socket.SHUT_WR)
    bench.settle()
    bench.gate.open("a")
    assert bench.receive(peer, 100) == b"<a><b>"
    bench.until(lambda: bench.closed)
    bench.close()


def test_results_for_a_closed_connection_are_dropped(bench: Bench) -> None:
    bench.gate.add("a", "b")
    connection, peer = bench.connect()
    got: list[Any] = []
    bench.pool.submit(connection, bench.gate.job, "a", then=lambda _, result: got.append(result))
    bench.pool.submit(connection, bench.gate.job, "b", then=lambda _, result: got.append(result))
    bench.until(lambda: len(bench.gate.started) == 2)
    peer.close()
    connection.close()
    bench.until(lambda: bench.closed)
    bench.gate.open()
    bench.until(lambda: not connection.jobs)
    assert got == []
    assert bench.closed == [connection]


def test_results_for_a_closed_loop_are_dropped(run_until: RunUntil) -> None:
    bench = Bench(run_until)
    bench.gate.add("a")
    connection, _ = bench.connect()
    bench.pool.submit(connection, bench.gate.job, "a")
    bench.until(lambda: bench.gate.started)
    connection.close()
    bench.settle()
    bench.loop.close()
    bench.gate.open()
    bench.pool.close()
    for peer in bench.peers:
        peer.close()


def test_closing_the_pool_aborts_what_waits(run_until: RunUntil) -> None:
    bench = Bench(run_until, 1)
    bench.gate.add("a", "b")
    connection, _ = bench.connect()
    bench.pool.submit(connection, bench.gate.job, "a")
    bench.pool.submit(connection, bench.gate.job, "b")
    bench.until(lambda: bench.gate.started)
    bench.pool.close(wait=False)
    bench.gate.open()
    bench.until(lambda: bench.closed)
    assert bench.gate.started == ["a"]
    bench.close()


def test_another_thread_cannot_submit(bench: Bench) -> None:
    connection, _ = bench.connect()
    failures: list[BaseException] = []

    def work() -> None:
        with pytest.raises(RuntimeError, match="belongs to another thread") as caught:
            bench.pool.submit(connection, int)
        failures.append(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures


@pytest.mark.parametrize(("threads", "jobs"), [(0, 1), (-1, 1), (1, 0)])
def test_sizes_that_make_no_sense(threads: int, jobs: int) -> None:
    with pytest.raises(ValueError, match=str(min(threads, jobs))):
        WorkerPool(threads, jobs_a_connection=jobs)


def test_an_application_that_pauses_stays_paused(run_until: RunUntil) -> None:
    bench = Bench(run_until, 2, jobs_a_connection=1)
    bench.gate.add("a")
    connection, peer = bench.connect()
    peer.sendall(b"a")
    bench.until(lambda: bench.gate.started)
    assert not connection.reading
    connection.pause_reading()
    bench.gate.open()
    assert bench.receive(peer, 3) == b"<a>"
    assert not connection.reading
    connection.resume_reading()
    assert connection.reading
    bench.close()
