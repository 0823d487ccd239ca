"""The environment of a request: what PEP 3333 and CGI (RFC 3875) call what HTTP has brought."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import TextIOBase
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from yolanda.address import Address
from yolanda.apps.wsgi.file_wrapper import FileWrapper
from yolanda.http.forwarded import TrustedProxies
from yolanda.http.request import HttpRequest, RequestLine
from yolanda.transport.tcp_connection import TcpConnection

Environment = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WsgiApplication = Callable[[Environment, StartResponse], Iterable[bytes]]

_KNOWN = 4096
_LONGEST_KNOWN = 512  # bytes of a header field that may come again
_KNOWN_BLOCKS = 256  # each thread keeps them for itself
_LONGEST_KNOWN_BLOCK = 2048  # bytes of all fields of a request
_DEFAULT_PORT = {"http": "80", "https": "443"}

_JOINTS = {"HTTP_COOKIE": "; "}  # RFC 9113, 8.2.3; for all others RFC 9110, 5.2
_OF_ITS_OWN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environments of all requests to a server have in common.

    - ``root_path``: where the application is mounted, without a slash at its end;
    - ``scheme``: of the server's connections;
    - ``proxies``: whose word is taken for the client's address and scheme;
    - ``multithread``, ``multiprocess``: whether the application may be called by another thread,
      or in another process, at the same time.
    """

    root_path: str = ""
    scheme: str = "http"
    proxies: TrustedProxies | None = None
    multithread: bool = True
    multiprocess: bool = False


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a connection, as its requests' environments name them."""

    remote_address: str
    remote_port: str
    server_name: str
    server_port: str
    proxy: Address | None
    """Who has connected, if that is a proxy that is trusted."""


def look_at_ends(connection: TcpConnection, settings: Settings) -> Ends:
    """Find the ends of ``connection``.  In the thread of its loop, while it is open."""
    peer = connection.peer_address
    local = connection.local_address
    by_proxy = settings.proxies is not None and settings.proxies.trusts(peer)
    name, port = local.host, str(local.port)
    if local.path is not None:  # PEP 3333 wants both, and knows no local sockets
        name, port = "localhost", _DEFAULT_PORT[settings.scheme]
    return Ends(*_remote(peer), name, port, peer if by_proxy else None)


class EnvironmentMaker:
    """Makes the environments of requests; it belongs to one of the threads.

    - ``errors``: where the application writes what went wrong.
    """

    def __init__(self, settings: Settings, errors: TextIOBase) -> None:
        self._settings = settings
        self._errors = errors
        self._begun: dict[RequestLine, Environment] = {}
        self._variables = _KnownBlocks()

    def make(self, request: HttpRequest, ends: Ends, body: BinaryIO) -> Environment:
        """Return the environment of ``request``, whose body is read from ``body``."""
        environment = (self._begun.get(request.line) or self._begin(request.line)).copy()
        environment["wsgi.input"] = body
        environment["REMOTE_ADDR"] = ends.remote_address
        environment["REMOTE_PORT"] = ends.remote_port
        environment["SERVER_NAME"] = ends.server_name
        environment["SERVER_PORT"] = ends.server_port
        environment.update(self._variables[request.fields.raw])
        if ends.proxy is not None and request.fields.says_forwarded():
            self._correct(environment, request, ends.proxy)
        return environment

    def _begin(self, line: RequestLine) -> Environment:
        """What the environments of all requests with the same first line have in common."""
        settings = self._settings
        environment: Environment = {
            "REQUEST_METHOD": line.method,
            "SCRIPT_NAME": settings.root_path.encode().decode("latin-1"),
            "PATH_INFO": unquote_to_bytes(line.raw_path.encode("latin-1")).decode("latin-1"),
            "QUERY_STRING": line.target.partition("?")[2],
            "REQUEST_URI": line.target,
            "SERVER_PROTOCOL": line.version,
            "SERVER_SOFTWARE": "Yolanda",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": settings.scheme,
            "wsgi.errors": self._errors,
            "wsgi.multithread": settings.multithread,
            "wsgi.multiprocess": settings.multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
        }
        if line.kept:
            if len(self._begun) >= _KNOWN:
                self._begun.clear()
            self._begun[line] = environment
        return environment

    def _correct(self, environment: Environment, request: HttpRequest, proxy: Address) -> None:
        """Have ``environment`` say what the request looked like to its client."""
        assert self._settings.proxies is not None
        forwarded = self._settings.proxies.resolve_fields(
            proxy, request.headers, self._settings.scheme
        )
        request.client = forwarded.client
        environment["REMOTE_ADDR"], environment["REMOTE_PORT"] = _remote(forwarded.client)
        environment["wsgi.url_scheme"] = forwarded.scheme


class _KnownBlocks(dict[bytes, dict[str, str]]):
    """The variables of all fields of a request, which clients mostly repeat, see `FieldBlock`."""

    def __init__(self) -> None:
        self._variables = _KnownVariables()

    def __missing__(self, block: bytes) -> dict[str, str]:
        made: dict[str, str] = {}
        for field in block.split(b"\r\n")[:-2]:
            name, value = self._variables[field]
            if name in made:
                value = f"{made[name]}{_JOINTS.get(name, ',')}{value}"
            made[name] = value
        made.pop("", None)
        if len(block) <= _LONGEST_KNOWN_BLOCK:
            if len(self) >= _KNOWN_BLOCKS:
                self.clear()
            self[block] = made
        return made


class _KnownVariables(dict[bytes, tuple[str, str]]):
    """Variables by the line of a head that they come from; an empty name for one to be left out.

    The same lines come again and again, from each browser, so they are kept.
    """

    def __missing__(self, field: bytes) -> tuple[str, str]:
        text = field.decode("latin-1")
        name, _, value = text.partition(":")
        variable = _variable_of(name.lower()), value.strip(" \t")
        if len(field) <= _LONGEST_KNOWN:
            if len(self) >= _KNOWN:
                self.clear()
            self[field] = variable
        return variable


def _variable_of(name: str) -> str:
    """The variable for a header field; empty for one that could be taken for something else.

    ``X_Real_Ip`` would become what ``X-Real-Ip`` becomes, which a proxy may have checked; and
    libraries take ``HTTP_PROXY`` for their own configuration (CVE-2016-5385, "httpoxy").
    """
    if "_" in name or name == "proxy":
        return ""
    return _OF_ITS_OWN.get(name) or "HTTP_" + name.upper().replace("-", "_")


def _remote(peer: Address | None) -> tuple[str, str]:
    if peer is None or peer.path is not None:
        return "", ""
    return peer.host, str(peer.port)
