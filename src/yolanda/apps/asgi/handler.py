"""The handler of an `HttpServer` that has an ASGI application answer."""

import logging
from collections.abc import Iterable

from yolanda.apps.asgi.coroutine_runner import CoroutineRunner
from yolanda.apps.asgi.http import COMPLETE, START, HttpExchange
from yolanda.apps.asgi.interface import AsgiApplication, coroutine_function
from yolanda.apps.asgi.scope import ScopeMaker
from yolanda.http.connection import HttpHandler
from yolanda.http.field_lines import KnownFieldLines
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse

log = logging.getLogger("yolanda.asgi")


class AsgiHandler:
    """Calls ``application`` for each request.

    Give it to an `HttpServer` with ``streaming=True`` and ``response_class=HttpExchange``.

    - ``runner``: of the asyncio loop in which the server's loop lives;
    - ``scopes``: what makes the scopes of requests;
    - ``fields``: pairs that each response gets;
    - ``websocket``: answers in its place those who ask for a WebSocket; None: nothing does, and
      they get what others get, an answer in HTTP (RFC 9110, 7.8).

    It belongs to the loop's thread, and to one loop: a server with sub-reactors cannot use it.
    (ASGI 3.0.)
    """

    def __init__(
        self,
        application: AsgiApplication,
        runner: CoroutineRunner,
        scopes: ScopeMaker,
        *,
        fields: Iterable[tuple[bytes, bytes]] = (),
        websocket: HttpHandler | None = None,
    ) -> None:
        self._application = coroutine_function(application)
        self._runner = runner
        self._make_scope = scopes.http
        self._fields = KnownFieldLines(fields)
        self._websocket = websocket
        self._complained = False

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        """Answer ``request``, now or when the application has waited for what it needs."""
        exchange: HttpExchange = response  # type: ignore[assignment]  # the server is told so
        if not request.fields.ordinary:
            if request.upgrade_offered and request.offers_upgrade("websocket"):
                if self._websocket is not None:
                    self._websocket(request, response)
                    return
                self._complain(request)
            if request.body_coming or request.body:
                exchange.expect_body()
        exchange.known = self._fields
        exchange.stage = START  # as the class says; found faster, see `HttpConnection`
        application = self._application  # in CPython 3.11 a call by a local name costs less
        make_scope = self._make_scope
        try:
            ended = self._runner.start(
                application(make_scope(request), exchange.receive, exchange.send), exchange
            )
        except BaseException as error:  # also what would end a process: it is not its own
            exchange.ended(error)
        else:
            if not ended:
                exchange.follow()
            elif exchange.stage is not COMPLETE:
                exchange.ended(None)

    def _complain(self, request: HttpRequest) -> None:
        if not self._complained:
            self._complained = True
            log.warning(
                "%s asks for a WebSocket, which needs the library websockets: "
                "pip install 'yolanda[websocket]'",
                request.peer_address,
            )
