"""A server in a thread, and a client that sends whatever bytes it is told to."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.reactor.event_loop import EventLoop
from yolanda.websocket import WebSocket, WebSocketOptions, accept_websocket

from ..conftest import wait_until

PATIENCE = 20.0  # seconds after which a test that waits for something has failed
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
)


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """A frame as a client sends it; ``rsv`` are its three reserved bits."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(data))
    if not mask:
        return head + data
    key = b"\x37\xfa\x21\x3d"
    keys = key * (len(data) // 4 + 1)
    masked = int.from_bytes(data, "big") ^ int.from_bytes(keys[: len(data)], "big")
    return head + key + masked.to_bytes(len(data), "big")


def close_frame(code: int | None = None, reason: bytes | str = b"") -> bytes:
    if isinstance(reason, str):
        reason = reason.encode()
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Peer:
    """A raw client; frames that it reads are ``(opcode, data)``, and the end is an `EOFError`."""

    def __init__(self, address: Any, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((address.host, address.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.head = b""
        self.rsv = 0

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def shake(self, path: str = "/", *fields: str, more: bytes = b"") -> "Peer":
        """Ask for a WebSocket, with ``more`` in the same segment, and read the answer's head."""
        lines = "".join(f"{field}\r\n" for field in fields)
        self.send(HANDSHAKE.format(path=path, fields=lines).encode() + more)
        while b"\r\n\r\n" not in self.data:
            self._receive()
        self.head, _, self.data = self.data.partition(b"\r\n\r\n")
        return self

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    def field(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n"):
            if line.lower().startswith(name.lower() + ":"):
                return line.partition(":")[2].strip()
        return None

    def read(self) -> tuple[int, bytes]:
        first, length = self._take(2)
        assert not length & 0x80, "a server does not mask"
        self.rsv = first >> 4 & 7
        if length == 126:
            length = int.from_bytes(self._take(2), "big")
        elif length == 127:
            length = int.from_bytes(self._take(8), "big")
        assert first & 0x80, "the server sends no fragments"
        return first & 15, self._take(length)

    def read_close(self) -> tuple[int | None, str]:
        """The Close, which must be next, and then the end of the stream."""
        opcode, data = self.read()
        assert opcode == CLOSE, (opcode, data)
        self.assert_end()
        return (int.from_bytes(data[:2], "big"), data[2:].decode()) if data else (None, "")

    def assert_end(self) -> None:
        assert not self.data
        assert self.socket.recv(100) == b""

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _take(self, size: int) -> bytes:
        while len(self.data) < size:
            self._receive(size)
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def _receive(self, wanted: int = 0) -> None:
        pieces = [self.data]
        have = len(self.data)
        while True:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(f"the stream ended after {self.data!r}")
            pieces.append(piece)
            have += len(piece)
            if have >= wanted:
                break
        self.data = b"".join(pieces)


class Served:
    """An `HttpServer` in a thread of its own, and what was told to its WebSockets' hooks."""

    def __init__(self, handler: Callable[..., object] | None, options: dict[str, Any]) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.websockets: list[WebSocket] = []
        self.peers: list[Peer] = []
        self.accept_options: dict[str, Any] = {}
        names = WebSocketOptions.__dataclass_fields__
        mine = {name: options.pop(name) for name in list(options) if name in names}
        self.options = WebSocketOptions(**mine)
        for name in ("subprotocols", "origins", "headers"):
            if name in options:
                self.accept_options[name] = options.pop(name)
        self.stopped = threading.Event()
        self.server: HttpServer
        self.loop: EventLoop
        ready = threading.Event()

        def run() -> None:
            self.server = HttpServer("127.0.0.1:0", handler or self.accept, **options)
            self.loop = self.server.loop
            self.server.run(on_started=ready.set)
            self.stopped.set()

        self._thread = threading.Thread(target=run, name="server under test", daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE)

    def accept(self, request: HttpRequest, response: HttpResponse) -> None:
        """The handler, unless a test has its own: send back what comes, note what happens."""
        websocket = accept_websocket(
            request,
            response,
            options=self.options,
            on_open=lambda websocket: self.events.append(("open",)),
            on_message=self.on_message,
            on_closed=self.on_closed,
            **self.accept_options,
        )
        if websocket is not None:
            self.websockets.append(websocket)
            websocket.on_pong = lambda websocket, data: self.events.append(("pong", data))

    def on_message(self, websocket: WebSocket, message: str | bytes) -> None:
        self.events.append(("message", message))
        websocket.send(message)

    def on_closed(self, websocket: WebSocket, code: int, reason: str) -> None:
        self.events.append(("closed", code, reason))

    def connect(self, receive_buffer: int | None = None) -> Peer:
        peer = Peer(self.server.address, receive_buffer)
        self.peers.append(peer)
        return peer

    def shake(self, path: str = "/", *fields: str, more: bytes = b"") -> Peer:
        peer = self.connect().shake(path, *fields, more=more)
        assert peer.status == 101, peer.head
        return peer

    def wait_for(self, *event: Any) -> None:
        """Wait until ``event`` was told; of a reason that is not given, any will do."""
        wait_until(lambda: any(e[: len(event)] == event for e in list(self.events)))

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the main loop and give its result."""
        done = threading.Event()
        results: list[Any] = []

        def run() -> None:
            try:
                results.append(function(*args))
            finally:
                done.set()

        self.loop.queue_in_loop(run)
        assert done.wait(PATIENCE)
        return results[0]

    def settle(self) -> None:
        """Wait until the loops have done what they were asked so far."""
        for loop in {self.loop, *self.server.loops}:
            done = threading.Event()
            loop.queue_in_loop(done.set)
            assert done.wait(PATIENCE)

    def wait_empty(self) -> None:
        """Wait until every connection is gone."""
        wait_until(lambda: self.server.connections == 0)

    def stop(self, timeout: float = 0.0) -> None:
        for peer in self.peers:
            peer.socket.close()
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.server.stop(timeout)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers: ``serve(handler, **options)``, of `HttpServer` and `WebSocketOptions`."""
    started: list[Served] = []

    def start(handler: Callable[..., object] | None = None, **options: Any) -> Served:
        served = Served(handler, options)
        started.append(served)
        return served

    yield start
    for served in started:
        served.stop()


@pytest.fixture
def wire() -> Any:
    """What makes frames."""

    class Wire:
        CONT, TEXT, BINARY, CLOSE, PING, PONG = CONT, TEXT, BINARY, CLOSE, PING, PONG

    Wire.frame = staticmethod(frame)  # type: ignore[attr-defined]
    Wire.close = staticmethod(close_frame)  # type: ignore[attr-defined]
    return Wire
