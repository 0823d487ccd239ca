"""A WebSocket to an ASGI application.  (ASGI, "HTTP & WebSocket ASGI Message Format" 2.4.)

It is built on `yolanda.websocket`, and so needs the library websockets.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from yolanda.apps.asgi.coroutine_runner import CoroutineRunner
from yolanda.apps.asgi.http import HttpExchange
from yolanda.apps.asgi.interface import (
    HIGH_WATER,
    AsgiApplication,
    ClientDisconnected,
    Exchange,
    Message,
    coroutine_function,
    unexpected,
)
from yolanda.apps.asgi.scope import ScopeMaker
from yolanda.http.field_lines import KnownFieldLines
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.websocket import WebSocket, WebSocketHandshake, WebSocketOptions, receive_handshake

log = logging.getLogger("yolanda.asgi")

_LOW_WATER = HIGH_WATER // 4
_OVERHEAD = 64  # bytes that a message takes beside its own

_ABNORMAL = 1006
_INTERNAL_ERROR = 1011
_SERVICE_RESTART = 1012

_DENIAL = ("websocket.http.response.start", "websocket.http.response.body")
_DECISION = "websocket.accept, websocket.close or websocket.http.response.start"
_REST_OF_DENIAL = "websocket.http.response.body"
_DATA = "websocket.send or websocket.close"


def websocket_options(
    *, max_size: int, ping_interval: float, ping_timeout: float, per_message_deflate: bool
) -> WebSocketOptions:
    """Return options whose water marks are those that `WebSocketExchange` counts on.

    Of ``ping_interval`` and ``ping_timeout``, in seconds, 0 stands for never.
    """
    return WebSocketOptions(
        max_message_size=max_size,
        high_water=HIGH_WATER,
        low_water=_LOW_WATER,
        ping_interval=ping_interval or None,
        ping_timeout=ping_timeout or None,
        compression=per_message_deflate,
    )


class WebSocketHandler:
    """Calls ``application`` for each request that asks for a WebSocket; see `AsgiHandler`.

    - ``fields``: pairs that each answer gets.
    """

    def __init__(
        self,
        application: AsgiApplication,
        runner: CoroutineRunner,
        scopes: ScopeMaker,
        options: WebSocketOptions,
        fields: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._application = coroutine_function(application)
        self._runner = runner
        self._scopes = scopes
        self._options = options
        self._fields = list(fields)

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        """Have the application accept or refuse, and go on from there."""
        handshake = receive_handshake(request, response)
        if handshake is None:
            return  # it is no such request, and refused
        exchange = WebSocketExchange(handshake, self._options, self._fields)
        scope = self._scopes.websocket(request, handshake.subprotocols)
        try:
            ended = self._runner.start(
                self._application(scope, exchange.receive, exchange.send), exchange
            )
        except BaseException as error:  # also what would end a process: it is not its own
            exchange.ended(error)
        else:
            if ended:
                exchange.ended(None)


class WebSocketExchange(Exchange):
    """A WebSocket, as the application receives and sends on it.

    - ``options``: made by `websocket_options`;
    - ``fields``: pairs that the answer gets.

    It belongs to the thread of its connection's loop, which is also the application's.
    """

    def __init__(
        self,
        handshake: WebSocketHandshake,
        options: WebSocketOptions,
        fields: list[tuple[bytes, bytes]],
    ) -> None:
        self._handshake = handshake
        self._options = options
        self._fields = fields
        self._stage = _DECISION  # what the application has to send next
        self._websocket: WebSocket | None = None
        self._denial: HttpExchange | None = None  # what answers instead of a WebSocket
        self._open = False
        self._told = False  # that there is somebody who wants to connect
        self._arrived: deque[str | bytes] = deque()
        self._arrived_size = 0
        self._paused = False
        self._end: tuple[int, str] | None = None  # code and reason, once it is over
        handshake.on_gone(self._handle_gone)

    # ---- the application's side ----------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI's `receive`: the wish to connect, the messages, and the end."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        while not self._arrived:
            if self._denial is not None:
                await self._denial.wait_for_end()
                self._end = (_ABNORMAL, "")
            if self._end is not None:
                code, reason = self._end
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await self._change()
        message = self._arrived.popleft()
        self._arrived_size -= len(message) + _OVERHEAD
        if self._paused and self._arrived_size <= _LOW_WATER:
            self._paused = False
            assert self._websocket is not None
            self._websocket.loop.look_at_the_clock()
            self._websocket.resume_reading()
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    async def send(self, message: Message) -> None:
        """ASGI's `send`.  Waits while the client takes too little, and until it is accepted.

        Raises `ClientDisconnected` when the WebSocket is over, `RuntimeError` for a message that is
        not due, and `ValueError` or `TypeError` for one that cannot be sent.
        """
        kind = message["type"]
        if self._denial is not None:
            await self._deny(self._denial, message)
        elif self._end is not None:
            raise self._disconnected()
        elif self._websocket is not None:
            await self._send_open(self._websocket, message)
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            self._refuse(403)
        elif kind == "websocket.http.response.start":
            denial = self._handshake.response
            assert isinstance(denial, HttpExchange)
            denial.known = KnownFieldLines(self._fields)
            await self._deny(denial, message)
            self._denial = denial
            self._stage = _REST_OF_DENIAL
            denial.follow()
            self._wake()  # from now on it is the denial that knows whether the client is there
        else:
            raise unexpected(self._stage, kind)

    # ---- the server's side ---------------------------------------------------------------

    def ended(self, error: BaseException | None) -> None:
        """The application has returned or raised.  (`Outcome`)"""
        denial, websocket = self._denial, self._websocket
        if denial is not None:
            denial.ended(error)
            return
        cancelled = isinstance(error, asyncio.CancelledError)
        if error is not None and not cancelled and not isinstance(error, ClientDisconnected):
            log.error(
                "the application raised for %s", self._handshake.request.summary, exc_info=error
            )
        if self._end is not None:
            return
        if websocket is None:
            if error is None:
                log.error(
                    "the application returned and neither accepted nor refused %s",
                    self._handshake.request.summary,
                )
            self._refuse(503 if cancelled else 500)
        elif error is None:
            self._close(websocket, 1000, "")
        else:
            self._close(websocket, _SERVICE_RESTART if cancelled else _INTERNAL_ERROR, "")

    # ---- what the application sends ------------------------------------------------------

    async def _accept(self, message: Message) -> None:
        fields = [*self._fields, *message.get("headers", ())]
        self._websocket = websocket = self._handshake.accept(
            subprotocol=message.get("subprotocol"),
            headers=_as_text(fields),
            options=self._options,
            on_open=self._handle_open,
            on_message=self._handle_message,
            on_closed=self._handle_closed,
        )
        self._stage = _DATA
        websocket.on_low_water = self._handle_low_water
        while not self._open:
            if self._end is not None:
                raise self._disconnected()
            await self._change()

    def _refuse(self, status: int) -> None:
        self._end = (_ABNORMAL, "")
        self._wake()
        self._handshake.response.http_connection.connection.loop.look_at_the_clock()
        self._handshake.refuse(status, headers=_as_text(self._fields))

    async def _deny(self, denial: HttpExchange, message: Message) -> None:
        kind = message["type"]
        if kind not in _DENIAL:
            raise unexpected(self._stage, kind)
        await denial.send({**message, "type": kind.removeprefix("websocket.")})

    async def _send_open(self, websocket: WebSocket, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.send":
            data = message.get("bytes")
            if data is None:
                data = message.get("text")
                if not isinstance(data, str):
                    raise TypeError("websocket.send needs text, which is str, or bytes")
            elif isinstance(data, str):
                raise TypeError("the bytes of websocket.send are not str")
            if not websocket.open:
                raise self._disconnected()
            websocket.loop.look_at_the_clock()
            websocket.send(data)
            while websocket.queued > HIGH_WATER and self._end is None:
                await self._change()
        elif kind == "websocket.close":
            code = message.get("code")
            self._close(websocket, 1000 if code is None else code, message.get("reason") or "")
        else:
            raise unexpected(self._stage, kind)

    def _close(self, websocket: WebSocket, code: int, reason: str) -> None:
        websocket.loop.look_at_the_clock()
        websocket.close(code, reason)
        self._arrived.clear()
        self._end = (code, reason)
        self._wake()

    def _disconnected(self) -> ClientDisconnected:
        return ClientDisconnected(f"the WebSocket of {self._handshake.request.summary} is closed")

    # ---- what happens meanwhile ----------------------------------------------------------

    def _handle_gone(self) -> None:
        self._end = (_ABNORMAL, "")
        self._wake()

    def _handle_open(self, websocket: WebSocket) -> None:
        self._open = True
        self._wake()

    def _handle_message(self, websocket: WebSocket, message: str | bytes) -> None:
        self._arrived.append(message)
        self._arrived_size += len(message) + _OVERHEAD
        if self._arrived_size > HIGH_WATER and not self._paused:
            self._paused = True
            websocket.pause_reading()
        self._wake()

    def _handle_low_water(self, websocket: WebSocket) -> None:
        self._wake()

    def _handle_closed(self, websocket: WebSocket, code: int, reason: str) -> None:
        if self._end is None:
            self._end = (code, reason)
            self._wake()


def _as_text(fields: Iterable[Iterable[bytes]]) -> list[tuple[str, str]]:
    return [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in fields]
