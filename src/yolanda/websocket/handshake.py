"""From a request to a WebSocket: what is asked, accepted and refused.  (RFC 6455, section 4.)"""

import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Sequence

from websockets.exceptions import InvalidHandshake
from websockets.headers import parse_extension, parse_subprotocol
from websockets.utils import accept_key

from yolanda.http.headers import Headers
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.websocket.codec import MessageProtocol
from yolanda.websocket.connection import ClosedHook, Hook, MessageHook, WebSocket
from yolanda.websocket.options import WebSocketOptions

log = logging.getLogger("yolanda.websocket")

_VERSION = "13"
_DEFAULT_OPTIONS = WebSocketOptions()
_OWN_FIELDS = {  # of the answer, written by the handshake itself
    "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol",
    "connection", "upgrade", "transfer-encoding", "content-length",
}  # fmt: skip


def is_websocket(request: HttpRequest) -> bool:
    """Whether ``request`` asks for a WebSocket, rightly or not."""
    return request.offers_upgrade("websocket")


def origin_is_own(request: HttpRequest) -> bool:
    """Whether ``request`` comes from a page of the same host, or from no page at all.

    A browser sends cookies along with a WebSocket wherever the page is from, and says where that
    is in Origin (RFC 6455, 10.2).
    """
    origin = request.headers.get("origin")
    if origin is None:
        return True
    authority = origin.partition("://")[2].lower()
    return authority != "" and authority == (request.headers.get("host") or "").lower()


class WebSocketHandshake:
    """A client asks for a WebSocket, and nothing is decided yet; `receive_handshake` makes it.

    Exactly one of `accept` and `refuse` is called, now or later, by any thread.  The response is
    deferred; instead of `refuse` it may be used itself, to refuse in more than one piece.
    """

    __slots__ = ("_decided", "_key", "_on_gone", "request", "response", "subprotocols")

    def __init__(
        self, request: HttpRequest, response: HttpResponse, key: str, subprotocols: list[str]
    ) -> None:
        self.request = request
        self.response = response
        self.subprotocols = subprotocols
        """What the client offers, in the order of its preference."""
        self._key = key
        self._decided = False
        self._on_gone: Callable[[], object] | None = None
        response.defer()
        request.on_disconnect = self._handle_disconnect

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Have ``callback()`` called, in the loop, if the client is gone before it is answered."""
        self._on_gone = callback

    def accept(
        self,
        *,
        subprotocol: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        options: WebSocketOptions | None = None,
        on_open: Hook | None = None,
        on_message: MessageHook | None = None,
        on_closed: ClosedHook | None = None,
    ) -> WebSocket:
        """Accept, and return the WebSocket; hooks may be set until this turn of the loop is over.

        - ``subprotocol``: one of `subprotocols`;
        - ``headers``: further fields of the answer;
        - ``on_open`` and so on: see `WebSocket`.  No hook is called before this returns in the
          loop's thread; in another, give them here.

        If the client is gone meanwhile, ``on_closed`` is told.  Raises `ValueError` for a
        subprotocol that was not offered and for a field that cannot be sent, and `RuntimeError`
        when something was decided before.
        """
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(f"the subprotocol {subprotocol!r} was not offered")
        fields = Headers(headers)
        for name in fields:
            if name.lower() in _OWN_FIELDS:
                raise ValueError(f"{name} is not a field that can be added to the answer")
        self._decide()
        options = options or _DEFAULT_OPTIONS
        offers = self.request.headers.get_all("sec-websocket-extensions")
        protocol = MessageProtocol(options, offers)
        fields["Sec-WebSocket-Accept"] = accept_key(self._key)
        if protocol.extensions_field is not None:
            fields["Sec-WebSocket-Extensions"] = protocol.extensions_field
        if subprotocol is not None:
            fields["Sec-WebSocket-Protocol"] = subprotocol
        websocket = WebSocket(self.request, protocol, options, subprotocol)
        websocket.on_open = on_open
        websocket.on_message = on_message
        websocket.on_closed = on_closed
        self.response.http_connection.hand_over(self._answer, websocket, fields)
        return websocket

    def refuse(
        self,
        status: int = 403,
        body: str | bytes | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer in HTTP: there will be no WebSocket.

        An error without a ``body`` gets a line of text.  Raises `ValueError` for a field that
        cannot be sent, and `RuntimeError` when something was decided before.
        """
        fields = Headers(headers)
        self._decide()
        response = self.response
        response.status = status
        if isinstance(body, str):
            response.text(body)
        else:
            response.body = body
        for name, value in fields.items():
            response.headers.add(name, value)
        response.http_connection.hand_over(self._send_refusal)

    def _decide(self) -> None:
        if self._decided:
            raise RuntimeError(f"{self.request.summary} was accepted or refused before")
        self._decided = True

    def _answer(self, websocket: WebSocket, fields: Headers) -> None:
        """In the loop, in a turn of its own, so that `accept` has returned before any hook."""
        self.request.on_disconnect = None  # which refers to all of this in a circle
        response = self.response
        if not response.finished:
            for name, value in fields.items():
                response.headers.add(name, value)
            response.upgrade("websocket", websocket.take_over)
            response.finish()
        websocket.opened_or_lost()

    def _send_refusal(self) -> None:
        self.request.on_disconnect = None
        self.response.finish()

    def _handle_disconnect(self) -> None:
        if self._on_gone is not None and not self._decided:
            self._on_gone()


def receive_handshake(request: HttpRequest, response: HttpResponse) -> WebSocketHandshake | None:
    """Check that ``request`` asks for a WebSocket as it should; in its handler.

    Returns what is to be decided on, or `None`: then ``response`` has been made a refusal.
    """
    headers = request.headers
    problem = _find_problem(request)
    if problem is None:
        try:
            for field in headers.get_all("sec-websocket-extensions"):
                parse_extension(field)
            subprotocols = [
                str(name)
                for field in headers.get_all("sec-websocket-protocol")
                for name in parse_subprotocol(field)
            ]
            key = headers["sec-websocket-key"]
            return WebSocketHandshake(request, response, key, subprotocols)
        except InvalidHandshake as error:
            problem = (400, str(error), None)
    response.status, why, field_to_add = problem
    log.info("%s: %d %s", request.peer_address, response.status, why)
    response.text(f"{why}\n")
    if field_to_add is not None:
        response.headers.add(*field_to_add)
    return None


def accept_websocket(
    request: HttpRequest,
    response: HttpResponse,
    *,
    subprotocols: Sequence[str] = (),
    origins: Sequence[str] | None = None,
    headers: Iterable[tuple[str, str]] = (),
    options: WebSocketOptions | None = None,
    on_open: Hook | None = None,
    on_message: MessageHook | None = None,
    on_closed: ClosedHook | None = None,
) -> WebSocket | None:
    """Accept the WebSocket that ``request`` asks for; in the handler of an `HttpServer`.

    - ``subprotocols``: what the server speaks, in the order of its preference; the first one that
      the client offers is agreed upon, or none;
    - ``origins``: where pages that ask may come from, such as ``"https://example.org"``; any other
      gets 403.  Who names no origin is no browser, and is let in.  `None`: from everywhere; see
      also `origin_is_own`;
    - the rest: see `WebSocketHandshake.accept`.

    Returns `None` when the request is not what it should be; it is then refused.
    """
    handshake = receive_handshake(request, response)
    if handshake is None:
        return None
    origin = request.headers.get("origin")
    if origins is not None and origin is not None and origin not in origins:
        handshake.refuse(403, f"not from {origin}\n")
        return None
    chosen = next((name for name in subprotocols if name in handshake.subprotocols), None)
    return handshake.accept(
        subprotocol=chosen,
        headers=headers,
        options=options,
        on_open=on_open,
        on_message=on_message,
        on_closed=on_closed,
    )


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _find_problem(request: HttpRequest) -> tuple[int, str, tuple[str, str] | None] | None:
    """A status, what is wrong, and a field that says what would be right (RFC 6455, 4.2)."""
    headers = request.headers
    keys = headers.get_all("sec-websocket-key")
    if request.method != "GET":
        return 405, "a WebSocket begins with GET", ("Allow", "GET")
    if not is_websocket(request) or request.version != "HTTP/1.1":
        return 426, "here is a WebSocket, and nothing else", ("Upgrade", "websocket")
    if headers.get_all("sec-websocket-version") != [_VERSION]:
        return 426, f"the version is {_VERSION}", ("Sec-WebSocket-Version", _VERSION)
    if len(keys) != 1 or not _is_key(keys[0]):
        return 400, "Sec-WebSocket-Key is 16 bytes in base64", None
    if len(headers.get_all("origin")) > 1:
        return 400, "more than one Origin", None
    return None
