"""Follows the exchanges of one connection to their ends, for whoever watches the server."""

import logging
from collections import deque
from collections.abc import Callable

from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.transport.tcp_connection import TcpConnection

log = logging.getLogger("yolanda.http")

ExchangeObserver = Callable[[HttpRequest, HttpResponse | None, int, float, bool], object]
"""``on_exchange(request, response, sent, seconds, complete)``, see `HttpServer`."""

_Ended = tuple[HttpRequest, HttpResponse | None, int, float, int]


class ExchangeRecorder:
    """Knows which exchange goes on, and which have ended and are not all in the kernel's hands.

    An exchange is over for HTTP as soon as its response is made, and the next one begins.  For who
    looks from outside it is over when the client can have all of it, which for a large file or a
    slow client is much later, and may never be.  So ends are noted together with the place in the
    stream where they are, and told when the kernel has taken what comes before it.

    It belongs to its connection's loop, and is only there if somebody observes.
    """

    __slots__ = (
        "_began",
        "_connection",
        "_ended",
        "_observer",
        "_request",
        "_response",
        "position",
    )

    def __init__(self, connection: TcpConnection, observer: ExchangeObserver) -> None:
        self._connection = connection
        self._observer = observer
        self._request: HttpRequest | None = None  # of an exchange that takes longer than a turn
        self._response: HttpResponse | None = None  # its response, once that has begun
        self._began = 0.0
        self._ended: deque[_Ended] = deque()
        self.position = 0
        """Bytes that HTTP has made for this connection; who makes them counts them."""

    def begin(self, request: HttpRequest) -> None:
        """The head of ``request`` is here; its response comes later.  Harmless when repeated."""
        if self._request is not request:
            self._request = request
            self._response = None
            self._began = self._connection.loop.now

    def begin_response(self, response: HttpResponse) -> None:
        """The head of ``response`` is made, and the rest of it comes later."""
        self.begin(response.request)
        self._response = response

    def end(self, response: HttpResponse, body_size: int) -> None:
        """All of ``response`` is made; its body has ``body_size`` bytes."""
        request = response.request
        if self._request is None:
            began = self._connection.loop.now
        else:
            began = self._began
            self._request = self._response = None
        self._ended.append((request, response, body_size, began, self.position))

    def settle(self) -> bool:
        """Tell of what has gone out; whether nothing is left to be told.

        On a connection that is closed, the rest is told as cut off.
        """
        connection = self._connection
        gone = connection.bytes_out
        ended = self._ended
        now = connection.loop.clock()
        while ended:
            request, response, sent, began, end = ended[0]
            if end > gone:
                if not connection.closed:
                    return False
                sent = max(0, sent - (end - gone))
            ended.popleft()
            self._tell(request, response, sent, now - began, end <= gone)
        return True

    def close(self) -> None:
        """The connection is closed: tell of all that is left."""
        self.settle()
        request, response = self._request, self._response
        if request is not None:
            self._request = self._response = None
            sent = 0
            if response is not None:
                missing = max(0, self.position - self._connection.bytes_out)
                sent = max(0, response.body_sent - missing)
            self._tell(request, response, sent, self._connection.loop.clock() - self._began, False)

    def follow_upgrade(self, response: HttpResponse) -> None:
        """The connection is another protocol's: the exchange ends when the connection does."""
        connection = self._connection
        self.begin(response.request)
        began = self._began
        self.settle()
        then = connection.on_released

        def release(connection: TcpConnection) -> None:
            self.settle()
            seconds = connection.loop.clock() - began
            sent = max(0, connection.bytes_out - self.position)
            self._tell(response.request, response, sent, seconds, connection.error is None)
            if then is not None:
                then(connection)

        connection.on_released = release

    def _tell(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        sent: int,
        seconds: float,
        complete: bool,
    ) -> None:
        try:
            self._observer(request, response, sent, seconds, complete)
        except Exception:
            log.exception("on_exchange raised for %s", request.summary)
