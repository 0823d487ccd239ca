"""One HTTP request to an ASGI application.  (ASGI, "HTTP & WebSocket ASGI Message Format" 2.4.)"""

import asyncio
import logging
from collections import deque

from yolanda.apps.asgi.interface import (
    BODY_HIGH_WATER,
    HIGH_WATER,
    ClientDisconnected,
    Exchange,
    Message,
    as_bytes,
    unexpected,
)
from yolanda.http.field_lines import FieldLines, KnownFieldLines
from yolanda.http.response import HttpResponse

log = logging.getLogger("yolanda.asgi")

COMPLETE = "nothing more"
"""The stage of an exchange whose application has sent all of its response."""

# The other stages: what the application has to send next.  Of these words its errors are made.
START = "http.response.start"
"""The stage of an exchange whose application has sent nothing."""

_BODY = "http.response.body"
_MORE_BODY = "more of http.response.body"
_BODY_AND_TRAILERS = "http.response.body, then http.response.trailers"
_TRAILERS = "http.response.trailers"
_LOST = "nothing, for the client is gone,"
_OVER = (COMPLETE, _LOST)

_STATUSES = frozenset(range(200, 600))


class HttpExchange(HttpResponse, Exchange):
    """The response to a request, as an application sends it, and what it receives meanwhile.

    The server makes it (``HttpServer(response_class=HttpExchange)``), since one object for a
    request costs less than two.  It belongs to the thread of its connection's loop, which is also
    the application's.
    """

    known: KnownFieldLines
    """Where its fields are found again; to be set before the application is called."""

    # The class's until something else is so: most exchanges are over before much happens.
    stage = START
    """How far it is: `COMPLETE`, or a word for what has to be sent next."""
    _trailers = b""
    _peer_done = False  # the client sends no more, and may be gone
    _body_ended = True
    _body_told = False  # the application knows that the body has ended
    _arrived: deque[bytes] | None = None  # of the body
    _arrived_size = 0
    _paused = False  # so much of it has arrived that no more is read

    def expect_body(self) -> None:
        """The request has a body, of which something may still come."""
        request = self.request
        if request.body_coming:
            self._body_ended = False
            self._arrived = deque()
            request.on_body = self._handle_body
            request.holds_continue = request.expects_continue
        else:
            self._arrived = deque((request.body,))

    # ---- the application's side ----------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI's `receive`: the body piece by piece, then the end of the client."""
        while True:
            arrived = self._arrived
            if arrived:
                body = arrived.popleft() if len(arrived) == 1 else b"".join(arrived)
                arrived.clear()
                self._arrived_size = 0
                if self._paused and self.stage not in _OVER:
                    self._resume()  # else what is left of it is the connection's to read
                self._body_told = self._body_ended
                return {
                    "type": "http.request",
                    "body": body,
                    "more_body": not self._body_ended,
                }
            if self._peer_done or self.stage in _OVER:
                return {"type": "http.disconnect"}
            if self._body_ended and not self._body_told:
                self._body_told = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self.request.holds_continue:
                self.request.holds_continue = False
                self._look_at_the_clock()
                self.request.send_continue()
            await self._change()

    async def _change(self) -> None:
        self.plain = False  # there is somebody to wake
        await super()._change()

    async def wait_for_end(self) -> None:
        """Wait until the response is complete or the client is gone."""
        while not (self._peer_done or self.stage in _OVER):
            await self._change()

    async def send(self, message: Message) -> None:
        """ASGI's `send`: the head, then the body.  Waits while the client takes too little.

        Raises `ClientDisconnected`, `RuntimeError` for a message that is not due, and `ValueError`
        or `TypeError` for one that cannot be sent.
        """
        stage = self.stage
        kind = message["type"]
        if stage is START and kind == "http.response.start":
            status = message["status"]
            if status not in _STATUSES:
                raise ValueError(f"the status of a response is from 200 to 599, not {status!r}")
            self.status = status
            try:
                headers = message["headers"]
            except KeyError:
                headers = ()
            key = tuple(headers)
            try:
                fields = self.known[key]
            except TypeError:
                fields = self.known.of_lists(key)
            self.field_lines = fields
            if fields.close:
                self.close = True
            if "trailers" in message and message["trailers"]:  # noqa: RUF019
                self.stage = _BODY_AND_TRAILERS
            else:
                self.stage = _BODY
        elif stage is _BODY and kind == "http.response.body":
            # To look and then to take, or to try, costs half of what `get` does.
            if "more_body" in message and message["more_body"]:  # noqa: RUF019
                self.stage = _MORE_BODY
                await self._send_piece(message.get("body", b""), more=True)
                return
            try:
                body = message["body"]
            except KeyError:
                body = b""
            if type(body) is not bytes:
                body = as_bytes(body)
            length = self.field_lines.content_length  # type: ignore[union-attr]
            if length is not None and length != len(body) and not self.has_no_body:
                raise RuntimeError(f"a body of {len(body)} bytes, whose Content-Length is {length}")
            self.body = body
            # As `_complete` does; for nearly every response there is nothing else to it.
            self.stage = COMPLETE
            if not self.plain:
                self._complete()
        elif kind == "http.response.body" and (stage is _MORE_BODY or stage is _BODY_AND_TRAILERS):
            await self._send_piece(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.pathsend" and stage is _BODY:
            self.file(message["path"])
            self._complete()
        elif kind == "http.response.trailers" and stage is _TRAILERS:
            self._trailers += FieldLines(message.get("headers", ())).lines
            if not message.get("more_trailers", False):
                self.trailers = self._trailers
                self._complete()
        elif stage is _LOST:
            raise ClientDisconnected(f"the client of {self.request.summary} is gone")
        else:
            raise unexpected(stage, kind)

    # ---- the server's side ---------------------------------------------------------------

    def follow(self) -> None:
        """The application waits for something: the response, if there is none, comes later."""
        self.request.on_disconnect = self._handle_disconnect
        self.request.on_half_close = self._handle_half_close
        self.on_drain = self._wake
        if self.stage is not COMPLETE:
            self.defer()

    def ended(self, error: BaseException | None) -> None:
        """The application has returned or raised.  (`Outcome`)"""
        request = self.request
        # They refer to this exchange, which refers to the request.
        request.on_body = request.on_disconnect = request.on_half_close = self.on_drain = None
        if error is not None and not isinstance(error, asyncio.CancelledError | ClientDisconnected):
            log.error("the application raised for %s", request.summary, exc_info=error)
        if self.stage in _OVER:
            return
        if error is None:
            log.error(
                "the application returned before its response to %s was complete",
                request.summary,
            )
        self.stage = COMPLETE
        self._wake()
        self._look_at_the_clock()
        if self.started:
            self.http_connection.connection.abort()  # it must not be taken for the whole
        else:
            self.field_lines = None
            self.body = None
            self.status = 500
            self.close = True
            if self.deferred:
                self.finish()

    # ---- sending -------------------------------------------------------------------------

    async def _send_piece(self, body: bytes, more: bool) -> None:
        body = as_bytes(body)
        if not self.deferred:
            self.defer()
        connection = self.http_connection.connection
        connection.loop.look_at_the_clock()
        self.http_connection.write(self, body)
        if not more:
            if self.stage is _MORE_BODY:
                self._complete()
            else:
                self.stage = _TRAILERS
            return
        while connection.queued > HIGH_WATER and self.stage is not _LOST:
            await self._change()
        # Its hook comes when this step is over, and an application may make it without end.
        if self.stage is _LOST or connection.closed:
            self.stage = _LOST
            raise ClientDisconnected(f"the client of {self.request.summary} is gone")

    def _complete(self) -> None:
        """All of the response is known: send it, now or when the application's step is over."""
        self.stage = COMPLETE
        if self._waiters is not None:
            self._wake()
        if self.deferred:
            self._look_at_the_clock()
            self.http_connection.finish(self)

    def _look_at_the_clock(self) -> None:
        self.http_connection.connection.loop.look_at_the_clock()

    # ---- what happens meanwhile ----------------------------------------------------------

    def _handle_body(self, piece: bytes) -> None:
        arrived = self._arrived
        if arrived is None:
            return  # a request without a body says so in this way, too
        if piece:
            arrived.append(piece)
            self._arrived_size += len(piece)
            if self._arrived_size > BODY_HIGH_WATER and not self._paused:
                self._paused = True
                self.request.pause()
        else:
            self._body_ended = True
        self._wake()

    def _resume(self) -> None:
        self._paused = False
        self._look_at_the_clock()
        self.request.resume()

    def _handle_disconnect(self) -> None:
        if self.stage is not COMPLETE:
            self.stage = _LOST
        self._wake()

    def _handle_half_close(self) -> None:
        self._peer_done = True
        self._wake()
