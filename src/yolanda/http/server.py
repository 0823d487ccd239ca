"""An HTTP server: a `TcpServer` whose connections speak HTTP."""

import functools
import logging
import socket
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Literal

from yolanda.address import Address
from yolanda.http.codec import ResponseEncoder, SharedParsers
from yolanda.http.connection import HttpConnection, HttpContext, HttpHandler
from yolanda.http.exchange_recorder import ExchangeObserver
from yolanda.http.limits import HttpLimits
from yolanda.http.response import HttpResponse
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.thread_pool import Choice
from yolanda.transport.shared_load import ProcessLoad
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import STOP_TIMEOUT, TcpServer
from yolanda.transport.tls_settings import ServerTls

log = logging.getLogger("yolanda.http")


class HttpServer(TcpServer):
    """Serves HTTP/1.1 and 1.0.  (Course, chapter 34; RFC 9110 and 9112.)

    - ``address``: where to listen, in any form of `Address.parse`;
    - ``handler(request, response)``: called for each request, in the thread of its connection's
      loop; what it raises is logged and answered with 500;
    - ``loop``: the main loop; by default the server makes one, which `run` runs and closes;
    - ``streaming``: call the handler when the head has come and not when the body has: it sets
      ``request.on_body`` to take the body piece by piece, and mostly defers its response;
    - ``limits``: what a client may ask for, see `HttpLimits`;
    - ``server_name``: the Server field; empty for none;
    - ``on_exchange(request, response, sent, seconds, complete)``: called at the end of each
      exchange, in the thread of its connection's loop; what it raises is logged;
    - ``response_class``: what a handler is given to answer with, made without arguments; for
      gateways that keep more of an exchange than the server does.

    An exchange ends when the kernel has taken the last byte of its response, or the connection is
    closed before (``complete`` is false then).  ``sent`` is what of the body was taken, ``seconds``
    the time since the request's head was here.  ``response`` is None when the client went before
    there was one; ``request.head`` is empty for what was refused and is no request.  An exchange
    that upgrades its connection (101) ends with the connection.  Without ``on_exchange`` nothing is
    recorded, at no cost.

    The rest is as in `TcpServer`.
    """

    def __init__(
        self,
        address: str | Address,
        handler: HttpHandler,
        *,
        loop: EventLoop | None = None,
        streaming: bool = False,
        limits: HttpLimits | None = None,
        server_name: str = "Yolanda",
        on_exchange: ExchangeObserver | None = None,
        response_class: type[HttpResponse] = HttpResponse,
        threads: int | Literal["auto"] = 0,
        choice: Choice = "round-robin",
        dispatcher: str = "auto",
        workers: int = 0,
        max_connections: int | None = None,
        backlog: int = socket.SOMAXCONN,
        reuse_port: bool = False,
        shared: ProcessLoad | None = None,
        tls: ServerTls | None = None,
        proxy_protocol: bool | Iterable[str] = False,
    ) -> None:
        if tls is not None and tls.alpn is None:
            tls.offer("http/1.1")
        self._own_loop = loop is None
        if loop is None:
            loop = EventLoop(dispatcher)
        self._limits = limits or HttpLimits()
        self._make_context = functools.partial(
            _make_context,
            handler,
            self._limits,
            streaming,
            server_name,
            on_exchange,
            response_class,
        )
        self._contexts: dict[EventLoop, HttpContext] = {}
        try:
            super().__init__(
                loop,
                address,
                on_connection_completed=self._speak_http,
                threads=threads,
                choice=choice,
                dispatcher=dispatcher,
                workers=workers,
                max_connections=max_connections,
                backlog=backlog,
                reuse_port=reuse_port,
                shared=shared,
                tls=tls,
                proxy_protocol=proxy_protocol,
            )
        except BaseException:
            if self._own_loop:
                loop.close()
            raise

    def run(
        self,
        stop_timeout: float = STOP_TIMEOUT,
        on_started: Callable[[], object] | None = None,
    ) -> None:
        """`TcpServer.run`; a loop that the server made itself is closed then."""
        try:
            super().run(stop_timeout, on_started)
        finally:
            if self._own_loop:
                self.loop.close()

    def stop(
        self, timeout: float = STOP_TIMEOUT, on_stopped: Callable[[], object] | None = None
    ) -> None:
        """Stop gracefully, see `TcpServer.stop`; the response of every request is still sent.

        A request that is on its way on an idle connection is waited for `HttpLimits.drain_grace`
        seconds.  If `run` runs the loop, it returns when all is done.  Any thread.
        """
        if on_stopped is None and self._own_loop:
            on_stopped = self.loop.stop
        super().stop(timeout, on_stopped)

    def drain(self, connection: TcpConnection) -> None:
        """Let ``connection`` answer what it was asked, and close."""
        if connection.protocol is None:  # it was upgraded to something that has no opinion
            super().drain(connection)
        else:
            connection.protocol.drain()

    def _speak_http(self, connection: TcpConnection) -> None:
        loop = connection.loop
        context = self._contexts.get(loop)
        if context is None:  # each loop enters its own
            context = self._contexts[loop] = self._make_context()
        HttpConnection(connection, context)


def _make_context(
    handler: HttpHandler,
    limits: HttpLimits,
    streaming: bool,
    server_name: str,
    on_exchange: ExchangeObserver | None,
    response_class: type[HttpResponse],
) -> HttpContext:
    encoder = ResponseEncoder(server_name)
    call = vars(type(handler)).get("__call__")
    if isinstance(call, FunctionType):
        handler = call.__get__(handler)  # is called without a detour through the type
    parsers = SharedParsers(limits)
    return HttpContext(handler, limits, streaming, parsers, encoder, on_exchange, response_class)
