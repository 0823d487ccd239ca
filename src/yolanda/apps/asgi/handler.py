"""The handler of an `HttpServer` that has an ASGI application answer."""

from collections.abc import Iterable
from typing import Any

from yolanda.address import Address
from yolanda.apps.asgi.coroutine_runner import CoroutineRunner
from yolanda.apps.asgi.http import EXTENSIONS, AsgiApplication, HttpExchange, Scope
from yolanda.http.field_lines import KnownFieldLines
from yolanda.http.forwarded import TrustedProxies
from yolanda.http.request import HttpRequest, RequestLine
from yolanda.http.response import HttpResponse
from yolanda.transport.tcp_connection import TcpConnection

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
_HTTP_VERSIONS = {"HTTP/1.1": "1.1", "HTTP/1.0": "1.0"}
_KNOWN = 4096
_LONGEST_KNOWN = 512  # bytes of a header field that may come again

_Field = tuple[bytes, bytes]
_Pair = tuple[str, int | None]
_Ends = tuple[_Pair | None, _Pair | None, bool]  # client, server, whether the client is a proxy


class AsgiHandler:
    """Calls ``application`` for each request.  Give it to an `HttpServer` with ``streaming=True``.

    - ``runner``: of the asyncio loop in which the server's loop lives;
    - ``state``: what the application's lifespan wants each request to know;
    - ``root_path``: where the application is mounted, without a slash at its end;
    - ``scheme``: of the server's connections;
    - ``proxies``: whose word is taken for the client's address and scheme;
    - ``fields``: pairs that each response gets.

    It belongs to the loop's thread, and to one loop: a server with sub-reactors cannot use it.
    (ASGI 3.0.)
    """

    def __init__(
        self,
        application: AsgiApplication,
        runner: CoroutineRunner,
        *,
        state: dict[str, Any] | None = None,
        root_path: str = "",
        scheme: str = "http",
        proxies: TrustedProxies | None = None,
        fields: Iterable[_Field] = (),
    ) -> None:
        self._application = application
        self._runner = runner
        self._state = {} if state is None else state
        self._root_path = root_path
        self._scheme = scheme
        self._proxies = proxies
        self._fields = KnownFieldLines(fields)
        self._scopes: dict[RequestLine, dict[str, Any]] = {}
        self._headers = _KnownFields()

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        """Answer ``request``, now or when the application has waited for what it needs."""
        exchange = HttpExchange(request, response, self._fields)
        try:
            ended = self._runner.start(
                self._application(self._make_scope(request), exchange.receive, exchange.send),
                exchange,
            )
        except Exception as error:
            exchange.ended(error)
        else:
            if not ended:
                exchange.defer()
            elif not exchange.complete:
                exchange.ended(None)

    def _make_scope(self, request: HttpRequest) -> Scope:
        line = request.line
        scope = (self._scopes.get(line) or self._begin_scope(line)).copy()
        known_fields = self._headers
        scope["headers"] = [known_fields[text] for text in request.head.split(b"\r\n")[1:-2]]
        connection = request.connection
        ends = connection.context
        if ends is None:
            ends = connection.context = self._look_at_ends(connection)
        scope["client"], scope["server"], by_proxy = ends
        scope["state"] = self._state.copy()
        if by_proxy and b"forwarded" in request.head.lower():
            self._correct(scope, request)
        return scope

    def _look_at_ends(self, connection: TcpConnection) -> _Ends:
        peer = connection.peer_address
        by_proxy = self._proxies is not None and self._proxies.trusts(peer)
        return _as_pair(peer), _as_pair(connection.local_address), by_proxy

    def _correct(self, scope: Scope, request: HttpRequest) -> None:
        """Have ``scope`` say what the request looked like to its client."""
        assert self._proxies is not None
        forwarded = self._proxies.resolve(request, self._scheme)
        scope["client"] = None if forwarded.client is None else _as_pair(forwarded.client)
        scope["scheme"] = forwarded.scheme

    def _begin_scope(self, line: RequestLine) -> dict[str, Any]:
        """What the scopes of all requests with the same first line have in common."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _VERSIONS,
            "http_version": _HTTP_VERSIONS[line.version],
            "method": line.method,
            "scheme": self._scheme,
            "path": self._root_path + line.path,
            "raw_path": self._root_path.encode() + line.raw_path.encode("latin-1"),
            "query_string": line.target.partition("?")[2].encode("latin-1"),
            "root_path": self._root_path,
            "headers": [],
            "client": None,
            "server": None,
            "state": {},
            "extensions": EXTENSIONS,
        }
        if len(self._scopes) >= _KNOWN:
            self._scopes.clear()
        self._scopes[line] = scope
        return scope


class _KnownFields(dict[bytes, _Field]):
    """Pairs of name, in lower case, and value, by the line of a head.

    The same lines come again and again, from each browser, so they are kept.
    """

    def __missing__(self, line: bytes) -> _Field:
        name, _, value = line.partition(b":")
        field = name.lower(), value.strip(b" \t")
        if len(line) <= _LONGEST_KNOWN:
            if len(self) >= _KNOWN:
                self.clear()
            self[line] = field
        return field


def _as_pair(address: Address) -> _Pair | None:
    if address.path is not None:
        return (address.path, None) if address.path else None
    return address.host, address.port
