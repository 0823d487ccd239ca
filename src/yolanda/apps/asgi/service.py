"""One process that serves an ASGI application: the reactor inside asyncio's loop."""

import asyncio
import faulthandler
import logging
from collections.abc import Callable, Sequence

from yolanda.address import BoundSocket
from yolanda.apps.asgi.coroutine_runner import CoroutineRunner
from yolanda.apps.asgi.handler import AsgiHandler
from yolanda.apps.asgi.http import HttpExchange
from yolanda.apps.asgi.interface import AsgiApplication
from yolanda.apps.asgi.lifespan import Lifespan, LifespanFailed
from yolanda.apps.asgi.scope import ScopeMaker
from yolanda.apps.config import Config, ConfigError
from yolanda.apps.http_servers import guarded, make_proxies, make_servers, make_tls
from yolanda.apps.observation.outlook import Observation, Outlook
from yolanda.apps.processes.control import ProcessControl
from yolanda.apps.processes.handle import START_FAILED, WorkerHandle
from yolanda.http.connection import HttpHandler
from yolanda.http.server import HttpServer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop

log = logging.getLogger("yolanda.asgi")

_STDERR = 2
_MARGIN = 5.0  # seconds beyond all deadlines before a process without a master ends itself
_LAST_WORDS = 3.0  # seconds that an application has for its end, even if requests took all the rest


def serve_asgi(
    config: Config,
    application: AsgiApplication,
    listeners: Sequence[BoundSocket],
    handle: WorkerHandle | None,
    outlook: Outlook,
    on_ready: Callable[[], object] | None = None,
) -> int:
    """Serve ``application`` until the master or a signal ends it; return the exit status.

    - ``handle``: of a worker process; None for a process without a master;
    - ``outlook``: how the service is seen from outside;
    - ``on_ready()``: called when clients are served.

    In the main thread.
    """

    async def run() -> int:
        return await _Service(config, application, listeners, handle, outlook).run(on_ready)

    with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
        return runner.run(run())


def loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the asyncio loop; None for asyncio's own.

    Raises `ConfigError` if that is to be uvloop and is not installed.
    """
    if config.loop == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if config.loop == "uvloop":
            raise ConfigError("--loop uvloop needs uvloop: pip install 'yolanda[uvloop]'") from None
        return None
    return uvloop.new_event_loop


class _Service:
    """What runs in the asyncio loop, from the application's start to its end."""

    def __init__(
        self,
        config: Config,
        application: AsgiApplication,
        listeners: Sequence[BoundSocket],
        handle: WorkerHandle | None,
        outlook: Outlook,
    ) -> None:
        self._outlook = outlook
        self._config = config
        self._application = application
        self._listeners = listeners
        self._handle = handle
        self._tls = make_tls(config)
        self._servers: list[HttpServer] = []
        self._stopped = asyncio.Event()
        self._ends_at = 0.0  # by asyncio's clock, once the end has begun
        self._winding_up = False
        self._patience: asyncio.Timeout | None = None  # with the application's start or end
        self._runner = CoroutineRunner(asyncio.get_running_loop())

    async def run(self, on_ready: Callable[[], object] | None) -> int:
        """Serve; return the exit status."""
        outer = asyncio.get_running_loop()
        lifespan = Lifespan(self._application, self._config.lifespan)
        with EventLoop(_embeddable()) as loop:
            outer.add_reader(loop.fileno(), self._turn, loop)
            observation = Observation(self._config, loop, self._handle, self._outlook)
            control = ProcessControl(
                self._handle,
                loop,
                self._stop,
                graceful_timeout=self._config.timeout_graceful_shutdown,
                on_reload_certificates=None if self._tls is None else self._tls.reload,
                observation=observation,
                drain_delay=self._config.drain_delay,
            )
            self._control = control
            try:
                try:
                    async with asyncio.timeout(None) as self._patience:
                        await lifespan.start()
                except LifespanFailed as error:
                    log.error("%s", error, exc_info=error.__cause__)
                    return START_FAILED if self._handle is None else self._handle.fail(str(error))
                except TimeoutError:
                    log.warning("stopped before the application had started")
                    return 0
                self._patience = None
                self._servers = make_servers(
                    self._config,
                    loop,
                    self._listeners,
                    self._make_handler(lifespan),
                    self._handle,
                    self._tls,
                    observation,
                    HttpExchange,
                )
                if not control.stopping:  # a signal may have come during the start
                    for server in self._servers:
                        server.start()
                    control.ready()
                    if on_ready is not None:
                        on_ready()
                    await self._stopped.wait()
                await self._wind_up()
                for server in self._servers:
                    server.close()
                loop.run_once(0)  # for the last hooks of connections that were cut off
                await self._end(lifespan)
            finally:
                control.close()
                outer.remove_reader(loop.fileno())
        return 0

    def _turn(self, loop: EventLoop) -> None:
        with self._runner:
            loop.run_once(0)

    def _make_handler(self, lifespan: Lifespan) -> HttpHandler:
        runner = self._runner
        config = self._config
        scopes = ScopeMaker(
            state=lifespan.state,
            root_path=config.root_path,
            scheme="http" if self._tls is None else "https",
            proxies=make_proxies(config),
        )
        handler = AsgiHandler(
            self._application,
            runner,
            scopes,
            fields=config.fields(),
            websocket=self._make_websocket_handler(scopes),
        )
        return guarded(handler, config, lambda: runner.waiting, self._handle)

    def _make_websocket_handler(self, scopes: ScopeMaker) -> HttpHandler | None:
        """Return what serves WebSockets; None where the library for it is missing."""
        try:
            from yolanda.apps.asgi.websocket import WebSocketHandler, websocket_options
        except ImportError:
            return None
        config = self._config
        options = websocket_options(
            max_size=config.ws_max_size,
            ping_interval=config.ws_ping_interval,
            ping_timeout=config.ws_ping_timeout,
            per_message_deflate=config.ws_per_message_deflate,
        )
        return WebSocketHandler(self._application, self._runner, scopes, options, config.fields())

    def _stop(self, timeout: float) -> None:
        """Let what is being served end within ``timeout`` seconds."""
        self._ends_at = asyncio.get_running_loop().time() + timeout
        if self._handle is None:
            # A coroutine need not heed its cancellation, and a thread knows none.  A master would
            # kill this process; without one it tells what its threads do, and leaves.
            seconds = timeout + _LAST_WORDS + _MARGIN
            faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)
        if self._patience is not None:
            self._patience.reschedule(self._ends_at)
        if self._winding_up and timeout == 0:
            self._runner.cancel()
        left = set(self._servers)

        def finish(server: HttpServer) -> None:
            left.discard(server)
            if not left:
                self._stopped.set()

        for server in self._servers:
            if self._control.serves_queue:
                server.leave_queue = False
            server.stop(timeout, lambda server=server: finish(server))  # type: ignore[misc]
        if not left:
            self._stopped.set()

    async def _wind_up(self) -> None:
        """The responses are out, or cut off: let the application end what it still does."""
        self._winding_up = True
        runner = self._runner
        await runner.wait(max(0.0, self._ends_at - asyncio.get_running_loop().time()))
        if runner.waiting:
            log.warning("%d requests did not end, and are cancelled", runner.waiting)
        await runner.close()

    async def _end(self, lifespan: Lifespan) -> None:
        """Tell the application that it ends.  It has the time that is left, and a little at least,
        unless there was a second signal."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(max(self._ends_at, now + _LAST_WORDS)) as self._patience:
                await lifespan.stop()
        except LifespanFailed as error:
            log.error("%s", error, exc_info=error.__cause__)
        except TimeoutError:
            log.warning("the application's end took too long, and is cancelled")


def _embeddable() -> str:
    """Return the name of a dispatcher that can live inside another loop."""
    return next(name for name in ("epoll", "kqueue") if name in DISPATCHERS)
