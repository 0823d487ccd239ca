"""TLS over real sockets: the loop and its peer share this thread, so all happens step by step."""

import contextlib
import datetime
import errno
import gc
import os
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from yolanda.address import Address
from yolanda.buffer import Buffer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport import tls as tls_module
from yolanda.transport.backoff import Backoff
from yolanda.transport.tcp_client import TcpClient
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import ConnectionHandler, TcpServer
from yolanda.transport.tls_settings import (
    Certificate,
    ClientTls,
    ServerTls,
    TlsInfo,
    TlsSettingsError,
)

RunUntil = Callable[..., None]
BIG = 10_000_000  # more than the kernel's buffers take
PATIENCE = 20.0


class Authority:
    """A CA, and files of what it has issued."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.ca = self._write("ca.pem", self._authority.cert_pem.bytes())

    def issue(self, name: str, *names: str, **options: Any) -> Path:
        """A file with key and certificate, for ``names`` or for ``name`` itself."""
        issued = self._authority.issue_cert(*(names or (name,)), **options)
        return self._write(f"{name}.pem", issued.private_key_and_cert_chain_pem.bytes())

    def issue_apart(self, name: str) -> tuple[Path, Path]:
        """The same in two files: certificate and key."""
        issued = self._authority.issue_cert(name)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return (
            self._write(f"{name}.crt", chain),
            self._write(f"{name}.key", issued.private_key_pem.bytes()),
        )

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    return authority.issue("server", "localhost", "127.0.0.1")


@pytest.fixture
def settings(certificate: Path) -> ServerTls:
    return ServerTls(certificate)


@pytest.fixture
def trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca)


def echo(connection: TcpConnection, buffer: Buffer) -> None:
    connection.send(buffer.retrieve_all())


class Bench:
    """Servers and clients in a loop, their peers, and a record of the hooks' calls."""

    def __init__(self, loop: EventLoop, run_until: RunUntil, trust: ssl.SSLContext) -> None:
        self.loop = loop
        self.trust = trust
        self.calls: list[str] = []
        self.connections: list[TcpConnection] = []
        self.errors: list[OSError | None] = []
        self.received = bytearray()
        self._run_until = run_until
        self._sockets: list[socket.socket] = []
        self._servers: list[TcpServer] = []
        self._clients: list[TcpClient] = []

    # ---- our side ------------------------------------------------------------------------

    def serve(self, tls: ServerTls, *, small: bool = False, **options: Any) -> TcpServer:
        options.setdefault("on_connection_completed", self.note_completed)
        options.setdefault("on_message", self.take)
        options.setdefault("on_connection_closed", self.note_closed)
        server = TcpServer(self.loop, "127.0.0.1:0", tls=tls, **options)
        if small:  # accepted sockets inherit it
            listener: socket.socket = server._listener.socket
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._servers.append(server)
        server.start()
        return server

    def client(self, address: str | Address, tls: ClientTls, **options: Any) -> TcpClient:
        hooks: dict[str, Any] = {
            "on_connection_completed": self.note_completed,
            "on_message": self.take,
            "on_connection_closed": self.note_closed,
            "on_connect_failed": self.note_failed,
        }
        client = TcpClient(self.loop, address, tls=tls, **(hooks | options))
        self._clients.append(client)
        client.connect()
        return client

    def note_completed(self, connection: TcpConnection) -> None:
        assert connection.connected
        self.connections.append(connection)
        self.calls.append("completed")

    def take(self, connection: TcpConnection, buffer: Buffer) -> None:
        self.calls.append("message")
        self.received += buffer.retrieve_all()

    def note_closed(self, connection: TcpConnection) -> None:
        self.calls.append("closed")
        self.errors.append(connection.error)

    def note_failed(self, client: TcpClient, error: OSError) -> None:
        self.calls.append("failed")
        self.errors.append(error)

    # ---- the peer's side -----------------------------------------------------------------

    def reach(self, server: TcpServer, small: bool = False) -> socket.socket:
        """A plain connection to the server."""
        sock = socket.socket()
        self._sockets.append(sock)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.settimeout(PATIENCE)
        sock.connect((server.address.host, server.address.port))
        sock.setblocking(False)
        return sock

    def connect(
        self,
        server: TcpServer,
        context: ssl.SSLContext | None = None,
        name: str | None = "localhost",
        small: bool = False,
    ) -> ssl.SSLSocket:
        """A connection on which the handshake has been made."""
        sock = (context or self.trust).wrap_socket(
            self.reach(server, small),
            server_hostname=name,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._sockets.append(sock)
        self.attempt(sock.do_handshake)
        return sock

    def attempt(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of a socket that does not block until it has done something."""
        found: list[Any] = []

        def once() -> bool:
            try:
                found.append(function(*args))
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            return True

        self.until(once)
        return found[0]

    def send(self, peer: socket.socket, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.attempt(peer.send, view[:65536]) :]

    def receive(self, peer: socket.socket, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self.attempt(peer.recv, 65536)
            assert piece, f"the stream ended after {len(data)} of {size} bytes"
            data += piece
        return bytes(data)

    def rest(self, peer: socket.socket) -> bytes:
        """Everything up to the end, which must be a clean one."""
        data = bytearray()
        with contextlib.suppress(ssl.SSLZeroReturnError):  # the end of one who has ended, too
            while piece := self.attempt(peer.recv, 65536):
                data += piece
        return bytes(data)

    def ask(self, server: TcpServer, question: bytes) -> bytes:
        """What comes back on a connection of its own."""
        peer = self.connect(server)
        peer.send(question)
        return bytes(self.attempt(peer.recv, 65536))

    def half_close(self, peer: ssl.SSLSocket) -> None:
        """Say close_notify and go on reading."""
        with contextlib.suppress(ssl.SSLWantReadError):  # it would wait for the other's
            peer.unwrap()

    # ---- time ----------------------------------------------------------------------------

    def until(self, condition: Callable[[], object]) -> None:
        self._run_until(self.loop, condition, timeout=PATIENCE)

    def until_calls(self, *calls: str) -> None:
        self.until(lambda: len(self.calls) >= len(calls))
        assert self.calls == list(calls)

    def settle(self, turns: int = 5) -> None:
        """Do all that is pending without waiting for anything new."""
        for _ in range(turns):
            self.loop.run_once(0)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for sock in self._sockets:
            sock.close()
        for server in self._servers:
            server.close()
        self.settle()


@pytest.fixture(params=list(DISPATCHERS))
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLoop]:
    monkeypatch.setenv("YOLANDA_DISPATCHER", request.param)  # for the threads' loops as well
    with EventLoop() as loop:
        yield loop


@pytest.fixture
def bench(loop: EventLoop, run_until: RunUntil, trust: ssl.SSLContext) -> Iterator[Bench]:
    bench = Bench(loop, run_until, trust)
    yield bench
    bench.close()


@pytest.fixture
def plain(run_until: RunUntil, trust: ssl.SSLContext) -> Iterator[Bench]:
    """A bench for what has nothing to do with the dispatcher."""
    with EventLoop() as loop:
        bench = Bench(loop, run_until, trust)
        yield bench
        bench.close()


# ---- the hooks and their order -----------------------------------------------------------


def test_the_life_of_a_connection(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    raw = bench.reach(server)
    bench.until(lambda: server.connections == 1)
    bench.settle()
    assert bench.calls == []  # the handshake has not begun
    raw.close()
    bench.until(lambda: server.connections == 0)
    assert bench.calls == []  # never completed, so never closed

    peer = bench.connect(server)
    bench.until_calls("completed")
    bench.send(peer, b"hello")
    bench.until_calls("completed", "message")
    (connection,) = bench.connections
    assert connection.bytes_in == 5
    connection.send(b"to you, too")
    assert bench.receive(peer, 11) == b"to you, too"
    assert connection.bytes_out == 11
    bench.half_close(peer)
    bench.until_calls("completed", "message", "closed")
    assert bench.rest(peer) == b""
    assert bench.errors == [None]
    assert connection.closed


@pytest.mark.parametrize("threads", [0, 2])
def test_it_echoes(bench: Bench, settings: ServerTls, threads: int) -> None:
    server = bench.serve(
        settings,
        threads=threads,
        on_message=echo,
        on_connection_completed=None,
        on_connection_closed=None,
    )
    peers = [bench.connect(server) for _ in range(5)]
    for number, peer in enumerate(peers):
        bench.send(peer, b"%d" % number * 100)
    for number, peer in enumerate(peers):
        assert bench.receive(peer, 100) == b"%d" % number * 100
    assert server.connections == 5
    for peer in peers:
        peer.close()
    bench.until(lambda: server.connections == 0)


def test_write_completed_comes_when_all_is_in_the_kernel_s_hands(
    bench: Bench, settings: ServerTls
) -> None:
    def note(connection: TcpConnection) -> None:
        assert connection.queued == 0
        bench.calls.append("written")

    server = bench.serve(settings, small=True, on_write_completed=note)
    peer = bench.connect(server, small=True)
    bench.until_calls("completed")
    (connection,) = bench.connections
    connection.send(b"small")
    assert bench.receive(peer, 5) == b"small"
    bench.until_calls("completed", "written")
    connection.send(bytes(1_000_000))
    bench.settle()
    assert connection.queued
    assert bench.calls == ["completed", "written"]
    assert len(bench.receive(peer, 1_000_000)) == 1_000_000
    bench.until_calls("completed", "written", "written")
    assert connection.bytes_out == 1_000_005


@pytest.mark.parametrize("piece", [1, 7, 1000, 40_000])
def test_pieces_arrive_in_their_order(bench: Bench, settings: ServerTls, piece: int) -> None:
    server = bench.serve(settings, small=True)
    peer = bench.connect(server, small=True)
    bench.until_calls("completed")
    (connection,) = bench.connections
    data = os.urandom(200_000)
    for start in range(0, 20_000 if piece < 10 else len(data), piece):
        connection.send(data[start : start + piece])
    connection.send([b"the", bytearray(b" "), memoryview(b"end")])
    connection.shutdown()
    arrived = bench.rest(peer)
    assert arrived.endswith(b"the end")
    assert data.startswith(arrived[:-7])
    assert len(arrived) >= 20_007


def test_ten_megabytes_each_way_at_once(bench: Bench, settings: ServerTls) -> None:
    """And the peer reads no faster than it writes."""
    server = bench.serve(settings, small=True, on_message=echo)
    peer = bench.connect(server, small=True)
    bench.until_calls("completed")
    connection = bench.connections[0]
    connection.set_water_marks(100_000, 10_000, pause_reading=True)
    data = os.urandom(BIG)
    arrived = bytearray()
    sent = 0
    most = 0
    # A write that would block is to be repeated with the same bytes.
    while len(arrived) < BIG:
        bench.loop.run_once(0.01)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while sent < BIG:
                sent += peer.send(data[sent : sent + 16384])
        with contextlib.suppress(ssl.SSLWantReadError):
            for _ in range(8):
                arrived += peer.recv(65536)
        most = max(most, connection.queued)
    assert arrived == data
    assert connection.bytes_in == connection.bytes_out == BIG
    assert most < 1_000_000  # back-pressure: one read more than the mark, and what it is sealed in


def test_a_slow_reader_takes_a_file_and_what_stands_around_it(
    bench: Bench, settings: ServerTls, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    data = os.urandom(1_234_567)
    path.write_bytes(data)
    server = bench.serve(settings, small=True)
    peer = bench.connect(server, small=True)
    bench.until_calls("completed")
    (connection,) = bench.connections
    connection.send(b"before")
    file = path.open("rb")
    connection.send_file(file, close=True)
    connection.send_file(file_two := path.open("rb"), 1000, 2000, close=True)
    connection.send(b"after")
    connection.shutdown()
    assert connection.queued > 1_000_000
    arrived = bench.rest(peer)
    assert arrived == b"before" + data + data[1000:3000] + b"after"
    assert file.closed
    assert file_two.closed


def test_a_file_that_becomes_shorter_is_no_end(
    plain: Bench, settings: ServerTls, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2_000_000))
    server = plain.serve(settings, small=True)
    peer = plain.connect(server, small=True)
    plain.until_calls("completed")
    plain.connections[0].send_file(path.open("rb"), close=True)
    os.truncate(path, 500_000)
    with pytest.raises(OSError, match=r"reset|EOF|closed"):
        plain.rest(peer)
    plain.until_calls("completed", "closed")
    assert plain.errors[0] is not None
    assert plain.errors[0].errno == errno.EIO


def test_any_thread_sends(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.until_calls("completed")
    (connection,) = bench.connections

    def work() -> None:
        for number in range(100):
            connection.send(b"%03d" % number)
        connection.shutdown()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert bench.rest(peer) == b"".join(b"%03d" % number for number in range(100))


# ---- reading that rests ------------------------------------------------------------------


def test_nothing_is_read_while_reading_rests_and_nothing_is_lost(
    bench: Bench, settings: ServerTls
) -> None:
    """Many records that came in one read: the hook pauses in the middle of them."""

    def pause(connection: TcpConnection, buffer: Buffer) -> None:
        bench.take(connection, buffer)
        connection.pause_reading()

    server = bench.serve(settings, on_message=pause)
    peer = bench.connect(server)
    bench.until_calls("completed")
    (connection,) = bench.connections
    for _ in range(40):
        peer.send(b"x" * 5000)
    while len(bench.received) < 200_000:
        size = len(bench.received)
        connection.resume_reading()
        bench.until(lambda size=size: len(bench.received) > size)
        assert not connection.reading
        size = len(bench.received)
        bench.settle()
        assert len(bench.received) == size
    assert bench.received == b"x" * 200_000


def test_what_comes_with_the_end_of_the_handshake_waits_until_reading_is_resumed(
    bench: Bench, settings: ServerTls
) -> None:
    def pause(connection: TcpConnection) -> None:
        bench.note_completed(connection)
        connection.pause_reading()

    server = bench.serve(settings, on_connection_completed=pause)
    # In memory, so that the last of the handshake, a message and the end go in one packet.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = bench.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    raw = bench.reach(server)
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()
    raw.send(outgoing.read())
    while True:
        incoming.write(bench.attempt(raw.recv, 65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.do_handshake()
            break
    peer.write(b"hello")
    with pytest.raises(ssl.SSLWantReadError):
        peer.unwrap()
    raw.send(outgoing.read())
    raw.shutdown(socket.SHUT_WR)
    bench.until_calls("completed")
    bench.settle()
    assert bench.calls == ["completed"]
    bench.connections[0].resume_reading()
    bench.until_calls("completed", "message", "closed")
    assert bench.received == b"hello"
    assert bench.errors == [None]


def test_an_end_that_comes_while_reading_rests_waits_as_well(
    bench: Bench, settings: ServerTls
) -> None:
    def pause(connection: TcpConnection, buffer: Buffer) -> None:
        bench.take(connection, buffer)
        connection.pause_reading()

    server = bench.serve(settings, on_message=pause)
    peer = bench.connect(server)
    bench.until_calls("completed")
    # One packet for both, by the socket under TLS.
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1) if hasattr(socket, "TCP_CORK") else None
    peer.send(b"the last words")
    bench.half_close(peer)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0) if hasattr(socket, "TCP_CORK") else None
    bench.until_calls("completed", "message")
    peer.close()
    bench.settle()
    assert bench.calls == ["completed", "message"]
    bench.connections[0].resume_reading()
    bench.until_calls("completed", "message", "closed")
    assert bench.errors == [None]


# ---- ends --------------------------------------------------------------------------------


def test_half_close_by_the_peer(bench: Bench, settings: ServerTls) -> None:
    """It has said all, and still gets its answer."""

    def answer(connection: TcpConnection) -> None:
        bench.calls.append("end")
        connection.loop.call_later(0.02, finish, connection)

    def finish(connection: TcpConnection) -> None:
        connection.send(b"answer" * 1000)
        connection.shutdown()

    def complete(connection: TcpConnection) -> None:
        bench.note_completed(connection)
        connection.on_end_of_stream = answer

    server = bench.serve(settings, on_connection_completed=complete)
    peer = bench.connect(server)
    bench.send(peer, b"question")
    bench.half_close(peer)
    assert bench.rest(peer) == b"answer" * 1000
    bench.until_calls("completed", "message", "end", "closed")
    assert bench.errors == [None]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_half_close_by_this_side_while_the_peer_s_bytes_are_here(
    bench: Bench, settings: ServerTls, version: ssl.TLSVersion
) -> None:
    """What OpenSSL on a socket loses: data that are there when this side says that it ends."""
    bench.trust.maximum_version = version
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.until_calls("completed")
    (connection,) = bench.connections
    bench.send(peer, b"a" * 30_000)  # in the kernel now, and not yet read
    connection.send(b"farewell")
    connection.shutdown()
    assert bench.receive(peer, 8) == b"farewell"
    assert bench.attempt(peer.recv, 10) == b""
    bench.send(peer, b"b" * 30_000)
    assert not connection.closed
    bench.half_close(peer)
    bench.until(lambda: bench.errors == [None])
    assert bench.received == b"a" * 30_000 + b"b" * 30_000


def test_half_close_in_the_middle_of_a_record_of_the_peer(
    bench: Bench, settings: ServerTls
) -> None:
    server = bench.serve(settings)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = bench.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    raw = bench.reach(server)
    while True:
        try:
            peer.do_handshake()
            break
        except ssl.SSLWantReadError:
            raw.send(outgoing.read())
            incoming.write(bench.attempt(raw.recv, 65536))
    peer.write(b"x" * 10_000)
    record = outgoing.read()
    raw.send(record[:5000])
    bench.until_calls("completed")
    bench.settle()
    (connection,) = bench.connections
    connection.shutdown()
    bench.settle()
    with pytest.raises(ssl.SSLWantReadError):
        peer.unwrap()
    raw.send(record[5000:] + outgoing.read())
    bench.until_calls("completed", "message", "closed")
    assert bench.received == b"x" * 10_000
    assert bench.errors == [None]


def test_a_stream_that_is_cut_is_no_clean_end(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.send(peer, b"transfer 100 to Bob; on second thoughts")
    bench.until_calls("completed", "message")
    peer.shutdown(socket.SHUT_WR)  # FIN without close_notify
    bench.until_calls("completed", "message", "closed")
    (error,) = bench.errors
    assert isinstance(error, ssl.SSLEOFError)


def test_a_peer_that_resets(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.until_calls("completed")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    bench.until_calls("completed", "closed")
    (error,) = bench.errors
    assert isinstance(error, ConnectionResetError)


def test_to_send_to_a_peer_that_is_gone(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.until_calls("completed")
    (connection,) = bench.connections
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    connection.send(b"x" * 100)  # before the loop has heard of it
    bench.until_calls("completed", "closed")
    assert isinstance(bench.errors[0], ConnectionError)
    connection.send(b"y")
    connection.shutdown()
    connection.close()
    bench.settle()
    assert bench.calls == ["completed", "closed"]


def test_what_is_sent_before_the_handshake_is_over_is_dropped(
    plain: Bench, settings: ServerTls
) -> None:
    server = plain.serve(settings)
    raw = plain.reach(server)
    plain.until(lambda: server.connections == 1)
    (connection,) = server._connections[plain.loop]
    assert connection.tls is None
    connection.send(b"too early")
    connection.shutdown()
    peer = plain.trust.wrap_socket(raw, server_hostname="localhost", do_handshake_on_connect=False)
    plain.attempt(peer.do_handshake)
    plain.until_calls("completed")
    connection.send(b"now")
    assert plain.attempt(peer.recv, 100) == b"now"
    peer.close()


def test_close_ends_cleanly_and_abort_does_not(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.until_calls("completed")
    bench.connections[0].close()
    assert bench.rest(peer) == b""

    peer = bench.connect(server)
    bench.until(lambda: len(bench.connections) == 2)
    bench.connections[1].abort()
    with pytest.raises(OSError, match=r"reset|EOF"):
        bench.attempt(peer.recv, 10)
    bench.until(lambda: bench.calls.count("closed") == 2)
    assert bench.errors == [None, None]


def test_close_drops_what_is_queued_and_the_peer_can_tell(
    bench: Bench, settings: ServerTls
) -> None:
    server = bench.serve(settings, small=True)
    peer = bench.connect(server, small=True)
    bench.until_calls("completed")
    bench.connections[0].send(bytes(2_000_000))
    bench.connections[0].close()
    with pytest.raises(OSError, match=r"reset|EOF"):
        bench.rest(peer)


def test_a_forged_record_ends_the_connection(
    bench: Bench, settings: ServerTls, caplog: pytest.LogCaptureFixture
) -> None:
    server = bench.serve(settings)
    peer = bench.connect(server)
    bench.send(peer, b"genuine")
    bench.until_calls("completed", "message")
    raw = socket.socket(fileno=os.dup(peer.fileno()))
    raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    raw.close()
    bench.until_calls("completed", "message", "closed")
    (error,) = bench.errors
    assert isinstance(error, ssl.SSLError)
    assert "mac" in str(error).lower()
    assert "Traceback" not in caplog.text


def test_a_hook_that_raises_ends_its_connection_alone(
    plain: Bench, settings: ServerTls, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(connection: TcpConnection, buffer: Buffer) -> None:
        if buffer.retrieve_all() == b"bad":
            raise RuntimeError("as it was told")
        connection.send(b"good")

    server = plain.serve(settings, on_message=fail)
    good = plain.connect(server)
    bad = plain.connect(server)
    plain.send(bad, b"bad")
    with pytest.raises(OSError, match=r"reset|EOF"):
        plain.attempt(bad.recv, 10)
    plain.send(good, b"fine")
    assert plain.receive(good, 4) == b"good"
    assert "as it was told" in caplog.text


def test_timeouts(plain: Bench, settings: ServerTls) -> None:
    def complete(connection: TcpConnection) -> None:
        plain.note_completed(connection)
        connection.set_timeouts(idle=0.05)

    server = plain.serve(settings, on_connection_completed=complete)
    peer = plain.connect(server)
    plain.until_calls("completed", "closed")
    assert isinstance(plain.errors[0], TimeoutError)
    with pytest.raises(OSError, match=r"reset|EOF"):
        plain.attempt(peer.recv, 10)


def test_a_connection_is_freed_at_once(plain: Bench, settings: ServerTls) -> None:
    server = plain.serve(settings)
    peer = plain.connect(server)
    plain.until_calls("completed")
    plain.send(peer, b"x")
    plain.until_calls("completed", "message")
    connection = weakref.ref(plain.connections[-1])
    assert connection() is not None
    gc.collect()
    gc.disable()
    try:
        plain.connections.clear()
        peer.close()
        plain.until(lambda: "closed" in plain.calls)
        plain.settle()
        assert connection() is None
    finally:
        gc.enable()


# ---- handshakes that fail ----------------------------------------------------------------


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.0\r\n"])
def test_plain_http_is_told_what_this_port_speaks(
    bench: Bench, settings: ServerTls, request_line: bytes
) -> None:
    server = bench.serve(settings)
    raw = bench.reach(server)
    raw.send(request_line + b"Host: localhost\r\n" + b"X: " + b"x" * 3000 + b"\r\n\r\n")
    answer = bench.rest(raw)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"this port speaks TLS (https)"
    assert b"Content-Length: %d\r\n" % len(body) in head
    raw.close()
    bench.until(lambda: server.connections == 0)
    assert bench.calls == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 20,
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 100,
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        os.urandom(500),
    ],
    ids=["zeros", "ssh", "long record", "short hello", "random"],
)
def test_garbage_is_closed_quietly(
    bench: Bench, settings: ServerTls, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = bench.serve(settings, on_message=echo)
    raw = bench.reach(server)
    raw.send(garbage)
    raw.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError):
        while bench.attempt(raw.recv, 65536):
            pass
    bench.until(lambda: server.connections == 0)
    assert bench.calls == []
    assert not [record for record in caplog.records if record.levelname != "INFO"]
    peer = bench.connect(server)  # the others are served
    bench.send(peer, b"still here?")
    assert bench.receive(peer, 11) == b"still here?"


def test_one_who_goes_on_talking_does_not_stay(
    plain: Bench, settings: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "_LINGER", 0.05)
    server = plain.serve(settings)
    raw = plain.reach(server)
    raw.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")

    def over() -> bool:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            raw.send(b"x" * 100)
        return not server.connections

    plain.until(lambda: server.connections == 1)
    plain.until(over)
    assert plain.calls == []


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_that_takes_too_long_is_reset(
    bench: Bench, certificate: Path, said: bytes
) -> None:
    server = bench.serve(ServerTls(certificate, handshake_timeout=0.05))
    raw = bench.reach(server)
    raw.send(said)
    with pytest.raises(ConnectionResetError):
        bench.attempt(raw.recv, 10)
    bench.until(lambda: server.connections == 0)
    assert bench.calls == []


def test_silent_clients_hold_no_slot_for_ever(plain: Bench, certificate: Path) -> None:
    server = plain.serve(
        ServerTls(certificate, handshake_timeout=0.1), max_connections=2, on_message=echo
    )
    silent = [plain.reach(server) for _ in range(2)]
    peer = plain.connect(server)  # waits in the kernel's queue until one of them is reset
    plain.send(peer, b"at last")
    assert plain.receive(peer, 7) == b"at last"
    for raw in silent:
        with pytest.raises(ConnectionResetError):
            plain.attempt(raw.recv, 10)


def test_a_handshake_byte_by_byte(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = bench.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    raw = bench.reach(server)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drip(data: bytes) -> None:
        for start in range(len(data)):
            raw.send(data[start : start + 1])
            bench.loop.run_once(0)

    while True:
        try:
            peer.do_handshake()
            break
        except ssl.SSLWantReadError:
            drip(outgoing.read())
            incoming.write(bench.attempt(raw.recv, 100))
    peer.write(b"hello")
    drip(outgoing.read())
    bench.until_calls("completed", "message")
    assert bench.received == b"hello"


def test_a_client_that_vanishes_in_the_handshake(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    for reset in (False, True):
        raw = bench.reach(server)
        raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        bench.until(lambda: server.connections == 1)
        if reset:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        bench.until(lambda: server.connections == 0)
    assert bench.calls == []


def test_stopping_lets_a_handshake_end_and_then_drains(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    raw = bench.reach(server)
    bench.until(lambda: server.connections == 1)
    stopped: list[bool] = []
    server.stop(PATIENCE, lambda: stopped.append(True))
    bench.settle()
    assert not stopped
    peer = bench.trust.wrap_socket(raw, server_hostname="localhost", do_handshake_on_connect=False)
    bench.attempt(peer.do_handshake)
    assert bench.rest(peer) == b""
    peer.close()
    bench.until(lambda: stopped)
    assert bench.calls == ["completed", "closed"]


def test_stopping_at_once_cuts_a_handshake_off(bench: Bench, settings: ServerTls) -> None:
    server = bench.serve(settings)
    raw = bench.reach(server)
    bench.until(lambda: server.connections == 1)
    stopped: list[bool] = []
    server.stop(0, lambda: stopped.append(True))
    bench.until(lambda: stopped)
    with pytest.raises(ConnectionResetError):
        bench.attempt(raw.recv, 10)
    assert bench.calls == []


# ---- what is agreed on -------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_the_handshake_agreed_on(
    bench: Bench, certificate: Path, version: ssl.TLSVersion
) -> None:
    bench.trust.maximum_version = version
    bench.trust.set_alpn_protocols(["spdy/1", "chat"])
    server = bench.serve(ServerTls(certificate, alpn=["echo", "chat"]))
    peer = bench.connect(server)
    bench.until_calls("completed")
    (connection,) = bench.connections
    assert connection.encrypted
    info = connection.tls
    assert info is not None
    assert info.version == peer.version()
    assert (info.cipher,) == peer.cipher()[:1]  # type: ignore[index]
    assert info.alpn_protocol == peer.selected_alpn_protocol() == "chat"
    assert info.server_name == "localhost"
    assert info.peer_certificate is None
    assert info.peer_certificate_der is None


def test_a_client_without_a_name_gets_the_first_certificate(
    plain: Bench, authority: Authority, certificate: Path
) -> None:
    other = authority.issue("other.test")
    server = plain.serve(ServerTls(certificate, further=[Certificate(other)]))
    plain.trust.check_hostname = False
    peer = plain.connect(server, name=None)
    assert ("DNS", "localhost") in peer.getpeercert()["subjectAltName"]  # type: ignore[index]
    plain.until_calls("completed")
    info = plain.connections[0].tls
    assert info is not None
    assert info.server_name is None


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("localhost", "localhost"),
        ("one.test", "one.test"),
        ("ONE.test", "one.test"),
        ("www.one.test", "*.one.test"),
        ("special.one.test", "special.one.test"),
        ("two.test", "two.test"),
        ("a.b.one.test", "localhost"),
        ("unknown.test", "localhost"),
    ],
)
def test_the_certificate_is_chosen_by_name(
    plain: Bench, authority: Authority, certificate: Path, asked: str, given: str
) -> None:
    settings = ServerTls(
        certificate,
        further=[
            Certificate(authority.issue("wild", "*.one.test", "one.test")),
            Certificate(authority.issue("special.one.test")),
            Certificate(*authority.issue_apart("two.test")),
        ],
        alpn=["chat"],
    )
    assert settings.names == [
        "localhost",
        "*.one.test",
        "one.test",
        "special.one.test",
        "two.test",
    ]
    server = plain.serve(settings)
    plain.trust.check_hostname = False
    plain.trust.set_alpn_protocols(["chat"])
    peer = plain.connect(server, name=asked)
    assert ("DNS", given) in peer.getpeercert()["subjectAltName"]  # type: ignore[index]
    assert peer.selected_alpn_protocol() == "chat"
    plain.until_calls("completed")
    info = plain.connections[0].tls
    assert info is not None
    assert info.server_name is not None
    assert info.server_name.lower() == asked.lower()


def test_versions_and_ciphers(plain: Bench, certificate: Path) -> None:
    server = plain.serve(ServerTls(certificate, minimum_version="1.3"))
    plain.trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        plain.connect(server)
    server = plain.serve(ServerTls(certificate, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    peer = plain.connect(server)
    assert peer.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"  # type: ignore[index]


# ---- certificates of clients -------------------------------------------------------------


def test_a_client_s_certificate(bench: Bench, authority: Authority, certificate: Path) -> None:
    server = bench.serve(ServerTls(certificate, client_ca=authority.ca))
    bench.trust.load_cert_chain(authority.issue("client.test"))
    bench.connect(server)
    bench.until_calls("completed")
    info = bench.connections[0].tls
    assert info is not None
    assert info.peer_certificate is not None
    assert info.peer_certificate["subjectAltName"] == (("DNS", "client.test"),)
    assert info.peer_certificate_der is not None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_a_certificate_is_told(
    bench: Bench, authority: Authority, certificate: Path, version: ssl.TLSVersion
) -> None:
    """Also when it has sent its request already, as one may in TLS 1.3."""
    server = bench.serve(ServerTls(certificate, client_ca=authority.ca))
    bench.trust.maximum_version = version
    with pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"):
        bench.ask(server, b"x" * 5000)
    assert bench.calls == []


def test_a_client_with_a_stranger_s_certificate_is_told(
    bench: Bench, authority: Authority, certificate: Path, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    server = bench.serve(
        ServerTls(certificate, client_ca=authority.ca, client_certificate="optional")
    )
    bench.connect(server)  # may come without
    bench.until_calls("completed")
    bench.trust.load_cert_chain(stranger.issue("client.test"))
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        bench.ask(server, b"hello")
    assert bench.calls == ["completed"]


# ---- renewal -----------------------------------------------------------------------------


def serial_of(peer: ssl.SSLSocket) -> str:
    certificate = peer.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("threads", [0, 2])
def test_certificates_are_renewed_while_connections_are_open(
    bench: Bench, authority: Authority, threads: int
) -> None:
    path = authority.issue("localhost")
    settings = ServerTls(path)
    server = bench.serve(settings, threads=threads, on_message=echo)
    old = bench.connect(server)
    half = bench.reach(server)  # its handshake begins only later
    bench.until(lambda: server.connections == 2)
    assert authority.issue("localhost") == path
    assert settings.reload() is True
    new = bench.connect(server)
    assert serial_of(new) != serial_of(old)
    for peer in (old, new, bench.connect(server)):
        bench.send(peer, b"still there?")
        assert bench.receive(peer, 12) == b"still there?"
    late = bench.trust.wrap_socket(half, server_hostname="localhost", do_handshake_on_connect=False)
    bench.attempt(late.do_handshake)
    late.close()


@pytest.mark.parametrize("harm", ["empty", "gone", "stranger's key", "names only"])
def test_broken_new_files_leave_all_as_it_was(
    plain: Bench, authority: Authority, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = authority.issue_apart("localhost")
    settings = ServerTls(certificate, key)
    server = plain.serve(settings, on_message=echo)
    serial = serial_of(plain.connect(server))
    if harm == "empty":
        certificate.write_bytes(b"")
    elif harm == "gone":
        key.unlink()
    elif harm == "stranger's key":
        key.write_bytes(authority.issue_apart("other.test")[1].read_bytes())
    else:
        certificate.write_text("localhost\n")
    assert settings.reload() is False
    assert any(
        record.levelname == "ERROR"
        and ("localhost.crt" in record.message or "localhost.key" in record.message)
        for record in caplog.records
    )
    assert serial_of(plain.connect(server)) == serial
    authority.issue_apart("localhost")
    assert settings.reload() is True
    assert serial_of(plain.connect(server)) != serial


# ---- settings that cannot work -----------------------------------------------------------


@pytest.fixture
def encrypted_key(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = authority.issue_apart("secret.test")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    return certificate, locked


def test_a_key_with_a_password(plain: Bench, encrypted_key: tuple[Path, Path]) -> None:
    server = plain.serve(ServerTls(*encrypted_key, password="open sesame"))
    plain.connect(server, name="secret.test")
    with pytest.raises(TlsSettingsError, match=r"key: .*locked.key is encrypted"):
        ServerTls(*encrypted_key)
    with pytest.raises(TlsSettingsError, match=r"key: .*locked.key cannot .* this password"):
        ServerTls(*encrypted_key, password="open barley")


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue_apart("right.test")
    _, wrong = authority.issue_apart("wrong.test")
    text = tmp_path / "text"
    text.write_text("no certificate")
    broken = tmp_path / "broken"
    broken.write_text(
        "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"
        "-----BEGIN PRIVATE KEY-----\nbm90IG9uZQ==\n-----END PRIVATE KEY-----\n"
    )
    for arguments, message in [
        ((tmp_path / "none",), "certificate: .*/none: No such file"),
        ((certificate, tmp_path / "none"), "key: .*/none: No such file"),
        ((text,), "certificate: .*/text holds no certificate"),
        ((certificate,), "certificate: .*/right.test.crt holds no private key"),
        ((certificate, text), "key: .*/text holds no private key"),
        ((certificate, wrong), "key: .*/wrong.test.key is not the key of .*/right.test.crt"),
        ((broken,), "certificate: .*/broken"),
        ((tmp_path,), "certificate: .*: Is a directory"),
    ]:
        with pytest.raises(TlsSettingsError, match=message):
            ServerTls(*arguments)
    for options, message in [
        ({"client_ca": text}, "client_ca: .*/text"),
        ({"client_ca": tmp_path / "none"}, "client_ca: .*/none: No such file"),
        ({"client_certificate": "required"}, "client_certificate: .* needs a client_ca"),
        ({"client_certificate": "perhaps"}, "client_certificate: .*'perhaps'"),
        ({"minimum_version": "1.1"}, "minimum_version: .*'1.1'"),
        ({"ciphers": "ROT13"}, "ciphers: 'ROT13'"),
        ({"alpn": "http/1.1"}, "alpn: .*'http/1.1'"),
        ({"alpn": [""]}, "alpn: ''"),
        ({"handshake_timeout": 0}, "handshake_timeout: .*0"),
        ({"further": [Certificate(text)]}, "certificate: .*/text"),
    ]:
        with pytest.raises(TlsSettingsError, match=message):
            ServerTls(certificate, key, **options)
    for options, message in [
        ({"ca": text}, "ca: .*/text"),
        ({"key": key}, "key: .*right.test.key needs a certificate"),
        ({"certificate": certificate, "key": wrong}, "key: .*wrong.test.key"),
    ]:
        with pytest.raises(TlsSettingsError, match=message):
            ClientTls(**options)


def test_a_certificate_that_nobody_will_like_is_served_with_a_warning(
    plain: Bench, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    last_year = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=365)
    path = authority.issue("expired.test", not_after=last_year)
    settings = ServerTls(path)
    assert settings.names == ["expired.test"]
    assert "expired.test.pem has expired on " in caplog.text
    server = plain.serve(settings)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        plain.connect(server, name="expired.test")
    # What its client says of it is in the log, and takes nobody else down.
    plain.trust.check_hostname = False
    plain.trust.verify_mode = ssl.CERT_NONE
    plain.connect(server, name="expired.test")
    plain.until_calls("completed")


def test_a_new_certificate_that_has_expired_already_is_not_taken(
    plain: Bench, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    last_year = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=365)
    settings = ServerTls(authority.issue("localhost"))
    server = plain.serve(settings, on_message=echo)
    serial = serial_of(plain.connect(server))
    authority.issue("localhost", not_after=last_year)
    assert settings.reload() is False
    assert "goes on with the certificates that it has: certificate: " in caplog.text
    assert "localhost.pem has expired on " in caplog.text
    assert serial_of(plain.connect(server)) == serial
    # Where the old one is no better, there is nothing to be kept.
    stale = ServerTls(authority.issue("localhost", not_after=last_year))
    authority.issue("localhost", not_after=last_year)
    assert stale.reload() is True


# ---- clients -----------------------------------------------------------------------------


def test_a_client_and_a_server(bench: Bench, authority: Authority, certificate: Path) -> None:
    server = bench.serve(
        ServerTls(certificate, client_ca=authority.ca, alpn=["chat"]),
        on_message=echo,
        on_connection_completed=None,
        on_connection_closed=None,
    )
    tls = ClientTls(
        ca=authority.ca,
        certificate=authority.issue("client.test"),
        alpn=["chat"],
        minimum_version="1.3",
    )
    client = bench.client(server.address, tls)
    bench.until_calls("completed")
    assert client.connection is not None
    info = client.connection.tls
    assert isinstance(info, TlsInfo)
    assert info.version == "TLSv1.3"
    assert info.server_name == "127.0.0.1"
    assert info.alpn_protocol == "chat"
    assert info.peer_certificate is not None
    data = os.urandom(1_000_000)
    client.connection.send(data)
    bench.until(lambda: len(bench.received) == len(data))
    assert bench.received == data
    client.connection.shutdown()
    bench.until(lambda: "closed" in bench.calls)
    assert bench.errors == [None]


def test_a_client_verifies_whom_it_speaks_to(
    plain: Bench, authority: Authority, certificate: Path, tmp_path: Path
) -> None:
    server = plain.serve(ServerTls(certificate), on_connection_completed=None)
    stranger = Authority(tmp_path)
    for tls, reason in [
        (ClientTls(), "unable to get local issuer"),
        (ClientTls(ca=stranger.ca), "unable to get local issuer"),
        (ClientTls(ca=authority.ca, server_name="other.test"), "Hostname mismatch"),
    ]:
        plain.calls.clear()
        plain.errors.clear()
        client = plain.client(server.address, tls)
        plain.until_calls("failed")
        (error,) = plain.errors
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert reason in str(error)
        assert client.connection is None
    plain.calls.clear()
    plain.client(server.address, ClientTls(verify=False))
    plain.until_calls("completed")


def test_a_client_without_a_host_needs_a_name(plain: Bench, authority: Authority) -> None:
    with pytest.raises(TlsSettingsError, match="server_name"):
        TcpClient(plain.loop, "unix:/run/y.sock", tls=ClientTls(ca=authority.ca))
    with pytest.raises(TlsSettingsError, match=r"server_name: '\.test'"):
        TcpClient(plain.loop, "127.0.0.1:1", tls=ClientTls(server_name=".test"))
    TcpClient(plain.loop, "unix:/run/y.sock", tls=ClientTls(server_name="localhost"))


def test_a_client_of_somebody_who_does_not_speak_tls(bench: Bench, authority: Authority) -> None:
    def greet(connection: TcpConnection) -> None:
        connection.send(b"220 mail.test ready\r\n")

    server = TcpServer(bench.loop, "127.0.0.1:0", on_connection_completed=greet)
    bench._servers.append(server)
    server.start()
    bench.client(server.address, ClientTls(ca=authority.ca))
    bench.until_calls("failed")
    assert isinstance(bench.errors[0], ssl.SSLError)


def test_a_client_gives_a_silent_server_up_and_tries_again(
    plain: Bench, authority: Authority
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("127.0.0.1", listener.getsockname()[1])
        plain.client(
            address,
            ClientTls(ca=authority.ca, handshake_timeout=0.05),
            retry=Backoff(first=0.01, attempts=2),
        )
        plain.until_calls("failed")
    assert isinstance(plain.errors[0], TimeoutError)


def test_a_client_that_is_closed_in_the_handshake(plain: Bench, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("127.0.0.1", listener.getsockname()[1])
        client = plain.client(address, ClientTls(ca=authority.ca))
        plain.settle()
        peer, _ = listener.accept()
        with peer:
            client.close()
            plain.settle()
            peer.settimeout(PATIENCE)
            while peer.recv(65536):
                pass
    assert plain.calls == []


def test_handlers_and_tls(plain: Bench, settings: ServerTls) -> None:
    class Handler(ConnectionHandler):
        def on_connection_completed(self, connection: TcpConnection) -> None:
            connection.send(b"welcome")

        def on_connection_closed(self, connection: TcpConnection) -> None:
            plain.calls.append("closed")

    server = TcpServer(plain.loop, "127.0.0.1:0", handler=Handler, tls=settings)
    plain._servers.append(server)
    server.start()
    peer = plain.connect(server)
    assert plain.receive(peer, 7) == b"welcome"
    peer.close()
    plain.until_calls("closed")
