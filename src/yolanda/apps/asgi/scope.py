"""What an application is told of a request before it begins: ASGI's connection scope."""

from typing import Any
from urllib.parse import quote

from yolanda.address import Address
from yolanda.apps.asgi.interface import Scope
from yolanda.http.forwarded import TrustedProxies
from yolanda.http.request import FieldBlock, HttpRequest, RequestLine
from yolanda.transport.tcp_connection import TcpConnection

HTTP_EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.pathsend": {},
    "http.response.trailers": {},
}
"""What can be sent to a request beside the specification's own messages."""

WEBSOCKET_EXTENSIONS: dict[str, dict[str, Any]] = {"websocket.http.response": {}}
"""The same for a WebSocket."""

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
_HTTP_VERSIONS = {"HTTP/1.1": "1.1", "HTTP/1.0": "1.0"}
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}
_SAFE_IN_PATHS = "/!$&'()*+,;=:@%"
_KNOWN = 4096
_LONGEST_KNOWN = 512  # bytes of a header field that may come again

_Field = tuple[bytes, bytes]
_Pair = tuple[str, int | None]
_Ends = tuple[_Pair | None, _Pair | None, bool]  # client, server, whether the client is a proxy


class ScopeMaker:
    """Makes the scopes of requests.

    - ``state``: what the application's lifespan wants each request to know;
    - ``root_path``: where the application is mounted, without a slash at its end;
    - ``scheme``: of the server's connections;
    - ``proxies``: whose word is taken for the client's address and scheme.

    It keeps what comes again and again, and belongs to one thread.
    """

    def __init__(
        self,
        *,
        state: dict[str, Any] | None = None,
        root_path: str = "",
        scheme: str = "http",
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._state = {} if state is None else state
        self._root_path = root_path
        self._raw_root_path = quote(root_path, safe=_SAFE_IN_PATHS).encode()
        self._scheme = scheme
        self._template: dict[str, Any] = {
            "type": "http",
            "asgi": _VERSIONS,
            "http_version": "1.1",
            "method": "",
            "scheme": scheme,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": root_path,
            "headers": [],
            "client": None,
            "server": None,
            "state": {},
            "extensions": HTTP_EXTENSIONS,
        }
        self._proxies = proxies
        self._known_fields = _KnownFields()

    def http(self, request: HttpRequest) -> Scope:
        """Return the scope of ``request``."""
        line = request.line
        known = line.scope
        scope = self._begin(line) if known is None else known.copy()
        fields = request.fields
        scope["headers"] = (fields.pairs or self._take_apart(fields)).copy()
        connection = request.connection
        ends = connection.context
        if ends is None:
            ends = connection.context = self._look_at_ends(connection)
        scope["client"], scope["server"], by_proxy = ends
        state = self._state
        scope["state"] = state.copy() if state else {}
        if by_proxy and fields.forwarded is not False and fields.says_forwarded():
            self._correct(scope, request)
        return scope

    def websocket(self, request: HttpRequest, subprotocols: list[str]) -> Scope:
        """Return the scope of the WebSocket that ``request`` asks for."""
        scope = self.http(request)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = _WEBSOCKET_SCHEMES[scope["scheme"]]
        scope["subprotocols"] = subprotocols
        scope["extensions"] = WEBSOCKET_EXTENSIONS
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

    def _take_apart(self, fields: FieldBlock) -> list[_Field]:
        fields.pairs = pairs = list(map(self._known_fields.__getitem__, fields.lines))
        return pairs

    def _begin(self, line: RequestLine) -> dict[str, Any]:
        """What the scopes of all requests with the same first line have in common."""
        scope = self._template.copy()
        scope["http_version"] = _HTTP_VERSIONS[line.version]
        scope["method"] = line.method
        scope["path"] = self._root_path + line.path
        scope["raw_path"] = self._raw_root_path + line.raw_path.encode("latin-1")
        scope["query_string"] = line.target.partition("?")[2].encode("latin-1")
        if line.kept:
            line.scope = scope.copy()
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
