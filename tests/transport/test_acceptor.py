import contextlib
import errno
import logging
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.address import Address, bind_socket
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.acceptor import ACCEPTS_A_TURN, Acceptor

RunUntil = Callable[..., None]


class Flaky:
    """A listening socket whose first calls of ``accept`` fail."""

    def __init__(self, sock: socket.socket, codes: list[int]) -> None:
        self._socket = sock
        self._codes = codes
        self.calls = 0

    def accept(self) -> Any:
        self.calls += 1
        if self._codes:
            code = self._codes.pop(0)
            raise OSError(code, os.strerror(code))
        return self._socket.accept()


class Bench:
    """An acceptor in a loop, what it has accepted, and clients."""

    def __init__(self, loop: EventLoop, address: str = "127.0.0.1:0") -> None:
        self.loop = loop
        self.bound = bind_socket(Address.parse(address))
        self.accepted: list[socket.socket] = []
        self.peers: list[Any] = []
        self.clients: list[socket.socket] = []
        self.acceptor = Acceptor(loop, self.bound, self.take)

    def take(self, sock: socket.socket, peer: Any) -> None:
        self.accepted.append(sock)
        self.peers.append(peer)

    def connect(self) -> socket.socket:
        local = self.bound.address.is_local
        client = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        self.clients.append(client)
        client.settimeout(30)
        client.connect(self.bound.socket.getsockname())
        return client

    def turns(self, seconds: float) -> int:
        """How often the loop turns in ``seconds`` when it is left alone."""
        before = self.loop.statistics.iterations
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()
        return self.loop.statistics.iterations - before

    def close(self) -> None:
        self.acceptor.close()
        for sock in (*self.accepted, *self.clients):
            sock.close()


@pytest.fixture(params=list(DISPATCHERS))
def loop(request: pytest.FixtureRequest) -> Iterator[EventLoop]:
    with EventLoop(request.param) as loop:
        yield loop


@pytest.fixture
def bench(loop: EventLoop) -> Iterator[Bench]:
    bench = Bench(loop)
    yield bench
    bench.close()


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Lower the limit of descriptors and open all that are left."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (used[0] + 1, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                used.append(os.dup(0))
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in used:
            os.close(number)


def test_a_connection_is_passed_on(bench: Bench, run_until: RunUntil) -> None:
    bench.acceptor.start()
    client = bench.connect()
    run_until(bench.loop, lambda: bench.accepted)
    assert bench.peers == [client.getsockname()]
    bench.accepted[0].send(b"hello")
    assert client.recv(10) == b"hello"


def test_the_sockets_do_not_block_and_are_not_inherited(bench: Bench, run_until: RunUntil) -> None:
    bench.acceptor.start()
    assert not bench.bound.socket.getblocking()
    assert not bench.bound.socket.get_inheritable()
    bench.connect()
    run_until(bench.loop, lambda: bench.accepted)
    assert not bench.accepted[0].getblocking()
    assert not os.get_blocking(bench.accepted[0].fileno())
    assert not bench.accepted[0].get_inheritable()


def test_an_event_without_a_connection(bench: Bench, run_until: RunUntil) -> None:
    bench.acceptor.start()
    bench.acceptor._handle_read()  # somebody else, who shares the socket, was faster
    assert bench.accepted == []
    bench.connect()
    run_until(bench.loop, lambda: bench.accepted)


def test_accepting_is_bounded_a_turn(bench: Bench, run_until: RunUntil) -> None:
    bench.acceptor.start()
    total = ACCEPTS_A_TURN * 2 + 10
    for _ in range(total):
        bench.connect()
    bench.loop.run_once(0)
    assert 0 < len(bench.accepted) <= ACCEPTS_A_TURN
    run_until(bench.loop, lambda: len(bench.accepted) == total)


def test_a_client_that_resets_before_it_is_accepted(bench: Bench, run_until: RunUntil) -> None:
    bench.acceptor.start()
    client = bench.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    other = bench.connect()
    run_until(bench.loop, lambda: other.getsockname() in bench.peers)


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
def test_a_connection_that_broke_is_passed_over(
    bench: Bench, run_until: RunUntil, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.acceptor.start()
    flaky = Flaky(bench.bound.socket, [code, code])
    monkeypatch.setattr(bench.acceptor, "_socket", flaky)
    bench.connect()
    run_until(bench.loop, lambda: bench.accepted)
    assert flaky.calls == 4  # the last one found nothing more
    assert bench.turns(0.05) < 10


def test_a_full_descriptor_table_is_survived(
    bench: Bench, run_until: RunUntil, caplog: pytest.LogCaptureFixture
) -> None:
    bench.acceptor.start()
    client = bench.connect()
    with no_descriptors_left():
        assert bench.turns(0.35) < 20  # it rests instead of spinning
        assert bench.accepted == []
    run_until(bench.loop, lambda: bench.accepted)
    assert bench.peers == [client.getsockname()]
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1  # said once, however often it was tried
    assert "EMFILE" in warnings[0].getMessage()
    bench.connect()
    run_until(bench.loop, lambda: len(bench.accepted) == 2)


@pytest.mark.parametrize("code", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_other_exhaustion_is_survived(
    bench: Bench, run_until: RunUntil, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.acceptor.start()
    flaky = Flaky(bench.bound.socket, [code, code])
    monkeypatch.setattr(bench.acceptor, "_socket", flaky)
    bench.connect()
    before = bench.loop.statistics.iterations
    run_until(bench.loop, lambda: bench.accepted)
    assert bench.loop.statistics.iterations - before < 20


def test_pausing_while_descriptors_are_short(
    bench: Bench, run_until: RunUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.acceptor.start()
    flaky = Flaky(bench.bound.socket, [errno.EMFILE])
    monkeypatch.setattr(bench.acceptor, "_socket", flaky)
    bench.connect()
    run_until(bench.loop, lambda: flaky.calls == 1)
    bench.acceptor.pause()
    assert bench.turns(0.2) < 10
    assert bench.accepted == []
    bench.acceptor.resume()
    run_until(bench.loop, lambda: bench.accepted)


def test_resuming_does_not_cut_the_rest_short(
    bench: Bench, run_until: RunUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.acceptor.start()
    flaky = Flaky(bench.bound.socket, [errno.EMFILE] * 100)
    monkeypatch.setattr(bench.acceptor, "_socket", flaky)
    bench.connect()
    run_until(bench.loop, lambda: flaky.calls == 1)
    bench.acceptor.pause()
    bench.acceptor.resume()
    bench.loop.run_once(0)
    assert flaky.calls == 1
    flaky._codes.clear()
    run_until(bench.loop, lambda: bench.accepted)


def test_close_while_it_rests(
    bench: Bench, run_until: RunUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.acceptor.start()
    flaky = Flaky(bench.bound.socket, [errno.EMFILE] * 100)
    monkeypatch.setattr(bench.acceptor, "_socket", flaky)
    bench.connect()
    run_until(bench.loop, lambda: flaky.calls == 1)
    bench.acceptor.close()
    assert bench.loop.statistics.timers == 0
    assert bench.turns(0.02) < 10


def test_pause_and_resume(bench: Bench, run_until: RunUntil) -> None:
    bench.acceptor.start()
    bench.acceptor.pause()
    client = bench.connect()  # the kernel completes it all the same
    assert bench.turns(0.05) < 10
    assert bench.accepted == []
    bench.acceptor.resume()
    run_until(bench.loop, lambda: bench.accepted)
    assert bench.peers == [client.getsockname()]


def test_pause_within_the_hook(loop: EventLoop, run_until: RunUntil) -> None:
    bench = Bench(loop)

    def take_one(sock: socket.socket, peer: Any) -> None:
        bench.take(sock, peer)
        bench.acceptor.pause()

    bench.acceptor = Acceptor(loop, bench.bound, take_one)
    bench.acceptor.start()
    for _ in range(3):
        bench.connect()
    for count in (1, 2, 3):
        run_until(loop, lambda: bench.accepted)
        bench.turns(0.02)
        assert len(bench.accepted) == count
        bench.acceptor.resume()
    bench.close()


@pytest.mark.parametrize("count", [0, 5, ACCEPTS_A_TURN + 10])
def test_close_accepts_what_the_kernel_has_completed(bench: Bench, count: int) -> None:
    bench.acceptor.start()
    clients = [bench.connect() for _ in range(count)]
    bench.acceptor.close()
    assert sorted(bench.peers) == sorted(client.getsockname() for client in clients)
    for sock in bench.accepted:
        sock.send(b"served")
    assert all(client.recv(10) == b"served" for client in clients)
    late = socket.socket()
    bench.clients.append(late)
    assert late.connect_ex(("127.0.0.1", bench.bound.address.port)) == errno.ECONNREFUSED


def test_close_stops_at_a_pause(bench: Bench) -> None:
    def take_two(sock: socket.socket, peer: Any) -> None:
        bench.take(sock, peer)
        if len(bench.accepted) == 2:
            bench.acceptor.pause()

    bench.acceptor = Acceptor(bench.loop, bench.bound, take_two)
    bench.acceptor.start()
    for _ in range(4):
        bench.connect()
    bench.acceptor.close()
    assert len(bench.accepted) == 2


def test_close_may_be_repeated_and_come_before_start(loop: EventLoop) -> None:
    bench = Bench(loop)
    bench.acceptor.close()
    bench.acceptor.close()
    bench = Bench(loop)
    bench.acceptor.start()
    bench.acceptor.close()
    bench.acceptor.close()
    bench.acceptor.resume()
    loop.run_once(0)


def test_an_exception_of_the_hook_costs_that_connection_alone(
    loop: EventLoop, run_until: RunUntil, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(loop)
    calls = 0

    def fail_first(sock: socket.socket, peer: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not this one")
        bench.take(sock, peer)

    bench.acceptor = Acceptor(loop, bench.bound, fail_first)
    bench.acceptor.start()
    first, second = bench.connect(), bench.connect()
    run_until(loop, lambda: bench.accepted)
    assert first.recv(10) == b""
    assert bench.peers == [second.getsockname()]
    assert "not this one" in caplog.text
    bench.close()


def test_a_local_socket(loop: EventLoop, run_until: RunUntil, tmp_path: Path) -> None:
    path = tmp_path / "s"
    bench = Bench(loop, f"unix:{path}")
    bench.acceptor.start()
    client = bench.connect()
    run_until(loop, lambda: bench.accepted)
    client.sendall(b"local")
    assert bench.accepted[0].recv(10) == b"local"
    bench.close()
    assert not path.exists()
