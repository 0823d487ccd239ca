"""A server in a thread and a client that reads responses one by one."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from yolanda.http import HttpServer
from yolanda.reactor.event_loop import EventLoop

PATIENCE = 20.0  # seconds after which a test that waits for something has failed


@dataclass
class Answer:
    """One response as it came."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    chunks: list[bytes] | None = None
    clean: bool = True  # it ended as it announced

    def get(self, name: str) -> str | None:
        return next((v for n, v in self.fields if n.lower() == name.lower()), None)

    def get_all(self, name: str) -> list[str]:
        return [v for n, v in self.fields if n.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """A connection to the server that knows no more of HTTP than it must."""

    def __init__(self, address: Any, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect((address.host, address.port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.ended = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, target: str = "/", *fields: str, method: str = "GET") -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields, "", ""]
        self.send("\r\n".join(lines).encode())
        return self.read(method)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def more(self) -> bool:
        """Receive something; whether there was anything."""
        if not self.ended:
            piece = self.socket.recv(65536)
            self.data += piece
            self.ended = not piece
        return not self.ended

    def take(self, size: int) -> bytes:
        while len(self.data) < size and self.more():
            pass
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def until(self, mark: bytes) -> bytes:
        while mark not in self.data:
            if not self.more():
                raise EOFError(f"the stream ended before {mark!r}: {self.data!r}")
        taken, _, self.data = self.data.partition(mark)
        return taken

    def read(self, method: str = "GET") -> Answer:
        """The next response; interim ones before it are noted."""
        interim: list[int] = []
        while True:
            lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            match = re.fullmatch(r"HTTP/1\.1 ([0-9]{3}) [ -~]+", lines[0])
            assert match, lines[0]
            fields = []
            for line in lines[1:]:
                name, separator, value = line.partition(": ")
                assert separator, line
                fields.append((name, value))
            answer = Answer(int(match[1]), fields, interim=interim)
            if answer.status >= 200:
                break
            interim.append(answer.status)
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer.get("Transfer-Encoding") == "chunked":
            self._read_chunks(answer)
        elif (length := answer.get("Content-Length")) is not None:
            answer.body = self.take(int(length))
            answer.clean = len(answer.body) == int(length)
        else:
            answer.body = self.rest()
        return answer

    def _read_chunks(self, answer: Answer) -> None:
        answer.chunks = []
        try:
            while size := int(self.until(b"\r\n"), 16):
                answer.chunks.append(self.take(size))
                assert self.take(2) == b"\r\n"
            assert self.until(b"\r\n") == b""
        except (EOFError, AssertionError, ConnectionResetError):
            answer.clean = False
        answer.body = b"".join(answer.chunks)

    def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        while self.more():
            pass
        taken, self.data = self.data, b""
        return taken

    def at_end(self) -> bool:
        """Whether the server closes now without sending anything."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return self.data == b""


class Served:
    """An `HttpServer` in a thread of its own."""

    def __init__(self, handler: Callable[..., object], options: dict[str, Any]) -> None:
        self.clients: list[Client] = []
        self._handler = handler
        self._options = options
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self.stopped = threading.Event()
        self.server: HttpServer
        self.loop: EventLoop
        self._thread = threading.Thread(
            target=self._run, name="http server under test", daemon=True
        )
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _run(self) -> None:
        try:
            self.server = HttpServer("127.0.0.1:0", self._handler, **self._options)
            self.loop = self.server.loop
            self.address = self.server.address
        except BaseException as error:
            self._error = error
            self._ready.set()
            return
        self.loop.queue_in_loop(self._ready.set)
        self.server.run()
        self.stopped.set()

    def connect(self, receive_buffer: int | None = None) -> Client:
        client = Client(self.address, receive_buffer)
        self.clients.append(client)
        return client

    def exchange(self, data: bytes, pieces: list[int] | None = None) -> bytes:
        """Send bytes, half-close, and give all that comes back."""
        with self.connect() as client:
            with contextlib.suppress(OSError):
                client.send(data)
                client.half_close()
            return client.rest()

    def get(self, target: str = "/", *fields: str, method: str = "GET") -> Answer:
        with self.connect() as client:
            return client.get(target, *fields, method=method)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the server's main loop and give its result."""
        done = threading.Event()
        results: list[Any] = []

        def run() -> None:
            results.append(function(*args))
            done.set()

        self.loop.queue_in_loop(run)
        assert done.wait(PATIENCE)
        return results[0]

    def settle(self) -> None:
        """Wait until all loops have done what they were asked so far."""
        self.call(lambda: None)
        for loop in self.server.loops:
            done = threading.Event()
            loop.queue_in_loop(done.set)
            assert done.wait(PATIENCE)

    @property
    def connections(self) -> int:
        return self.server.connections

    def begin_stop(self, timeout: float = PATIENCE) -> None:
        self.loop.queue_in_loop(self.server.stop, timeout)

    def stop(self, timeout: float = 0.0) -> None:
        for client in self.clients:
            client.socket.close()
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.begin_stop(timeout)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Served]]:
    """Start servers: ``serve(handler, **options)``."""
    started: list[Served] = []

    def start(handler: Callable[..., object], **options: Any) -> Served:
        served = Served(handler, options)
        started.append(served)
        return served

    yield start
    for served in started:
        served.stop()
