"""The handler of an `HttpServer` that has a WSGI application answer."""

import contextvars
from collections.abc import Callable, Iterable

from yolanda.apps.wsgi.environment import (
    EnvironmentMaker,
    Settings,
    WsgiApplication,
    look_at_ends,
)
from yolanda.apps.wsgi.error_stream import ErrorStream
from yolanda.apps.wsgi.exchange import WsgiExchange
from yolanda.apps.wsgi.threads import Threads
from yolanda.http.field_lines import KnownFieldLines
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.reactor.event_loop import EventLoop

SMALL_BODY = 1 << 20
"""Bytes of a body that is waited for before a thread is taken: a slow client then has none."""
_SMALL_BODIES = 64 << 20  # bytes of all such bodies at one time


class WsgiHandler:
    """Calls ``application`` for each request.  Give it to an `HttpServer` with ``streaming=True``.

    - ``loop``: the server's;
    - ``threads``: in how many the application may run at once;
    - ``settings``: what its environments have in common;
    - ``fields``: pairs that each response gets.

    It belongs to the loop's thread: a server with sub-reactors cannot use it.  `close` ends the
    threads.  (PEP 3333.)
    """

    def __init__(
        self,
        loop: EventLoop,
        application: WsgiApplication,
        threads: int,
        *,
        settings: Settings | None = None,
        fields: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._application = application
        self._settings = settings or Settings()
        self._fields = tuple(fields)
        KnownFieldLines(self._fields)  # raises now, and not in a thread
        self._threads: Threads[WsgiExchange] = Threads(loop, threads, self._make_worker)
        self._small_bodies = 0
        self.in_flight = 0
        """Requests that wait for a thread or have one."""

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        """Have a thread answer ``request``, when there is one."""
        self.in_flight += 1
        if request.body_coming:
            self._await_body(request, response)
        else:
            self._threads.submit(self._make_exchange(request, response))

    @property
    def busy_threads(self) -> int:
        """Threads that are answering requests."""
        return self._threads.busy

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` when nothing is being done any more, in any thread, or now."""
        self._threads.when_idle(callback)

    def close(self, timeout: float = 0.0) -> bool:
        """Take no more requests; wait for those that are being served, and return whether all
        threads have ended in time."""
        return self._threads.close(timeout)

    def _make_worker(self) -> Callable[[WsgiExchange], object]:
        """In one of the threads: make what answers requests there."""
        application = self._application
        errors = ErrorStream()
        environments = EnvironmentMaker(self._settings, errors)
        known = KnownFieldLines(self._fields)

        def work(exchange: WsgiExchange) -> None:
            context = contextvars.copy_context()  # what is set in it is gone with it
            context.run(exchange.run, application, environments, known)
            errors.flush()

        return work

    def _make_exchange(self, request: HttpRequest, response: HttpResponse) -> WsgiExchange:
        connection = request.connection
        ends = connection.context
        if ends is None:
            ends = connection.context = look_at_ends(connection, self._settings)
        return WsgiExchange(request, response, ends, self._threads.tell, self._note_over)

    def _note_over(self) -> None:
        self.in_flight -= 1

    # ---- bodies that are not here yet ----------------------------------------------------

    def _await_body(self, request: HttpRequest, response: HttpResponse) -> None:
        length = request.headers.get("content-length")
        size = SMALL_BODY + 1 if length is None else int(length)
        if (
            size > SMALL_BODY
            or request.expects_continue
            or self._small_bodies + size > _SMALL_BODIES
        ):
            exchange = self._make_exchange(request, response)
            exchange.stream_body()
            self._threads.submit(exchange)
            return
        self._small_bodies += size
        pieces: list[bytes] = []

        def handle_body(piece: bytes) -> None:
            if piece:
                pieces.append(piece)
                return
            self._small_bodies -= size
            request.on_body = None
            request.body = b"".join(pieces)
            pieces.clear()
            self._threads.submit(self._make_exchange(request, response))

        def handle_disconnect() -> None:
            self._small_bodies -= size
            self.in_flight -= 1
            request.on_body = request.on_disconnect = None

        response.defer()
        request.on_body = handle_body
        request.on_disconnect = handle_disconnect
