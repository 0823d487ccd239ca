"""A request as its handler sees it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from yolanda.address import Address
from yolanda.http.headers import Headers
from yolanda.transport.tcp_connection import TcpConnection


class RequestLine:
    """The first line of a request, understood; the requests that begin with it share it."""

    __slots__ = (
        "kept", "method", "ordinary", "path", "persistent", "raw_path", "scope", "target",
        "version",
    )  # fmt: skip

    def __init__(self, method: str, target: str, version: str) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.raw_path = raw_path = (
            target.partition("?")[0] if target[0] == "/" else _path_of(target)
        )
        self.path = unquote(raw_path) if "%" in raw_path else raw_path
        self.ordinary = method != "HEAD" and target != "*"
        """Whether its response may have a body, and is the handler's."""
        self.persistent = version == "HTTP/1.1"
        """Whether its version keeps a connection open unless somebody wants it closed."""
        self.kept = False
        """Whether the next request that begins with it is given this very object.  Others, such as
        long ones, come only once: who keeps something by them would never find it again."""
        self.scope: dict[str, Any] | None = None
        """What a gateway of the loop's own thread keeps for all requests that begin with it."""


class FieldBlock:
    """What follows the first line of a head, up to and with the empty line.

    A client sends mostly the same fields, whatever it asks.  Requests whose fields are the very
    same share this object, as far as they were kept; so what was found out once holds for all.
    """

    __slots__ = ("forwarded", "keep_alive", "lines", "ordinary", "pairs", "raw")

    def __init__(self, raw: bytes, lines: list[bytes], keep_alive: bool, ordinary: bool) -> None:
        self.raw = raw
        """What came."""
        self.lines = lines
        """Its lines but for the empty one, without their ends."""
        self.keep_alive = keep_alive
        """Whether the connection stays open after a request that has them."""
        self.ordinary = ordinary
        """Whether no body follows them, and no other protocol is offered in them."""
        self.forwarded: bool | None = None
        """What `says_forwarded` has found; None if nobody has asked."""
        self.pairs: list[tuple[bytes, bytes]] | None = None
        """Name, in lower case, and value of each, if somebody has taken the lines apart."""

    def says_forwarded(self) -> bool:
        """Whether a proxy may have said in them for whom it asks; see `TrustedProxies`."""
        if self.forwarded is None:
            self.forwarded = b"forwarded" in self.raw.lower()
        return self.forwarded


class HttpRequest:
    """One request.  What costs something to find out is found out when it is asked for.

    It belongs to the thread of its connection's loop; a handler may hand it to another thread when
    its body is complete.
    """

    # Set one by one by who makes it, which costs half of what a constructor does.
    line: RequestLine
    """Its first line."""
    path: str
    """The path, without the query, its percent-encoded bytes decoded as UTF-8."""
    head: bytes
    """Request line and fields as they came, with the empty line that ends them; empty for what was
    refused before it was understood, of which an observer is told (see `HttpServer`)."""
    fields: FieldBlock
    """All of the head but its first line."""
    connection: TcpConnection
    """The connection on which it came."""

    # The class's until somebody sets them: they cost nothing where they are not needed.
    upgrade_offered: bool = False
    """Whether the client would go on in another protocol; a handler that knows it, see
    `offers_upgrade`, may take the offer with `HttpResponse.upgrade` (RFC 9110, 7.8)."""
    body: bytes = b""
    """The whole body; in a streaming handler, see `on_body`, only if it came with the head."""
    body_coming: bool = False
    """Whether a streaming handler was called before all of the body was here."""
    expects_continue: bool = False
    """Whether the client waits to be asked for the body (RFC 9110, 10.1.1).  The server asks when a
    streaming handler has returned."""
    holds_continue: bool = False
    """Set by a streaming handler that will ask by itself, with `send_continue`."""
    on_body: Callable[[bytes], object] | None = None
    """Set by a streaming handler: called with each piece of the body, and with ``b""`` at its end.
    See `HttpServer`."""
    on_disconnect: Callable[[], object] | None = None
    """May be set by a handler that defers: called when the client is gone before the answer."""
    on_half_close: Callable[[], object] | None = None
    """The same, when the client has ended its side of the stream: it is gone, or waits without
    having anything more to say."""
    client: Address | None = None
    """Who asks, if somebody has asked a proxy that is trusted, see `TrustedProxies.resolve`."""
    _headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<HttpRequest {self.summary}>"

    @property
    def summary(self) -> str:
        """The request line, as a log shows it."""
        return f"{self.method} {self.target} {self.version}"

    @property
    def method(self) -> str:
        """``"GET"``, ``"POST"`` ..."""
        return self.line.method

    @property
    def target(self) -> str:
        """What stands between method and version, as it came: mostly path and query."""
        return self.line.target

    @property
    def version(self) -> str:
        """``"HTTP/1.1"`` or ``"HTTP/1.0"``."""
        return self.line.version

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        return self.fields.keep_alive

    @property
    def raw_path(self) -> str:
        """The path, without the query, as it came."""
        return self.line.raw_path

    @property
    def scheme(self) -> str:
        """``"http"``, or ``"https"`` on a connection that speaks TLS."""
        return "https" if self.connection.encrypted else "http"

    @property
    def query(self) -> str:
        """What follows the first question mark, as it came; empty if nothing does."""
        return self.target.partition("?")[2]

    def query_items(self) -> list[tuple[str, str]]:
        """The query's names and values, decoded, in their order."""
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            self._headers = Headers.parse(self.fields.raw[:-4])
        return self._headers

    @property
    def peer_address(self) -> Address:
        """Where the connection comes from."""
        return self.connection.peer_address

    def offers_upgrade(self, protocol: str) -> bool:
        """Whether the client would go on in ``protocol``, the case of whose name does not count."""
        return self.upgrade_offered and protocol.lower() in [
            name.strip().lower()
            for field in self.headers.get_all("upgrade")
            for name in field.split(",")
        ]

    def send_continue(self) -> None:
        """Ask for the body, if the client still waits for that.  In the loop's thread."""
        send = getattr(self.connection.protocol, "send_continue", None)
        if send is not None:  # not after an upgrade, nor at the end
            send(self)

    def pause(self) -> None:
        """Read no more of the body for now: back-pressure for a streaming handler.

        Without effect when all of it is here: what comes next is another request.
        """
        protocol = self.connection.protocol
        if getattr(protocol, "body_coming", False):  # not after an upgrade, nor at the end
            self.connection.pause_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        self.connection.resume_reading()


def _path_of(target: str) -> str:
    if "://" in target:  # absolute-form (RFC 9112, section 3.2.2)
        rest = target.partition("://")[2]
        authority = rest.partition("/")[0].partition("?")[0]
        target = rest[len(authority) :]
        if not target.startswith("/"):
            target = "/" + target
    return target.partition("?")[0]
