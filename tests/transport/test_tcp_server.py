import errno
import gc
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.address import Address
from yolanda.buffer import Buffer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import ConnectionHandler, TcpServer

RunUntil = Callable[..., None]


def echo(connection: TcpConnection, buffer: Buffer) -> None:
    connection.send(buffer.retrieve_all())


class Bench:
    """Servers in a loop of this thread, and their clients."""

    def __init__(self, loop: EventLoop, run_until: RunUntil) -> None:
        self.loop = loop
        self._run_until = run_until
        self.clients: list[socket.socket] = []
        self.servers: list[TcpServer] = []

    def serve(self, address: str = "127.0.0.1:0", **options: Any) -> TcpServer:
        """A server that has been started; it echoes unless it is told otherwise."""
        if "handler" not in options:
            options.setdefault("on_message", echo)
        server = TcpServer(self.loop, address, **options)
        self.servers.append(server)
        server.start()
        return server

    def connect(self, server: TcpServer, host: str = "127.0.0.1") -> socket.socket:
        address = server.address
        target: Any = (host, address.port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if address.path is not None:
            family = socket.AF_UNIX
            target = address.path.replace("@", "\0")
        client = socket.socket(family)
        self.clients.append(client)
        client.settimeout(30)
        client.connect(target)
        return client

    def until(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        self._run_until(self.loop, condition, timeout=timeout)

    def receive(self, client: socket.socket, size: int = 1 << 16) -> bytes:
        """Turn the loop until ``client`` has something, or the end, or an error."""
        found: list[bytes] = []

        def look() -> bool:
            try:
                found.append(client.recv(size))
            except BlockingIOError:
                return False
            return True

        client.setblocking(False)
        try:
            self.until(look)
        finally:
            client.settimeout(30)
        return found[0]

    def ask(self, client: socket.socket, data: bytes = b"hello") -> bytes:
        client.sendall(data)
        return self.receive(client)

    def settle(self, seconds: float = 0.03) -> None:
        """Let the loop run for a while, for what must not happen."""
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.close()


@pytest.fixture(params=list(DISPATCHERS))
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLoop]:
    monkeypatch.setenv("YOLANDA_DISPATCHER", request.param)  # for the threads' loops as well
    with EventLoop() as loop:
        yield loop


@pytest.fixture
def bench(loop: EventLoop, run_until: RunUntil) -> Iterator[Bench]:
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


# ---- serving -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_it_echoes(bench: Bench, threads: int) -> None:
    server = bench.serve(threads=threads)
    clients = [bench.connect(server) for _ in range(5)]
    for number, client in enumerate(clients):
        assert bench.ask(client, b"%d" % number) == b"%d" % number
    assert server.connections == 5
    for client in clients:
        client.close()
    bench.until(lambda: server.connections == 0)


@pytest.mark.parametrize("threads", [0, 3])
def test_the_hooks_run_in_the_connection_s_own_thread(bench: Bench, threads: int) -> None:
    calls: list[tuple[str, TcpConnection, str, str]] = []

    def note(hook: str, connection: TcpConnection) -> None:
        assert connection.loop.in_loop_thread
        calls.append((hook, connection, threading.current_thread().name, connection.loop.name))

    def message(connection: TcpConnection, buffer: Buffer) -> None:
        note("message", connection)
        connection.send(buffer.retrieve_all())

    server = bench.serve(
        threads=threads,
        on_connection_completed=lambda c: note("completed", c),
        on_message=message,
        on_write_completed=lambda c: note("write", c),
        on_connection_closed=lambda c: note("closed", c),
    )
    for _ in range(6):
        client = bench.connect(server)
        bench.ask(client)
        bench.until(lambda: calls[-1][0] == "write")
        client.close()
        bench.until(lambda: calls[-1][0] == "closed")
    assert [hook for hook, *_ in calls] == ["completed", "message", "write", "closed"] * 6
    for start in range(0, len(calls), 4):
        assert len({call[1:] for call in calls[start : start + 4]}) == 1
    names = Counter(name for hook, _, name, _ in calls if hook == "completed")
    if threads:
        assert names == {"Thread-1": 2, "Thread-2": 2, "Thread-3": 2}  # by turns
        assert all(thread == loop for _, _, thread, loop in calls)
    else:
        assert names == {threading.current_thread().name: 6}


def test_as_many_threads_as_asked_for(plain: Bench) -> None:
    before = threading.active_count()
    server = plain.serve(threads=3)
    assert threading.active_count() == before + 3
    assert [loop.name for loop in server.loops] == ["Thread-1", "Thread-2", "Thread-3"]
    server.close()
    assert threading.active_count() == before


class Handler(ConnectionHandler):
    made: list["Handler"]

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.made.append(self)

    def on_connection_completed(self, connection: TcpConnection) -> None:
        self.calls.append("completed")

    def on_message(self, connection: TcpConnection, buffer: Buffer) -> None:
        self.calls.append("message")
        connection.send(buffer.retrieve_all().upper())

    def on_write_completed(self, connection: TcpConnection) -> None:
        self.calls.append("write")

    def on_connection_closed(self, connection: TcpConnection) -> None:
        self.calls.append("closed")


@pytest.mark.parametrize("threads", [0, 2])
def test_a_handler_class(bench: Bench, threads: int) -> None:
    Handler.made = []
    server = bench.serve(handler=Handler, threads=threads)
    for _ in range(3):
        client = bench.connect(server)
        assert bench.ask(client, b"abc") == b"ABC"
        bench.until(lambda: Handler.made[-1].calls[-1] == "write")
        client.close()
        bench.until(lambda: server.connections == 0)
    assert [handler.calls for handler in Handler.made] == [
        ["completed", "message", "write", "closed"]
    ] * 3


def test_a_handler_that_does_nothing(plain: Bench) -> None:
    server = plain.serve(handler=ConnectionHandler)
    client = plain.connect(server)
    client.sendall(b"into the void")
    client.shutdown(socket.SHUT_WR)
    assert plain.receive(client) == b""


def test_a_handler_that_cannot_be_made_closes_its_connection(plain: Bench) -> None:
    def make() -> ConnectionHandler:
        raise RuntimeError("no handler today")

    server = plain.serve(handler=make)
    client = plain.connect(server)
    with pytest.raises(ConnectionResetError):
        plain.receive(client)
    plain.until(lambda: server.connections == 0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"handler": ConnectionHandler, "on_message": echo}, "either a handler or hooks"),
        ({"max_connections": 0}, "not 0"),
        ({"threads": -1}, "-1"),
        ({"threads": "many"}, "many"),
        ({"choice": "by-dice"}, "by-dice"),
    ],
)
def test_options_that_make_no_sense(plain: Bench, options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TcpServer(plain.loop, "127.0.0.1:0", **options)


def test_it_starts_once(plain: Bench) -> None:
    server = plain.serve()
    with pytest.raises(RuntimeError, match="started already"):
        server.start()


def test_another_thread_is_told_so(plain: Bench) -> None:
    server = plain.serve()
    failures: list[str] = []

    def work() -> None:
        for method in (server.start, server.close):
            with pytest.raises(RuntimeError, match="belongs to another thread") as caught:
                method()
            failures.append(str(caught.value))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failures) == 2


def test_an_exception_in_one_connection_leaves_the_others(bench: Bench) -> None:
    def picky(connection: TcpConnection, buffer: Buffer) -> None:
        data = buffer.retrieve_all()
        if data == b"bad":
            raise RuntimeError("not that")
        connection.send(data)

    server = bench.serve(on_message=picky)
    good, bad = bench.connect(server), bench.connect(server)
    assert bench.ask(good) == b"hello"
    bad.sendall(b"bad")
    with pytest.raises(ConnectionResetError):
        bench.receive(bad)
    assert bench.ask(good) == b"hello"


@pytest.mark.parametrize("on", [True, False])
def test_no_delay(plain: Bench, on: bool) -> None:
    values: list[int] = []

    def look(connection: TcpConnection) -> None:
        values.append(connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    server = plain.serve(no_delay=on, on_connection_completed=look)
    plain.connect(server)
    plain.until(lambda: values)
    assert bool(values[0]) is on


def test_accepted_sockets_are_not_inherited(plain: Bench) -> None:
    values: list[bool] = []
    server = plain.serve(
        on_connection_completed=lambda c: values.append(c.socket.get_inheritable())
    )
    plain.connect(server)
    plain.until(lambda: values == [False])


# ---- choosing a thread -------------------------------------------------------------------


def test_least_connections(plain: Bench) -> None:
    server = plain.serve(threads=3, choice="least-connections")
    for _ in range(30):  # they all come before one of them is established
        plain.connect(server)
    plain.until(lambda: server.connections == 30)
    sizes = [len(server._connections[loop]) for loop in server.loops]
    assert sizes == [10, 10, 10]


def test_least_connections_fills_the_gaps(plain: Bench) -> None:
    where: dict[int, str] = {}

    def note(connection: TcpConnection) -> None:
        where[connection.peer_address.port] = threading.current_thread().name

    server = plain.serve(threads=2, choice="least-connections", on_connection_completed=note)
    clients = [plain.connect(server) for _ in range(4)]
    plain.until(lambda: len(where) == 4)
    for client in clients:
        if where[client.getsockname()[1]] == "Thread-2":
            client.close()
    plain.until(lambda: server.connections == 2 and server._accepted == 2)
    where.clear()
    for _ in range(2):
        plain.connect(server)
    plain.until(lambda: len(where) == 2)
    assert set(where.values()) == {"Thread-2"}


def test_peer_hash_keeps_a_peer_in_its_thread(plain: Bench) -> None:
    names: list[str] = []
    server = plain.serve(
        threads=3,
        choice="peer-hash",
        on_connection_completed=lambda _: names.append(threading.current_thread().name),
    )
    for _ in range(6):
        client = socket.socket()
        plain.clients.append(client)
        client.connect(("127.0.0.1", server.address.port))
    plain.until(lambda: len(names) == 6)
    assert set(names) <= {"Thread-1", "Thread-2", "Thread-3"}


# ---- how many ----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_further_clients_wait(bench: Bench, threads: int) -> None:
    server = bench.serve(max_connections=2, threads=threads)
    clients = [bench.connect(server) for _ in range(5)]
    for client in clients:
        client.sendall(b"x")
    for client in clients[:2]:
        assert bench.receive(client) == b"x"
    bench.settle()
    assert server.connections == 2
    for place in range(3):
        clients[place].close()
        assert bench.receive(clients[place + 2]) == b"x"
        assert server.connections <= 2


def test_waiting_clients_do_not_make_the_loop_spin(bench: Bench) -> None:
    server = bench.serve(max_connections=1)
    client = bench.connect(server)
    bench.ask(client)
    bench.connect(server)
    before = bench.loop.statistics.iterations
    bench.settle(0.1)
    assert bench.loop.statistics.iterations - before < 10


@pytest.mark.parametrize("threads", [0, 2])
def test_many_connections_leave_nothing_behind(bench: Bench, threads: int) -> None:
    closed: list[int] = []
    server = bench.serve(threads=threads, on_connection_closed=lambda c: closed.append(1))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    earlier = all_connections()  # what another test of this process has left is not this one's
    for _ in range(4):
        clients = [bench.connect(server) for _ in range(50)]
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            assert bench.receive(client) == b"x"
        for client in clients:
            client.close()
        bench.until(lambda: server.connections == 0)
    bench.clients.clear()
    assert len(closed) == 200
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before

    def all_gone() -> bool:
        return all(any(left is one for one in earlier) for left in all_connections())

    bench.until(all_gone)  # a sub-reactor may just be on its way out of the last one's hooks


def all_connections() -> list[TcpConnection]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is TcpConnection]


# ---- stopping ----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_stop_while_idle(bench: Bench, threads: int) -> None:
    stopped: list[int] = []
    before = threading.active_count()
    server = bench.serve(threads=threads)
    server.stop(on_stopped=lambda: stopped.append(threading.active_count()))
    bench.until(lambda: stopped)
    assert stopped == [before]
    assert server.stopping
    server.stop()
    server.close()
    bench.settle()
    assert len(stopped) == 1
    assert bench.loop.statistics.timers == 0
    with pytest.raises(ConnectionRefusedError):
        bench.connect(server)


@pytest.mark.parametrize("threads", [0, 2])
def test_stop_lets_connections_end(bench: Bench, threads: int) -> None:
    stopped: list[int] = []
    data = os.urandom(8_000_000)

    def answer(connection: TcpConnection, buffer: Buffer) -> None:
        buffer.retrieve_all()
        connection.send(data)

    before = threading.active_count()
    server = bench.serve(threads=threads, on_message=answer)
    client = bench.connect(server)
    client.sendall(b"all of it")
    got = bytearray(bench.receive(client))
    server.stop(timeout=30, on_stopped=lambda: stopped.append(1))
    while piece := bench.receive(client):
        got += piece
    assert bytes(got) == data
    assert stopped == []  # the client has not ended yet
    client.close()
    bench.until(lambda: stopped)
    assert server.connections == 0
    assert threading.active_count() == before
    bench.settle()
    assert stopped == [1]


@pytest.mark.parametrize("threads", [0, 2])
def test_stop_aborts_what_does_not_end(bench: Bench, threads: int) -> None:
    stopped: list[int] = []
    closed: list[TcpConnection] = []
    before = threading.active_count()
    server = bench.serve(threads=threads, on_connection_closed=closed.append)
    clients = [bench.connect(server) for _ in range(4)]
    for client in clients:
        bench.ask(client)
    server.stop(timeout=0.05, on_stopped=lambda: stopped.append(1))
    for client in clients:
        assert bench.receive(client) == b""  # half-closed at first
    bench.until(lambda: stopped)
    assert len(closed) == 4
    for client in clients:
        code = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert code in (errno.ECONNRESET, errno.EPIPE)
    assert threading.active_count() == before
    bench.settle()
    assert stopped == [1]


def test_a_second_stop_is_less_patient(bench: Bench) -> None:
    stopped: list[str] = []
    server = bench.serve()
    client = bench.connect(server)
    bench.ask(client)
    server.stop(timeout=1000, on_stopped=lambda: stopped.append("first"))
    bench.settle()
    assert stopped == []
    server.stop(timeout=0, on_stopped=lambda: stopped.append("second"))
    bench.until(lambda: stopped)
    assert stopped == ["second"]


@pytest.mark.parametrize("threads", [0, 2])
def test_stop_from_within_a_hook(bench: Bench, threads: int) -> None:
    stopped: list[int] = []

    def message(connection: TcpConnection, buffer: Buffer) -> None:
        echo(connection, buffer)
        server.loop.run_in_loop(server.stop, 30, lambda: stopped.append(1))

    server = bench.serve(threads=threads, on_message=message)
    client = bench.connect(server)
    assert bench.ask(client) == b"hello"
    assert bench.receive(client) == b""
    client.close()
    bench.until(lambda: stopped)


@pytest.mark.parametrize("threads", [0, 2])
def test_stop_serves_what_the_kernel_has_completed(bench: Bench, threads: int) -> None:
    stopped: list[int] = []

    class Patient(TcpServer):
        def drain(self, connection: TcpConnection) -> None:
            """Wait for the client to close."""

    server = Patient(bench.loop, "127.0.0.1:0", on_message=echo, threads=threads)
    bench.servers.append(server)
    server.start()
    clients = [bench.connect(server) for _ in range(3)]
    for client in clients:
        client.sendall(b"in time")
    server.stop(on_stopped=lambda: stopped.append(1))
    for client in clients:
        assert bench.receive(client) == b"in time"
        assert stopped == []
        client.close()
    bench.until(lambda: stopped)


def test_stop_waits_for_the_workers(bench: Bench) -> None:
    release = threading.Event()
    stopped: list[int] = []

    def work() -> bytes:
        release.wait(10)
        return b"worth waiting for"

    def message(connection: TcpConnection, buffer: Buffer) -> None:
        buffer.retrieve_all()
        assert server.workers is not None
        server.workers.submit(connection, work)

    server = bench.serve(on_message=message, workers=1)
    client = bench.connect(server)
    client.sendall(b"x")
    bench.until(lambda: any(c.jobs for c in server._connections[bench.loop]))
    server.stop(on_stopped=lambda: stopped.append(1))
    bench.settle()
    release.set()
    assert bench.receive(client) == b"worth waiting for"
    assert bench.receive(client) == b""
    client.close()
    bench.until(lambda: stopped)


@pytest.mark.parametrize("threads", [0, 2])
def test_close_resets_and_tells(bench: Bench, threads: int) -> None:
    for _ in range(5):
        closed: list[TcpConnection] = []
        before = threading.active_count()
        server = bench.serve(threads=threads, on_connection_closed=closed.append)
        clients = [bench.connect(server) for _ in range(4)]
        for client in clients:
            bench.ask(client)
        server.close()
        assert threading.active_count() == before
        bench.settle(0.001)
        assert len(closed) == 4
        for client in clients:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        server.close()


def test_close_tells_while_a_hook_blocks_its_thread(plain: Bench) -> None:
    entered, release = threading.Event(), threading.Event()
    closed: list[TcpConnection] = []

    def block(connection: TcpConnection) -> None:
        entered.set()
        release.wait(10)

    server = plain.serve(threads=1, on_write_completed=block, on_connection_closed=closed.append)
    plain.connect(server).sendall(b"x")
    plain.until(entered.is_set)
    threading.Timer(0.05, release.set).start()  # when close() waits for the thread
    server.close()
    assert len(closed) == 1


def test_close_after_the_loop(bench: Bench) -> None:
    closed: list[TcpConnection] = []
    server = bench.serve(on_connection_closed=closed.append)
    client = bench.connect(server)
    bench.ask(client)
    bench.loop.close()
    server.close()
    assert len(closed) == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_close_before_start(plain: Bench) -> None:
    server = TcpServer(plain.loop, "127.0.0.1:0")
    server.close()
    server = TcpServer(plain.loop, "127.0.0.1:0")
    stopped: list[int] = []
    server.stop(on_stopped=lambda: stopped.append(1))
    plain.settle()
    assert stopped == [1]


# ---- where it listens --------------------------------------------------------------------


def test_an_address_in_use(plain: Bench) -> None:
    server = plain.serve()
    with pytest.raises(OSError, match=str(server.address)) as caught:
        TcpServer(plain.loop, str(server.address))
    assert caught.value.errno == errno.EADDRINUSE


def test_restart_at_once_on_the_same_port(bench: Bench) -> None:
    server = bench.serve()
    address = str(server.address)
    client = bench.connect(server)
    bench.ask(client)
    stopped: list[int] = []
    server.stop(on_stopped=lambda: stopped.append(1))
    assert bench.receive(client) == b""  # the server closes first: TIME_WAIT is on its side
    client.close()
    bench.until(lambda: stopped)
    again = bench.serve(address)
    assert str(again.address) == address
    assert bench.ask(bench.connect(again)) == b"hello"


def test_ipv6(plain: Bench) -> None:
    peers: list[Address] = []
    try:
        server = plain.serve(
            "[::1]:0", on_connection_completed=lambda c: peers.append(c.peer_address)
        )
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert plain.ask(plain.connect(server, "::1")) == b"hello"
    assert peers[0].host == "::1"
    assert str(server.address).startswith("[::1]:")


def test_every_interface(plain: Bench) -> None:
    peers: list[Address] = []
    server = plain.serve(":0", on_connection_completed=lambda c: peers.append(c.peer_address))
    assert server.address.port
    assert plain.ask(plain.connect(server, "127.0.0.1")) == b"hello"
    assert peers[0].host == "127.0.0.1"
    if socket.has_dualstack_ipv6():
        assert plain.ask(plain.connect(server, "::1")) == b"hello"
        assert peers[1].host == "::1"


def test_a_local_path(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = bench.serve(f"unix:{path}")
    assert str(server.address) == f"unix:{path}"
    assert bench.ask(bench.connect(server)) == b"hello"
    server.close()
    assert not path.exists()


def test_a_stale_local_path_is_replaced(plain: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert path.exists()
    server = plain.serve(f"unix:{path}")
    assert plain.ask(plain.connect(server)) == b"hello"


def test_the_path_of_a_living_server_is_left_alone(plain: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = plain.serve(f"unix:{path}")
    with pytest.raises(OSError, match=f"unix:{path}") as caught:
        TcpServer(plain.loop, f"unix:{path}")
    assert caught.value.errno == errno.EADDRINUSE
    assert plain.ask(plain.connect(server)) == b"hello"


def test_a_file_that_is_no_socket_is_left_alone(plain: Bench, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(OSError, match="no socket"):
        TcpServer(plain.loop, f"unix:{path}")
    assert path.read_text() == "mine"


def test_a_path_that_is_another_s_by_now_is_left_alone(plain: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = plain.serve(f"unix:{path}")
    path.unlink()
    other = plain.serve(f"unix:{path}")
    server.close()
    assert path.exists()
    assert plain.ask(plain.connect(other)) == b"hello"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="abstract addresses are Linux's")
def test_an_abstract_address(plain: Bench) -> None:
    server = plain.serve(f"unix:@yolanda-test-{os.getpid()}")
    assert plain.ask(plain.connect(server)) == b"hello"


def test_an_inherited_descriptor(plain: Bench) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = plain.serve(f"fd:{listener.detach()}")
    assert server.address.port == port
    assert plain.ask(plain.connect(server)) == b"hello"


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_two_servers_share_a_port(plain: Bench) -> None:
    seen: Counter[str] = Counter()

    def server(name: str, address: str) -> TcpServer:
        def count(connection: TcpConnection) -> None:
            seen[name] += 1

        return plain.serve(address, reuse_port=True, on_connection_completed=count)

    first = server("first", "127.0.0.1:0")
    second = server("second", str(first.address))
    assert first.address == second.address
    for _ in range(64):
        plain.connect(first)
    plain.until(lambda: seen.total() == 64)
    assert len(seen) == 2


def test_it_says_what_it_is(plain: Bench) -> None:
    server = plain.serve()
    plain.ask(plain.connect(server))
    assert repr(server) == f"<TcpServer on {server.address}, 1 connections>"


@pytest.mark.parametrize("threads", [0, 2])
def test_an_exit_in_a_hook_leaves_the_main_loop(threads: int) -> None:
    def leave(connection: TcpConnection, buffer: Buffer) -> None:
        raise SystemExit(7)

    with EventLoop() as loop:
        server = TcpServer(loop, "127.0.0.1:0", on_message=leave, threads=threads)
        server.start()
        with socket.create_connection(("127.0.0.1", server.address.port), timeout=20) as client:
            client.sendall(b"x")
            with pytest.raises(SystemExit) as caught:
                loop.run()
            assert caught.value.code == 7
            stopped: list[bool] = []
            server.stop(0.1, lambda: (stopped.append(True), loop.stop()))
            loop.run()
            assert stopped == [True]


def test_run_serves_until_another_thread_stops_it() -> None:
    closed: list[TcpConnection] = []
    answers: list[bytes] = []
    with EventLoop() as loop:
        server = TcpServer(
            loop,
            "127.0.0.1:0",
            on_message=lambda connection, buffer: connection.send(buffer),
            on_connection_closed=closed.append,
            threads=1,
        )

        def use() -> None:
            with socket.create_connection(("127.0.0.1", server.address.port), 20) as client:
                client.sendall(b"hello")
                answers.append(client.recv(5))
                server.stop(20, loop.stop)
                answers.append(client.recv(1))

        client = threading.Thread(target=use)
        server.run(on_started=client.start)
        client.join()
    assert answers == [b"hello", b""]
    assert len(closed) == 1
