import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.address import Address, AddressError, open_socket
from yolanda.buffer import Buffer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport import tcp_client
from yolanda.transport.backoff import Backoff
from yolanda.transport.tcp_client import TcpClient
from yolanda.transport.tcp_connection import TcpConnection

RunUntil = Callable[..., None]
QUICK = Backoff(first=0.01, longest=0.02)


class Bench:
    """A client in a loop, a record of its hooks' calls, and plain listening sockets."""

    def __init__(self, loop: EventLoop, run_until: RunUntil) -> None:
        self.loop = loop
        self._run_until = run_until
        self.calls: list[str] = []
        self.errors: list[OSError] = []
        self.received = bytearray()
        self.sockets: list[socket.socket] = []
        self.clients: list[TcpClient] = []

    def listener(self, backlog: int | None = 10) -> socket.socket:
        """A socket that is bound, and listens unless ``backlog`` is `None`."""
        listener = socket.socket()
        self.sockets.append(listener)
        listener.settimeout(30)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        if backlog is not None:
            listener.listen(backlog)
        return listener

    def full_listener(self) -> socket.socket:
        """A listener that answers nobody any more: its queue is full."""
        listener = self.listener(0)
        for _ in range(4):
            filler = socket.socket()
            self.sockets.append(filler)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        return listener

    def client(self, target: socket.socket | str, **options: Any) -> TcpClient:
        address = target if isinstance(target, str) else "{}:{}".format(*target.getsockname())
        hooks: dict[str, Any] = {
            "on_connection_completed": lambda c: self.calls.append("completed"),
            "on_message": self.take,
            "on_connection_closed": lambda c: self.calls.append("closed"),
            "on_connect_failed": self.fail,
        }
        client = TcpClient(self.loop, address, **(hooks | options))
        self.clients.append(client)
        return client

    def take(self, connection: TcpConnection, buffer: Buffer) -> None:
        self.received += buffer.retrieve_all()

    def fail(self, client: TcpClient, error: OSError) -> None:
        self.calls.append("failed")
        self.errors.append(error)

    def accept(self, listener: socket.socket) -> socket.socket:
        sock, _ = listener.accept()
        self.sockets.append(sock)
        sock.settimeout(30)
        return sock

    def until(self, condition: Callable[[], object]) -> None:
        self._run_until(self.loop, condition)

    def until_calls(self, *calls: str) -> None:
        self.until(lambda: len(self.calls) >= len(calls))
        assert self.calls == list(calls)

    def settle(self, seconds: float = 0.03) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for sock in self.sockets:
            sock.close()
        self.settle(0)
        assert self.loop.statistics.timers == 0
        assert self.loop.statistics.channels == 1  # the loop's own


@pytest.fixture(params=list(DISPATCHERS))
def bench(request: pytest.FixtureRequest, run_until: RunUntil) -> Iterator[Bench]:
    with EventLoop(request.param) as loop:
        bench = Bench(loop, run_until)
        yield bench
        bench.close()


@pytest.fixture
def plain(run_until: RunUntil) -> Iterator[Bench]:
    """A bench for what has nothing to do with the dispatcher."""
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        yield bench
        bench.close()


def addresses(*sockets: socket.socket) -> Callable[[Address], list[tuple[int, Any]]]:
    """What stands for `resolve`."""
    return lambda address: [(sock.family, sock.getsockname()) for sock in sockets]


# ---- connecting --------------------------------------------------------------------------


def test_it_connects(bench: Bench) -> None:
    listener = bench.listener()
    client = bench.client(listener)
    assert client.connection is None
    client.connect()
    bench.until_calls("completed")
    connection = client.connection
    assert connection is not None
    assert connection.connected
    assert connection.peer_address.port == listener.getsockname()[1]
    assert connection.owner is client
    assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    peer = bench.accept(listener)
    connection.send(b"ping")
    assert peer.recv(10) == b"ping"
    peer.sendall(b"pong")
    bench.until(lambda: bench.received == b"pong")
    peer.close()
    bench.until_calls("completed", "closed")
    assert client.connection is None
    bench.settle()
    assert bench.calls == ["completed", "closed"]


def test_refused(bench: Bench) -> None:
    listener = bench.listener(None)
    client = bench.client(listener)
    client.connect()
    bench.until_calls("failed")
    error = bench.errors[0]
    assert error.errno == errno.ECONNREFUSED
    assert isinstance(error, ConnectionRefusedError)
    assert str(listener.getsockname()[1]) in str(error)
    assert client.connection is None
    bench.settle()
    assert bench.calls == ["failed"]


def test_nobody_answers(bench: Bench) -> None:
    client = bench.client(bench.full_listener(), connect_timeout=0.05)
    client.connect()
    bench.until_calls("failed")
    assert bench.errors[0].errno == errno.ETIMEDOUT
    bench.settle()
    assert bench.calls == ["failed"]


def test_the_connect_time_out_ends_with_the_attempt(bench: Bench) -> None:
    client = bench.client(bench.listener(), connect_timeout=0.02)
    client.connect()
    bench.until_calls("completed")
    bench.settle(0.05)
    assert bench.calls == ["completed"]


def test_waiting_for_an_answer_does_not_spin(bench: Bench) -> None:
    bench.client(bench.full_listener()).connect()
    before = bench.loop.statistics.iterations
    bench.settle(0.1)
    assert bench.loop.statistics.iterations - before < 10


def test_it_can_be_connected_again_after_it_failed(plain: Bench) -> None:
    listener = plain.listener(None)

    def again(client: TcpClient, error: OSError) -> None:
        plain.fail(client, error)
        listener.listen()
        client.connect()

    plain.client(listener, on_connect_failed=again).connect()
    plain.until_calls("failed", "completed")


def test_connecting_twice_is_an_error(plain: Bench) -> None:
    client = plain.client(plain.listener())
    client.connect()
    with pytest.raises(RuntimeError, match="told to connect already"):
        client.connect()
    plain.until_calls("completed")
    with pytest.raises(RuntimeError, match="told to connect already"):
        client.connect()


def test_another_thread_is_told_so(plain: Bench) -> None:
    client = plain.client(plain.listener())
    failures: list[BaseException] = []

    def work() -> None:
        for method in (client.connect, client.close):
            with pytest.raises(RuntimeError, match="belongs to another thread") as caught:
                method()
            failures.append(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failures) == 2


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_out_that_makes_no_sense(plain: Bench, seconds: float) -> None:
    with pytest.raises(ValueError, match=str(seconds)):
        TcpClient(plain.loop, "127.0.0.1:1", connect_timeout=seconds)


def test_a_descriptor_is_no_place_to_connect_to(plain: Bench) -> None:
    with pytest.raises(AddressError, match="fd:3"):
        TcpClient(plain.loop, "fd:3")


def test_a_local_path(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = socket.socket(socket.AF_UNIX)
    bench.sockets.append(listener)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(30)
    client = bench.client(f"unix:{path}")
    client.connect()
    bench.until_calls("completed")
    bench.accept(listener).sendall(b"local")
    bench.until(lambda: bench.received == b"local")


def test_a_local_path_where_nobody_is(plain: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    plain.client(f"unix:{path}").connect()
    plain.until_calls("failed")
    assert plain.errors[0].errno == errno.ENOENT
    assert str(path) in str(plain.errors[0])


def test_ipv6(plain: Bench) -> None:
    listener = socket.socket(socket.AF_INET6)
    plain.sockets.append(listener)
    try:
        listener.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    listener.listen()
    plain.client(f"[::1]:{listener.getsockname()[1]}").connect()
    plain.until_calls("completed")


# ---- names and their addresses -----------------------------------------------------------


def test_a_name(plain: Bench) -> None:
    listener = plain.listener()
    plain.client(f"localhost:{listener.getsockname()[1]}").connect()
    plain.until_calls("completed")


def test_every_address_of_a_name_is_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, full, opened = bench.listener(None), bench.full_listener(), bench.listener()
    monkeypatch.setattr(tcp_client, "resolve", addresses(closed, full, opened))
    client = bench.client("a-name:1", connect_timeout=0.05)
    client.connect()
    bench.until_calls("completed")
    assert client.connection is not None
    assert client.connection.peer_address.port == opened.getsockname()[1]


def test_the_last_address_s_error_is_told(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    full, closed = plain.full_listener(), plain.listener(None)
    monkeypatch.setattr(tcp_client, "resolve", addresses(full, closed))
    plain.client("a-name:1", connect_timeout=0.05).connect()
    plain.until_calls("failed")
    assert plain.errors[0].errno == errno.ECONNREFUSED
    assert "a-name:1" in str(plain.errors[0])


def test_a_family_that_the_machine_lacks_is_passed_over(
    plain: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = plain.listener()
    monkeypatch.setattr(
        tcp_client,
        "resolve",
        lambda address: [(-5, ("?", 1)), (listener.family, listener.getsockname())],
    )
    plain.client("a-name:1").connect()
    plain.until_calls("completed")


def test_a_name_is_looked_up_in_another_thread(
    plain: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = plain.listener()
    release = threading.Event()
    threads: list[int] = []

    def slow(address: Address) -> list[tuple[int, Any]]:
        threads.append(threading.get_ident())
        release.wait(10)
        return addresses(listener)(address)

    monkeypatch.setattr(tcp_client, "resolve", slow)
    plain.client("a-name:1").connect()
    plain.settle()
    assert plain.calls == []  # and the loop turns meanwhile
    release.set()
    plain.until_calls("completed")
    assert threads != [threading.get_ident()]


def test_a_name_that_is_unknown(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(address: Address) -> list[tuple[int, Any]]:
        raise AddressError(f"{address}: Name or service not known")

    monkeypatch.setattr(tcp_client, "resolve", unknown)
    plain.client("no-such-name:1").connect()
    plain.until_calls("failed")
    assert "no-such-name:1: Name or service not known" in str(plain.errors[0])


# ---- strange ends of an attempt ----------------------------------------------------------


def test_a_connection_to_itself_is_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    free = bench.listener(None)
    own = free.getsockname()
    free.close()

    def open_bound(family: int) -> socket.socket:
        sock = open_socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(own)  # the port that the kernel might have chosen
        return sock

    monkeypatch.setattr(tcp_client, "open_socket", open_bound)
    bench.client("{}:{}".format(*own)).connect()
    bench.until_calls("failed")
    assert bench.errors[0].errno == errno.ECONNREFUSED


def test_a_connection_that_is_lost_while_it_is_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(sock: socket.socket) -> bool:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(tcp_client, "_is_connected_to_itself", gone)
    bench.client(bench.listener()).connect()
    bench.until_calls("failed")
    assert bench.errors[0].errno == errno.ENOTCONN


def test_a_connection_that_is_reset_at_once(bench: Bench) -> None:
    listener = bench.listener()
    client = bench.client(listener)
    client.connect()
    peer = bench.accept(listener)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    bench.until(lambda: bench.calls)
    bench.settle()
    assert bench.calls in (["failed"], ["completed", "closed"])


# ---- trying again ------------------------------------------------------------------------


def test_it_tries_until_the_server_is_there(bench: Bench) -> None:
    listener = bench.listener(None)
    client = bench.client(listener, retry=QUICK)
    client.connect()
    bench.until(lambda: client._failures >= 3)
    assert bench.calls == []
    listener.listen()
    bench.until_calls("completed")
    assert client._failures == 0


def test_it_gives_up(bench: Bench) -> None:
    client = bench.client(bench.listener(None), retry=Backoff(0.01, longest=0.01, attempts=3))
    client.connect()
    bench.until_calls("failed")
    assert client._failures == 3
    bench.settle()
    assert bench.calls == ["failed"]
    client.connect()  # from the beginning
    bench.until_calls("failed", "failed")


def test_a_name_is_looked_up_again_each_time(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, opened = plain.listener(None), plain.listener()
    answers = [addresses(closed), addresses(closed), addresses(opened)]
    monkeypatch.setattr(tcp_client, "resolve", lambda address: answers.pop(0)(address))
    plain.client("a-name:1", retry=QUICK).connect()
    plain.until_calls("completed")
    assert answers == []


def test_it_comes_back(bench: Bench) -> None:
    listener = bench.listener()
    client = bench.client(listener, reconnect=True, retry=QUICK)
    client.connect()
    bench.until_calls("completed")
    bench.accept(listener).close()
    bench.until_calls("completed", "closed", "completed")
    peer = bench.accept(listener)
    peer.sendall(b"again")
    bench.until(lambda: bench.received == b"again")
    client.close()
    bench.settle(0.06)
    assert bench.calls == ["completed", "closed", "completed", "closed"]


def test_it_comes_back_when_the_server_was_away(plain: Bench) -> None:
    listener = plain.listener()
    client = plain.client(listener, reconnect=True, retry=QUICK)
    client.connect()
    plain.until_calls("completed")
    address = listener.getsockname()
    plain.accept(listener).close()
    listener.close()
    plain.until(lambda: client._failures >= 2)
    again = socket.socket()
    plain.sockets.append(again)
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(address)
    again.listen()
    plain.until_calls("completed", "closed", "completed")


def test_without_reconnect_it_stays_away(plain: Bench) -> None:
    listener = plain.listener()
    client = plain.client(listener)
    client.connect()
    plain.until_calls("completed")
    plain.accept(listener).close()
    plain.until_calls("completed", "closed")
    plain.settle()
    assert client.connection is None
    client.connect()
    plain.until_calls("completed", "closed", "completed")


def test_connecting_in_the_closed_hook(plain: Bench) -> None:
    listener = plain.listener()

    def again(connection: TcpConnection) -> None:
        plain.calls.append("closed")
        if len(plain.calls) < 3:
            client.connect()

    client = plain.client(listener, on_connection_closed=again)
    client.connect()
    plain.until_calls("completed")
    plain.accept(listener).close()
    plain.until_calls("completed", "closed", "completed")
    plain.settle()
    assert client.connection is not None
    plain.accept(listener).sendall(b"second")
    plain.until(lambda: plain.received == b"second")


# ---- closing -----------------------------------------------------------------------------


def test_close_before_connect(plain: Bench) -> None:
    client = plain.client(plain.listener())
    client.close()
    client.close()
    client.connect()
    plain.until_calls("completed")


def test_close_while_it_is_looked_up(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = plain.listener()
    release = threading.Event()

    def slow(address: Address) -> list[tuple[int, Any]]:
        release.wait(10)
        return addresses(listener)(address)

    monkeypatch.setattr(tcp_client, "resolve", slow)
    client = plain.client("a-name:1")
    client.connect()
    client.close()
    release.set()
    plain.settle()
    assert plain.calls == []
    client.connect()
    plain.until_calls("completed")


def test_a_loop_that_is_closed_while_it_is_looked_up(
    run_until: RunUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def slow(address: Address) -> list[tuple[int, Any]]:
        release.wait(10)
        return []

    monkeypatch.setattr(tcp_client, "resolve", slow)
    with EventLoop() as loop:
        TcpClient(loop, "a-name:1").connect()
    release.set()
    for thread in threading.enumerate():
        if thread.name == "lookup":
            thread.join(30)


@pytest.mark.parametrize("full", [False, True])
def test_close_after_the_loop(run_until: RunUntil, full: bool) -> None:
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        client = bench.client(bench.full_listener() if full else bench.listener())
        client.connect()
        if not full:
            bench.until_calls("completed")
    client.close()
    assert bench.calls == ([] if full else ["completed", "closed"])
    for sock in bench.sockets:
        sock.close()


def test_close_while_it_connects(bench: Bench) -> None:
    client = bench.client(bench.full_listener(), connect_timeout=0.02)
    client.connect()
    bench.loop.run_once(0)
    client.close()
    bench.settle(0.05)
    assert bench.calls == []


def test_close_while_it_waits_to_try_again(plain: Bench) -> None:
    client = plain.client(plain.listener(None), retry=QUICK)
    client.connect()
    plain.until(lambda: client._failures == 1)
    client.close()
    plain.settle(0.05)
    assert plain.calls == []
    assert client._failures == 1


def test_close_while_it_is_connected(bench: Bench) -> None:
    listener = bench.listener()
    client = bench.client(listener, reconnect=True, retry=QUICK)
    client.connect()
    bench.until_calls("completed")
    client.close()
    bench.until_calls("completed", "closed")
    assert bench.accept(listener).recv(10) == b""
    bench.settle(0.05)
    assert bench.calls == ["completed", "closed"]


def test_close_in_the_completed_hook(plain: Bench) -> None:
    def complete(connection: TcpConnection) -> None:
        plain.calls.append("completed")
        client.close()

    client = plain.client(plain.listener(), on_connection_completed=complete, reconnect=True)
    client.connect()
    plain.until_calls("completed", "closed")
    assert client.connection is None


def test_close_in_the_closed_hook_ends_reconnecting(plain: Bench) -> None:
    def closed(connection: TcpConnection) -> None:
        plain.calls.append("closed")
        client.close()

    listener = plain.listener()
    client = plain.client(listener, on_connection_closed=closed, reconnect=True, retry=QUICK)
    client.connect()
    plain.until_calls("completed")
    plain.accept(listener).close()
    plain.until_calls("completed", "closed")
    plain.settle(0.05)
    assert plain.calls == ["completed", "closed"]


def test_close_and_connect_at_once(plain: Bench) -> None:
    listener = plain.listener()
    client = plain.client(listener)
    client.connect()
    plain.until_calls("completed")
    client.close()
    client.connect()
    plain.until(lambda: plain.calls.count("completed") == 2)
    plain.settle()
    assert sorted(plain.calls) == ["closed", "completed", "completed"]
    assert client.connection is not None
    assert client.connection.connected


def test_an_exception_in_a_hook_closes_the_connection(plain: Bench) -> None:
    def fail(connection: TcpConnection) -> None:
        raise RuntimeError("cannot use it")

    listener = plain.listener()
    plain.client(listener, on_connection_completed=fail).connect()
    plain.until_calls("closed")
    with pytest.raises(ConnectionResetError):
        plain.accept(listener).recv(1)


def test_it_says_what_it_is(plain: Bench) -> None:
    client = plain.client(plain.listener())
    assert repr(client).endswith("idle>")
    client.connect()
    assert repr(client) == f"<TcpClient of {client.address}, connecting>"
    plain.until_calls("completed")
    assert repr(client).endswith("connected>")
