"""How a service is seen from outside: access log, metrics, health."""

import logging
import os
from collections.abc import Sequence

from yolanda.address import Address, AddressError, BoundSocket, bind_socket
from yolanda.apps.config import Config, ConfigError
from yolanda.apps.observation.access_log import AccessLog
from yolanda.apps.observation.board import Board, Cell, ProcessState
from yolanda.apps.observation.health import HealthCheck
from yolanda.apps.observation.log_writer import open_log
from yolanda.apps.observation.metrics import PATH, MetricsPage, WorkerFigures, check_library
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.http.connection import HttpHandler
from yolanda.http.exchange_recorder import ExchangeObserver
from yolanda.http.limits import HttpLimits
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.http.server import HttpServer
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.shared_load import ProcessLoad

log = logging.getLogger("yolanda.apps")

_LAST_QUESTIONS = 0.2  # seconds in which one may come on a connection that is there, at the end
_LAST_ANSWERS = 1.0  # seconds in which they leave


class Outlook:
    """What the processes of a service share to be seen: made before they are forked.

    - ``board``: where they write how they go; None if nobody is to see it;
    - ``listener``: where that is shown; None for nowhere.

    `open` makes one as the options say.
    """

    def __init__(self, board: Board | None = None, listener: BoundSocket | None = None) -> None:
        self.board = board
        self.listener = listener

    @classmethod
    def open(cls, config: Config) -> "Outlook":
        """Make one.  Raises `ConfigError` for what cannot be had."""
        if config.access_log != "off":
            try:
                os.close(open_log(config.access_log_file))
            except OSError as error:
                raise ConfigError(
                    f"--access-log-file {config.access_log_file}: {error.strerror}"
                ) from error
        board = Board() if config.metrics is not None or config.health else None
        listener = None
        address = config.metrics_address()
        if address is not None:
            check_library()
            try:
                listener = bind_socket(address)
                listener.socket.listen()
            except AddressError as error:
                raise ConfigError(f"--metrics: {error}") from None
        return cls(board, listener)

    def note_end(self, load: ProcessLoad) -> None:
        """A worker process has ended; ``load`` was its place."""
        if self.board is not None:
            self.board.leave(load.place)

    def close(self) -> None:
        """Close the listener."""
        if self.listener is not None:
            self.listener.close()


class Observation:
    """How one process that serves is seen from outside.

    - ``outlook``: what it shares with its fellows;
    - ``loop``: that of its servers, in whose thread all methods are called.

    What makes it gives `on_exchange` to the servers and `before` its handler, and tells it of the
    servers with `watch`.  `ProcessControl` tells it how the process goes, and closes it.
    """

    def __init__(
        self, config: Config, loop: EventLoop, handle: WorkerHandle | None, outlook: Outlook
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._board = outlook.board
        self._place = 0 if handle is None or handle.load is None else handle.load.place
        self._ends = False  # all of the service, and not this process alone
        self._access_log: AccessLog | None = None
        self._figures: WorkerFigures | None = None
        self._row: memoryview[float] | None = None
        self._server: HttpServer | None = None
        self._health = HealthCheck(self._why_not) if config.health else None
        if config.access_log != "off":
            self._access_log = AccessLog(config.access_log, config.access_log_file, loop)
        if self._board is not None:
            self._row = self._board.join(self._place, 0 if handle is None else handle.index)
        if outlook.listener is not None and self._board is not None and self._row is not None:
            self._figures = WorkerFigures(self._row, loop)
            self._server = self._serve(outlook.listener, self._board, self._figures)

    @property
    def on_exchange(self) -> ExchangeObserver | None:
        """What the servers are to tell of; None if nobody wants to know."""
        wanted = [who.on_exchange for who in (self._access_log, self._figures) if who is not None]
        if len(wanted) < 2:
            return wanted[0] if wanted else None
        first, second = wanted

        def tell_both(
            request: HttpRequest,
            response: HttpResponse | None,
            sent: int,
            seconds: float,
            complete: bool,
        ) -> None:
            first(request, response, sent, seconds, complete)
            second(request, response, sent, seconds, complete)

        return tell_both

    def before(self, handler: HttpHandler) -> HttpHandler:
        """Return a handler that answers probes if it shall, and leaves all else to ``handler``."""
        return handler if self._health is None else self._health.before(handler)

    def watch(self, servers: Sequence[HttpServer]) -> None:
        """These are the servers."""
        if self._figures is not None:
            self._figures.watch(servers)

    # ---- how the process goes ------------------------------------------------------------

    def ready(self) -> None:
        """Clients are served from now on."""
        self._set_state(ProcessState.READY)

    def ending(self, for_good: bool) -> None:
        """The end begins.

        - ``for_good``: that of all of the service; else there are other processes that go on.
        """
        self._ends = for_good
        self._set_state(ProcessState.ENDING)
        if not for_good and self._server is not None:
            self._server.stop()

    def reopen_logs(self) -> None:
        """Open the access log anew: its file was moved away."""
        if self._access_log is not None:
            self._access_log.reopen()

    def close(self) -> None:
        """The end is there.  Who has just asked how the process goes is still told."""
        if self._server is not None:
            self._server.stop(_LAST_ANSWERS)
            while self._server.connections:
                self._loop.run_once()
            self._server.close()
            self._loop.run_once(0)  # for the last hooks of its connections
        if self._figures is not None:
            self._figures.close()
        if self._access_log is not None:
            self._access_log.close()
        if self._board is not None:
            self._board.leave(self._place)

    def _set_state(self, state: ProcessState) -> None:
        if self._row is not None:
            self._row[Cell.STATE] = state

    def _why_not(self) -> str:
        """Why no requests should come; empty if they should."""
        if self._ends:
            return "draining"
        # One process that starts or ends does not matter while others serve.
        assert self._board is not None
        return "" if self._board.anybody_ready() else "not ready"

    # ---- an address of its own -----------------------------------------------------------

    def _serve(self, listener: BoundSocket, board: Board, figures: WorkerFigures) -> HttpServer:
        page = MetricsPage(board, figures.look)
        health = HealthCheck(self._why_not)

        def on_request(request: HttpRequest, response: HttpResponse) -> None:
            if health.answer(request, response):
                return
            if request.path == PATH:
                page.answer(request, response)
            else:
                response.status = 404

        address = Address(fd=os.dup(listener.socket.fileno()))
        limits = HttpLimits(drain_grace=_LAST_QUESTIONS)
        server = HttpServer(address, on_request, loop=self._loop, limits=limits)
        server.leave_queue = self._handle is not None
        server.start()
        return server
