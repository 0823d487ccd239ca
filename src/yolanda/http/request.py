"""A request as its handler sees it."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from yolanda.address import Address
from yolanda.http.headers import Headers
from yolanda.transport.tcp_connection import TcpConnection


class RequestLine(NamedTuple):
    """The first line of a request, understood."""

    method: str
    target: str
    version: str
    path: str | None
    """The target's path; `None` where it takes more than cutting the query off."""


class HttpRequest:
    """One request.  What costs something to find out is found out when it is asked for.

    It belongs to the thread of its connection's loop; a handler may hand it to another thread when
    its body is complete.
    """

    # Set one by one by who makes it, which costs half of what a constructor does.
    line: RequestLine
    """Its first line."""
    method: str
    """``"GET"``, ``"POST"`` ..."""
    head: bytes
    """Request line and fields as they came, with the empty line that ends them."""
    keep_alive: bool
    """Whether the client wants to use the connection again."""
    connection: TcpConnection
    """The connection on which it came."""

    # The class's until somebody sets them: they cost nothing where they are not needed.
    body: bytes = b""
    """The whole body; empty in a streaming handler, see `on_body`."""
    on_body: Callable[[bytes], object] | None = None
    """Set by a streaming handler: called with each piece of the body, and with ``b""`` at its end.
    See `HttpServer`."""
    on_disconnect: Callable[[], object] | None = None
    """May be set by a handler that defers: called when the client is gone before the answer."""
    _headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<HttpRequest {self.summary}>"

    @property
    def summary(self) -> str:
        """The request line, as a log shows it."""
        return f"{self.method} {self.target} {self.version}"

    @property
    def target(self) -> str:
        """What stands between method and version, as it came: mostly path and query."""
        return self.line.target

    @property
    def version(self) -> str:
        """``"HTTP/1.1"`` or ``"HTTP/1.0"``."""
        return self.line.version

    @property
    def path(self) -> str:
        """The path, without the query, its percent-encoded bytes decoded as UTF-8."""
        return self.line.path or unquote(self.raw_path)

    @property
    def raw_path(self) -> str:
        """The path, without the query, as it came."""
        target = self.target
        if target[0] != "/" and "://" in target:  # absolute-form (RFC 9112, section 3.2.2)
            _, _, rest = target.partition("://")
            slash = min(rest.find(mark) % (len(rest) + 1) for mark in "/?")
            target = rest[slash:]
            if target[:1] != "/":
                target = "/" + target
        return target.partition("?")[0]

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
            first = self.head.find(b"\r\n") + 2
            self._headers = Headers.parse(self.head[first:-4])
        return self._headers

    @property
    def peer_address(self) -> Address:
        """Where the connection comes from."""
        return self.connection.peer_address

    def pause(self) -> None:
        """Read no more of the body for now: back-pressure for a streaming handler."""
        self.connection.pause_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        self.connection.resume_reading()
