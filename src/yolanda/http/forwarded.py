"""Who the client is when a proxy stands in between.

A proxy tells in X-Forwarded-For and its sisters, or in Forwarded (RFC 7239), for whom it asks.
Anybody can write such fields, so they are believed only when the connection itself comes from a
proxy that is trusted.  Each proxy adds its own client behind what came in: the list is walked from
the right, over trusted proxies only, and what stands to the left of the first address that is no
such proxy was written by who knows whom.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from yolanda.address import Address
from yolanda.http.headers import Headers
from yolanda.http.request import HttpRequest
from yolanda.networks import Networks

FIELDS = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
)
"""The fields that can be believed."""
_DEFAULT = ("x-forwarded-for", "x-forwarded-proto")

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_DEFAULT_PORT = {"http": 80, "https": 443}

_HOST = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._~-]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
_NODE = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
)

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PAIR = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_ESCAPED = re.compile(r"\\(.)")

Element = dict[str, str]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What a request looked like to the first trusted proxy, or what it looks like here."""

    client: Address | None
    """Where it came from, port 0 where the proxy does not tell; `None` if nobody knows: a proxy
    that is trusted has hidden its client, or what it wrote cannot be read."""
    scheme: str
    """``"http"`` or ``"https"``."""
    host: str
    """As in the Host field, with the port unless it is the scheme's own; may be empty."""
    prefix: str = ""
    """The path below which a proxy has put the application, without a slash at its end."""


class TrustedProxies:
    """The proxies whose word is taken for the client's address, and what is taken of it.

    - ``networks``: addresses and networks such as ``10.0.0.0/8``, see `Networks`;
    - ``fields``: the names of `FIELDS` that are believed.  **Believe only what your proxy sets or
      removes**: what it passes on as it came is the client's to choose.  Forwarded says by itself
      what X-Forwarded-For, -Proto and -Host say, and is not believed beside them.

    It may be shared by threads.  Raises `ValueError` for what is no network or no such field.
    """

    def __init__(self, networks: Iterable[str], fields: Iterable[str] = _DEFAULT) -> None:
        self._networks = Networks(networks)
        self.fields = frozenset(name.lower() for name in fields)
        for name in self.fields:
            if name not in FIELDS:
                raise ValueError(f"{name!r} is none of the fields {', '.join(FIELDS)}")
        twice = self.fields & {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
        if "forwarded" in self.fields and twice:
            raise ValueError(f"believe either forwarded or {', '.join(sorted(twice))}")

    @classmethod
    def parse(cls, text: str, fields: Iterable[str] = _DEFAULT) -> "TrustedProxies":
        """Read a list with commas, such as ``127.0.0.1,10.0.0.0/8,unix``; empty: trust nobody."""
        return cls(Networks.split(text), fields)

    def trusts(self, address: Address | None) -> bool:
        """Whether a proxy at ``address`` is trusted.  `None`, somebody unknown, is not."""
        return address in self._networks

    def resolve(self, request: HttpRequest, scheme: str = "http") -> Forwarded:
        """What ``request`` looked like to its client; ``scheme``: that of its own connection.

        The client is noted in ``request.client`` as well, for a log.  Never raises for what stands
        in the request.
        """
        forwarded = self.resolve_fields(request.peer_address, request.headers, scheme)
        request.client = forwarded.client
        return forwarded

    def resolve_fields(self, peer: Address, headers: Headers, scheme: str = "http") -> Forwarded:
        """The same for a request of ``peer`` with these ``headers``."""
        host = headers.get("host") or ""
        if not self.trusts(peer):
            return Forwarded(peer, scheme, host)
        if "forwarded" in self.fields:
            client, scheme, host = self._by_forwarded(peer, headers, scheme, host)
        else:
            client, scheme, host = self._by_x_forwarded(peer, headers, scheme, host)
        prefix = ""
        if "x-forwarded-port" in self.fields:
            host = _with_port(host, _last(headers, "x-forwarded-port"), scheme)
        if "x-forwarded-prefix" in self.fields:
            text = _last(headers, "x-forwarded-prefix")
            if _PREFIX.fullmatch(text):
                prefix = text.rstrip("/")
        return Forwarded(client, scheme, host, prefix)

    def _by_x_forwarded(
        self, peer: Address, headers: Headers, scheme: str, host: str
    ) -> tuple[Address | None, str, str]:
        client: Address | None = peer
        nodes: list[str] = []
        place = -1
        if "x-forwarded-for" in self.fields:
            nodes = _items(headers, "x-forwarded-for")
            client, place = self._walk(peer, [_read_node(node) for node in nodes])

        def told(name: str) -> str:
            """What the proxy has said that has named the client, where each has said something."""
            if name not in self.fields:
                return ""
            values = _items(headers, name)
            if not values:
                return ""
            return values[place] if len(values) == len(nodes) else values[-1]

        scheme = _SCHEMES.get(told("x-forwarded-proto").lower(), scheme)
        name = told("x-forwarded-host")
        return client, scheme, name if _is_host(name) else host

    def _by_forwarded(
        self, peer: Address, headers: Headers, scheme: str, host: str
    ) -> tuple[Address | None, str, str]:
        values = headers.get_all("forwarded")
        if not values:
            return peer, scheme, host
        # A field that is malformed tells that there was somebody, and not who.
        elements = [e for value in values for e in (parse_forwarded(value) or [{}])]
        nodes = [_read_node(element.get("for", "unknown"), strict=True) for element in elements]
        client, place = self._walk(peer, nodes)
        element = elements[place]
        scheme = _SCHEMES.get(element.get("proto", "").lower(), scheme)
        name = element.get("host", "")
        return client, scheme, name if _is_host(name) else host

    def _walk(self, peer: Address, nodes: Sequence[Address | None]) -> tuple[Address | None, int]:
        """Go from the right to the first that is no trusted proxy: who that is, and its place."""
        client: Address | None = peer
        place = -1
        for place in range(len(nodes) - 1, -1, -1):
            client = nodes[place]
            if client is None or not self.trusts(client):
                break
        return client, place


def parse_forwarded(text: str) -> list[Element] | None:
    """The elements of a Forwarded field, names in lower case; `None` if it is malformed.

    (RFC 7239, section 4.)
    """
    elements: list[Element] = []
    element: Element = {}
    position = 0
    size = len(text)
    while position < size:
        if text[position] in " \t":
            position += 1
            continue
        found = _PAIR.match(text, position)
        if found is not None:
            name, value = found[1].lower(), found[2]
            if name in element:
                return None  # at most once in an element
            if value[0] == '"':
                value = _ESCAPED.sub(r"\1", value[1:-1])
            element[name] = value
            position = found.end()
            while position < size and text[position] in " \t":
                position += 1
            if position == size:
                break
        if text[position] == ",":
            if element:
                elements.append(element)
            element = {}
        elif text[position] != ";":
            return None
        position += 1
    if element:
        elements.append(element)
    return elements


def _read_node(text: str, strict: bool = False) -> Address | None:
    """An address with or without a port; `None` for what is hidden, unknown or malformed.

    ``strict``: an IPv6 address stands in brackets (RFC 7239, section 6).
    """
    ip = None if strict and ":" in text else _ip(text)
    port = 0
    if ip is None:
        found = _NODE.fullmatch(text)
        if found is None:
            return None
        ip = _ip(found["v6"] or found["v4"])
        if ip is None or (found["v6"] and ":" not in found["v6"]):
            return None
        digits = found["port"] or ""
        if digits.isdigit():
            port = int(digits)
            if port > 65535:
                return None
    return Address(str(ip), port)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    """An address; IPv4 in the clothes of IPv6 is IPv4; a scope means nothing elsewhere."""
    if "%" in text:
        return None
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _items(headers: Headers, name: str) -> list[str]:
    """The elements of all fields of that name, in their order; empty ones do not count."""
    values = ",".join(headers.get_all(name)).split(",")
    return [item for item in (value.strip(" \t") for value in values) if item]


def _last(headers: Headers, name: str) -> str:
    items = _items(headers, name)
    return items[-1] if items else ""


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65535:
        return False
    return found["v6"] is None or isinstance(_ip(found["v6"]), IPv6Address)


def _with_port(host: str, port: str, scheme: str) -> str:
    """``host`` at ``port``, unless it is the scheme's own or the host has one of its own."""
    found = _HOST.fullmatch(host)
    if found is None or found["port"] is not None or not port.isascii() or not port.isdigit():
        return host
    number = int(port) if len(port) <= 5 else 0
    if not 0 < number <= 65535 or number == _DEFAULT_PORT.get(scheme):
        return host
    return f"{host}:{number}"
