"""A request as its handler sees it."""

from collections.abc import Callable
from urllib.parse import parse_qsl, unquote

from yolanda.address import Address
from yolanda.http.headers import Headers
from yolanda.transport.tcp_connection import TcpConnection


class HttpRequest:
    """One request.  What costs something to find out is found out when it is asked for.

    It belongs to the thread of its connection's loop; a handler may hand it to another thread when
    its body is complete.
    """

    __slots__ = (
        "_head", "_headers", "_path", "body", "connection", "keep_alive", "method", "on_body",
        "on_disconnect", "target", "version",
    )  # fmt: skip

    connection: TcpConnection
    """The connection on which it came."""

    def __init__(self, method: str, target: str, version: str, head: bytes) -> None:
        self.method = method
        """``"GET"``, ``"POST"`` ..."""
        self.target = target
        """What stands between method and version, as it came: mostly path and query."""
        self.version = version
        """``"HTTP/1.1"`` or ``"HTTP/1.0"``."""
        self.keep_alive = True
        """Whether the client wants to use the connection again."""
        self.body = b""
        """The whole body; empty in a streaming handler, see `on_body`."""
        self.on_body: Callable[[bytes], object] | None = None
        """Set by a streaming handler: called with each piece of the body, with ``b""`` at its end.
        See `HttpServer`."""
        self.on_disconnect: Callable[[], object] | None = None
        """May be set by a handler that defers: called when the client is gone before the answer."""
        self._head = head
        self._path: str | None = None
        self._headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<HttpRequest {self.line}>"

    @property
    def line(self) -> str:
        """The request line, as a log shows it."""
        return f"{self.method} {self.target} {self.version}"

    @property
    def path(self) -> str:
        """The path, without the query, its percent-encoded bytes decoded as UTF-8."""
        if self._path is None:
            path = self.raw_path
            self._path = unquote(path) if "%" in path else path
        return self._path

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
            first = self._head.find(b"\r\n") + 2
            self._headers = Headers.parse(self._head[first:-4])
        return self._headers

    @property
    def head(self) -> bytes:
        """Request line and header fields as they came, with the empty line that ends them."""
        return self._head

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
