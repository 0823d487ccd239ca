"""The PROXY protocol: the decoder without sockets, however its bytes are cut; then servers."""

import contextlib
import itertools
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from yolanda.address import Address
from yolanda.buffer import Buffer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport import proxy_header_reader
from yolanda.transport.proxy_protocol import (
    ProxyHeader,
    ProxyHeaderDecoder,
    ProxyProtocolError,
)
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import TcpServer
from yolanda.transport.tls_settings import ServerTls

RunUntil = Callable[..., None]
PATIENCE = 20.0
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"


def binary(kind: int, family: int, addresses: bytes, tlvs: bytes = b"") -> bytes:
    body = addresses + tlvs
    return SIGNATURE + bytes([kind, family]) + struct.pack("!H", len(body)) + body


def inet(source: str, destination: str, ports: tuple[int, int]) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    return packed + struct.pack("!HH", *ports)


def local(source: bytes, destination: bytes) -> bytes:
    return source.ljust(108, b"\0") + destination.ljust(108, b"\0")


V4 = inet("192.0.2.7", "198.51.100.1", (56324, 443))
V6 = inet("2001:db8::7", "2001:db8::1", (1, 65535))
TLVS = b"\x02\x00\x0bexample.org" + b"\x04\x00\x03\0\0\0"
FOUR = ProxyHeader(Address("192.0.2.7", 56324), Address("198.51.100.1", 443))
SIX = ProxyHeader(Address("2001:db8::7", 1), Address("2001:db8::1", 65535))

HEADERS = {
    "line, IPv4": (LINE, FOUR),
    "line, IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", SIX),
    "line, the longest": (
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(105, b"f") + b"\r\n",
        ProxyHeader(),
    ),
    "line, port 0": (
        b"PROXY TCP4 0.0.0.0 255.255.255.255 0 0\r\n",
        ProxyHeader(Address("0.0.0.0", 0), Address("255.255.255.255", 0)),
    ),
    "line, unknown": (b"PROXY UNKNOWN\r\n", ProxyHeader()),
    "line, unknown, with whatever": (b"PROXY UNKNOWN what ever\r\n", ProxyHeader()),
    "IPv4": (binary(0x21, 0x11, V4), FOUR),
    "IPv4 with TLVs": (binary(0x21, 0x11, V4, TLVS), FOUR),
    "IPv6": (binary(0x21, 0x21, V6), SIX),
    "IPv6, mapped": (
        binary(0x21, 0x21, inet("::ffff:192.0.2.7", "::ffff:198.51.100.1", (56324, 443))),
        FOUR,
    ),
    "local sockets": (
        binary(0x21, 0x31, local(b"/run/a.sock", b"\0abstract"), TLVS),
        ProxyHeader(Address(path="/run/a.sock"), Address(path="@abstract")),
    ),
    "local sockets without a name": (
        binary(0x21, 0x31, local(b"", b"/" * 108)),
        ProxyHeader(Address(path=""), Address(path="/" * 108)),
    ),
    "for itself": (binary(0x20, 0x00, b""), ProxyHeader()),
    "for itself, with addresses": (binary(0x20, 0x11, V4), ProxyHeader()),
    "unspecified": (binary(0x21, 0x00, b"", TLVS), ProxyHeader()),
    "datagrams": (binary(0x21, 0x12, V4), ProxyHeader()),
    "very long": (binary(0x21, 0x11, V4, bytes(65535 - 12)), FOUR),
}


def decode(data: bytes, cuts: list[int]) -> tuple[ProxyHeader | None, bytes]:
    """Feed ``data`` in pieces; give the header, and what belongs to the stream."""
    decoder = ProxyHeaderDecoder()
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in itertools.pairwise(edges):
        taken = decoder.feed(data[start:end])
        if decoder.header is not None:
            return decoder.header, data[start + taken :]
        assert taken == end - start
    return None, b""


@pytest.mark.parametrize("name", HEADERS)
@given(
    cuts=st.lists(st.integers(0, 260)),
    stream=st.sampled_from([b"", b"\n", LINE, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]),
)
def test_a_header_however_it_is_cut(name: str, cuts: list[int], stream: bytes) -> None:
    data, expected = HEADERS[name]
    assert decode(data + stream, cuts) == (expected, stream)


@pytest.mark.parametrize("name", [name for name in HEADERS if name != "very long"])
def test_a_header_byte_by_byte_is_complete_with_its_last_byte(name: str) -> None:
    data, expected = HEADERS[name]
    assert decode(data[:-1], list(range(len(data)))) == (None, b"")
    assert decode(data, list(range(len(data)))) == (expected, b"")


BAD = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01",
    "lower case": b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "nearly": b"PROXX TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "LF alone": LINE.replace(b"\r\n", b"\n"),
    "too long": b"PROXY UNKNOWN " + b"x" * 100,
    "nothing": b"PROXY \r\n",
    "another protocol": b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "two spaces": b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
    "trailing space": b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
    "three numbers": b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
    "a zero before a number": b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
    "a name": b"PROXY TCP4 localhost 198.51.100.1 1 2\r\n",
    "not ASCII": "PROXY TCP4 ١92.0.2.7 198.51.100.1 1 2\r\n".encode(),
    "mixed families": b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
    "a great port": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
    "a negative port": b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
    "a port with a zero": b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    "no port": b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
    "a wrong signature": SIGNATURE[:-1] + b"\r" + b"\x21\x11\x00\x0c" + V4,
    "version 1 in binary": binary(0x11, 0x11, V4),
    "an unknown command": binary(0x22, 0x11, V4),
    "an unknown family": binary(0x21, 0x41, V4),
    "an unknown transport": binary(0x21, 0x13, V4),
    "too few addresses": binary(0x21, 0x21, V4),
    "short local sockets": binary(0x21, 0x31, b"/run/a.sock"),
}


@pytest.mark.parametrize("name", BAD)
@given(cuts=st.lists(st.integers(0, 120)))
def test_what_is_no_header_is_refused_however_it_is_cut(name: str, cuts: list[int]) -> None:
    with pytest.raises(ProxyProtocolError):
        decode(BAD[name], cuts)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_header_or_are_refused_or_are_not_enough(data: bytes) -> None:
    for start in (b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21"):
        with contextlib.suppress(ProxyProtocolError):
            decode(start + data, [1, 5, 20])


def test_what_is_certain_is_said_at_once() -> None:
    with pytest.raises(ProxyProtocolError, match=re.escape("b'G'")):
        ProxyHeaderDecoder().feed(b"GET / HTTP/1.1\r\n")


# ---- servers -----------------------------------------------------------------------------


class Bench:
    def __init__(self, loop: EventLoop, run_until: RunUntil) -> None:
        self.loop = loop
        self._run_until = run_until
        self.sockets: list[socket.socket] = []
        self.servers: list[TcpServer] = []

    def serve(self, address: str = "127.0.0.1:0", **options: Any) -> TcpServer:
        """A server that says who is there and what it has heard."""

        def tell(connection: TcpConnection, buffer: Buffer) -> None:
            data = buffer.retrieve_all()
            connection.send(f"{connection.peer_address} said ".encode() + data)

        options.setdefault("proxy_protocol", True)
        server = TcpServer(self.loop, address, on_message=tell, **options)
        self.servers.append(server)
        server.start()
        return server

    def connect(self, server: TcpServer) -> socket.socket:
        address = server.address
        if address.path is not None:
            sock = socket.socket(socket.AF_UNIX)
            self.sockets.append(sock)
            sock.connect(address.path)
        else:
            sock = socket.create_connection((address.host, address.port), PATIENCE)
            self.sockets.append(sock)
        sock.setblocking(False)
        return sock

    def until(self, condition: Callable[[], object]) -> None:
        self._run_until(self.loop, condition, timeout=PATIENCE)

    def attempt(self, function: Callable[..., Any], *args: Any) -> Any:
        found: list[Any] = []

        def once() -> bool:
            try:
                found.append(function(*args))
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            return True

        self.until(once)
        return found[0]

    def ask(self, server: TcpServer, data: bytes) -> bytes:
        sock = self.connect(server)
        sock.send(data)
        return bytes(self.attempt(sock.recv, 65536))

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        for server in self.servers:
            server.close()
        self.loop.run_once(0)


@pytest.fixture(params=list(DISPATCHERS))
def bench(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, run_until: RunUntil
) -> Iterator[Bench]:
    monkeypatch.setenv("YOLANDA_DISPATCHER", request.param)
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        yield bench
        bench.close()


@pytest.fixture
def plain(run_until: RunUntil) -> Iterator[Bench]:
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        yield bench
        bench.close()


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("header", [LINE, binary(0x21, 0x11, V4, TLVS)], ids=["line", "binary"])
def test_the_client_is_who_the_proxy_says(bench: Bench, header: bytes, threads: int) -> None:
    server = bench.serve(threads=threads)
    assert bench.ask(server, header + b"hello") == b"192.0.2.7:56324 said hello"


def test_a_header_in_pieces(bench: Bench) -> None:
    server = bench.serve()
    sock = bench.connect(server)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in LINE:
        sock.send(bytes([byte]))
        bench.loop.run_once(0)
    sock.send(b"hello")
    assert bench.attempt(sock.recv, 100) == b"192.0.2.7:56324 said hello"


def test_a_partial_header_does_not_keep_the_loop_busy(bench: Bench) -> None:
    server = bench.serve()
    sock = bench.connect(server)
    sock.send(LINE[:20])
    bench.until(lambda: server.connections == 1)
    bench.loop.run_once(0.05)
    turns = bench.loop.statistics.iterations
    bench.loop.call_later(0.05, bench.loop.stop)
    bench.loop.run()
    assert bench.loop.statistics.iterations - turns < 5


def test_the_header_and_the_hooks(plain: Bench) -> None:
    seen: list[tuple[Any, ...]] = []
    server = plain.serve(
        on_connection_completed=lambda c: seen.append((c.peer_address, c.proxy_header)),
    )
    sock = plain.connect(server)
    plain.until(lambda: server.connections == 1)
    plain.loop.run_once(0)
    assert seen == []  # not before it is known who is there
    sock.send(LINE)
    plain.until(lambda: seen)
    assert seen == [(FOUR.source, FOUR)]


def test_a_proxy_that_speaks_for_itself(bench: Bench) -> None:
    server = bench.serve()
    for header in (binary(0x20, 0, b""), b"PROXY UNKNOWN\r\n"):
        answer = bench.ask(server, header + b"ping")
        assert re.fullmatch(rb"127\.0\.0\.1:[0-9]+ said ping", answer)


def test_whoever_has_no_header_is_refused(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    server = bench.serve()
    caplog.set_level("INFO")
    sock = bench.connect(server)
    sock.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        bench.attempt(sock.recv, 100)
    bench.until(lambda: server.connections == 0)
    assert "no PROXY header" in caplog.text
    assert "Traceback" not in caplog.text


def test_the_header_of_somebody_who_is_not_trusted_is_a_part_of_the_stream(bench: Bench) -> None:
    server = bench.serve(proxy_protocol=["10.0.0.0/8"])
    answer = bench.ask(server, LINE)
    assert re.fullmatch(rb"127\.0\.0\.1:[0-9]+ said " + re.escape(LINE), answer)
    server = bench.serve(proxy_protocol=["10.0.0.0/8", "127.0.0.0/8"])
    assert bench.ask(server, LINE + b"hello") == b"192.0.2.7:56324 said hello"


def test_a_proxy_on_a_local_socket(plain: Bench, tmp_path: Path) -> None:
    server = plain.serve(f"unix:{tmp_path}/s", proxy_protocol=["unix"])
    assert plain.ask(server, binary(0x21, 0x21, V6) + b"hello") == b"[2001:db8::7]:1 said hello"


@pytest.mark.parametrize("said", [b"", LINE[:-1]])
def test_a_header_that_does_not_come_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(proxy_header_reader, "HEADER_TIMEOUT", 0.05)
    server = bench.serve(max_connections=1)
    sock = bench.connect(server)
    sock.send(said)
    assert bench.ask(server, LINE + b"hello") == b"192.0.2.7:56324 said hello"  # had to wait
    with pytest.raises(ConnectionResetError):
        bench.attempt(sock.recv, 100)


@pytest.mark.parametrize("reset", [False, True])
def test_a_proxy_that_goes_before_its_header(bench: Bench, reset: bool) -> None:
    server = bench.serve()
    sock = bench.connect(server)
    sock.send(LINE[:10])
    bench.until(lambda: server.connections == 1)
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    bench.until(lambda: server.connections == 0)


def test_stopping_in_front_of_a_header(bench: Bench) -> None:
    server = bench.serve()
    bench.connect(server)
    bench.until(lambda: server.connections == 1)
    stopped: list[bool] = []
    server.stop(0, lambda: stopped.append(True))
    bench.until(lambda: stopped)


@pytest.mark.parametrize("header", [LINE, binary(0x21, 0x11, V4)], ids=["line", "binary"])
def test_the_header_stands_before_tls(bench: Bench, tmp_path: Path, header: bytes) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    server = bench.serve(tls=ServerTls(tmp_path / "server.pem"))
    # Header and the beginning of the handshake in one packet.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    sock = bench.connect(server)

    def step(function: Callable[..., Any], *args: Any) -> Any:
        nonlocal header
        while True:
            try:
                result = function(*args)
            except ssl.SSLWantReadError:
                sock.send(header + outgoing.read())
                header = b""
                incoming.write(bench.attempt(sock.recv, 65536))
            else:
                return result

    step(peer.do_handshake)
    peer.write(b"hello")
    assert step(peer.read, 100) == b"192.0.2.7:56324 said hello"


@pytest.mark.parametrize("networks", [["10.0.0.0/99"], ["example.org"]])
def test_what_is_no_network_is_named(plain: Bench, networks: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(networks[0])):
        plain.serve(proxy_protocol=networks)
