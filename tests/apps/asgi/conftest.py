"""An ASGI application on the reactor in an asyncio loop in a thread, and a client for it."""

import asyncio
import contextlib
import http.client
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop
from websockets.sync.client import ClientConnection, connect

from yolanda.apps.asgi.coroutine_runner import CoroutineRunner
from yolanda.apps.asgi.handler import AsgiHandler
from yolanda.apps.asgi.http import HttpExchange
from yolanda.apps.asgi.scope import ScopeMaker
from yolanda.apps.asgi.websocket import WebSocketHandler, websocket_options
from yolanda.http import HttpServer
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tcp_connection import TcpConnection

PATIENCE = 20.0  # seconds after which a test that waits for something has failed
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WEBSOCKET_OPTIONS = {
    "max_size": 1 << 20,
    "ping_interval": 20.0,
    "ping_timeout": 20.0,
    "per_message_deflate": True,
}


@pytest.fixture(scope="session", autouse=True)
def _warm_up() -> None:
    """Let uvloop open what it keeps for the process's life before descriptors are counted."""

    async def main() -> None:
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class Client:
    """A connection on which a test sends what it likes, and reads responses one by one."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def makefile(self, mode: str) -> Any:
        """For `http.client`, which reads one response from it, and closes what it is given."""
        return _Unclosed(self.file)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> None:
        if body:
            fields = (*fields, f"Content-Length: {len(body)}")
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def begin(self, method: str = "GET") -> http.client.HTTPResponse:
        """The next response, of which the head was read."""
        response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
        response.begin()
        return response

    def read(self, method: str = "GET") -> tuple[int, bytes]:
        response = self.begin(method)
        return response.status, response.read()

    def get(self, target: str = "/", *fields: str, **more: Any) -> tuple[int, bytes]:
        self.ask(target, *fields, **more)
        return self.read(more.get("method", "GET"))

    def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        return self.file.read()

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class _Unclosed:
    """A file that stays open when it is closed."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        pass


class Served:
    """The server of one test; ``received`` and ``errors`` are for its application to note in."""

    def __init__(self, application: Any, loop: str, debug: bool, options: dict[str, Any]) -> None:
        self.outer: asyncio.AbstractEventLoop
        self.server: HttpServer
        self.runner: CoroutineRunner
        self.stopped = threading.Event()
        self._application = application
        self._options = options
        self._clients: list[Client] = []
        self._websockets = contextlib.ExitStack()
        self._ready = threading.Event()
        self._grace = 0.0
        self._factory = LOOPS[loop]
        self._debug = debug
        self._thread = threading.Thread(target=self._run, name="asgi under test", daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        self.port = self.server.address.port

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory, debug=self._debug) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        options = self._options
        scopes = ScopeMaker(
            **{n: options.pop(n) for n in ("state", "root_path", "proxies") if n in options}
        )
        fields = options.pop("fields", ())
        websocket = {n: options.pop(n) for n in WEBSOCKET_OPTIONS if n in options}
        self.outer = asyncio.get_running_loop()
        self.runner = runner = CoroutineRunner(self.outer)
        self._end = asyncio.Event()
        handler = AsgiHandler(
            self._application,
            runner,
            scopes,
            fields=fields,
            websocket=WebSocketHandler(
                self._application,
                runner,
                scopes,
                websocket_options(**{**WEBSOCKET_OPTIONS, **websocket}),
                fields,
            ),
        )
        with EventLoop("epoll") as loop:
            self.outer.add_reader(loop.fileno(), loop.run_once, 0)
            self.server = HttpServer(
                "127.0.0.1:0",
                handler,
                loop=loop,
                streaming=True,
                response_class=HttpExchange,
                **options,
            )
            self.server.start()
            self._ready.set()
            await self._end.wait()
            await runner.close()
            loop.run_once(0)
            self.server.close()
            loop.run_once(0)
            self.outer.remove_reader(loop.fileno())

    def connect(self, receive_buffer: int | None = None) -> Client:
        client = Client(self.port, receive_buffer)
        self._clients.append(client)
        return client

    def get(self, target: str = "/", *fields: str, **more: Any) -> tuple[int, bytes]:
        client = self.connect()
        try:
            return client.get(target, *fields, **more)
        finally:
            client.close()

    def websocket(self, path: str = "/", **options: Any) -> ClientConnection:
        options = {"open_timeout": PATIENCE, "close_timeout": PATIENCE, **options}
        manager = connect(f"ws://127.0.0.1:{self.port}{path}", **options)
        websocket: ClientConnection = self._websockets.enter_context(manager)
        self._websockets.callback(_cut_off, websocket)
        return websocket

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the server's thread, and give its result."""

        async def run() -> Any:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.outer).result(PATIENCE)

    def the_connection(self) -> TcpConnection:
        """The server's end of the one connection that there is."""

        def find() -> TcpConnection:
            (connection,) = self.server._connections[self.server.loop]
            return connection

        found = self.call(find)
        assert isinstance(found, TcpConnection)
        return found

    def stop_gracefully(self, timeout: float = PATIENCE) -> None:
        self.call(self.server.stop, timeout, self.stopped.set)

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._websockets.close()
        self.outer.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def _cut_off(websocket: ClientConnection) -> None:
    """Let nobody wait for a server that does not read."""
    with contextlib.suppress(OSError):
        websocket.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What makes the loops that an application can run in, by their names."""
    return LOOPS


@pytest.fixture(params=list(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    """Each of the loops that an application can run in."""
    return str(request.param)


@pytest.fixture
def loop_factory(loop_name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes such a loop."""
    return LOOPS[loop_name]


@pytest.fixture
def serve(loop_name: str) -> Iterator[Callable[..., Served]]:
    """Start servers: ``serve(application, **options)``, of `HttpServer`, scopes and WebSockets."""
    started: list[Served] = []

    def start(application: Any, *, debug: bool = False, **options: Any) -> Served:
        served = Served(application, loop_name, debug, options)
        started.append(served)
        return served

    yield start
    for served in started:
        served.stop()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged as a warning or worse, in text."""

    def texts() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]

    return texts
