"""Header fields as a gateway gets them, pairs of bytes: checked, and written as they will be sent.

An application behind ASGI or WSGI makes the same few sets of fields again and again.  So a set is
looked at once, and what was found is kept.
"""

import re
from collections.abc import Iterable
from typing import Any

from yolanda.http.headers import Headers

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_FORBIDDEN = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")  # field-value, section 5.5
_DIGITS = re.compile(rb"[0-9]+")

_KNOWN = 1024
_LONGEST_KNOWN = 2048  # bytes; beyond are cookies and the like, which do not come again


class FieldLines:
    """The fields of a response, but for those that frame the message: they are the server's.

    - ``fields``: pairs of name and value.

    Content-Length is taken out and kept as a number; Transfer-Encoding and Connection are taken
    out, and of the latter it is noted whether it says ``close`` (RFC 9110, 7.6.1).  Raises
    `ValueError` for what cannot stand in a head.  It does not change, so any thread may read it.
    """

    __slots__ = ("close", "content_length", "date", "lines", "server")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self.content_length: int | None = None
        """The body's length, if there was such a field."""
        self.close = False
        """Whether the connection is to be closed."""
        self.date = False
        """Whether there is a Date among them."""
        self.server = False
        """Whether there is a Server among them."""
        lines = []
        for name, value in fields:
            value = bytes(value).strip(b" \t")
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a header field")
            if _FORBIDDEN.search(value):
                raise ValueError(f"a header field {name!r} cannot have the value {value!r}")
            match bytes(name).lower():
                case b"content-length":
                    self._set_length(value)
                    continue
                case b"transfer-encoding":
                    continue
                case b"connection":
                    self.close = self.close or b"close" in value.lower()
                    continue
                case b"date":
                    self.date = True
                case b"server":
                    self.server = True
            lines.append(b"%b: %b\r\n" % (name, value))
        self.lines = b"".join(lines)
        """The others, each with its line end."""

    def to_headers(self) -> Headers:
        """The same fields one by one, but for Connection."""
        headers = Headers.parse(self.lines[:-2])
        if self.content_length is not None:
            headers["Content-Length"] = str(self.content_length)
        return headers

    def _set_length(self, value: bytes) -> None:
        if not _DIGITS.fullmatch(value):
            raise ValueError(f"Content-Length is a number, not {value!r}")
        length = int(value)
        if self.content_length not in (None, length):
            raise ValueError(f"Content-Length is both {self.content_length} and {length}")
        self.content_length = length


class KnownFieldLines(dict[tuple[Any, ...], FieldLines]):
    """Makes the `FieldLines` of pairs that it is asked for, and keeps them: ``known[pairs]``.

    - ``default``: pairs that each response gets, in front of its own.

    Raises `ValueError` for what cannot stand in a head, `TypeError` for what is no tuple of pairs.
    It belongs to one thread.
    """

    __slots__ = ("_default", "_known_text")

    def __init__(self, default: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__()
        self._default = tuple(default)
        FieldLines(self._default)  # raises now, and not with the first response
        self._known_text: dict[tuple[Any, ...], FieldLines] = {}

    def __missing__(self, pairs: tuple[Any, ...]) -> FieldLines:
        made = FieldLines([*self._default, *pairs])
        _keep(self, pairs, made)
        return made

    def of_lists(self, pairs: Iterable[Iterable[bytes]]) -> FieldLines:
        """The same for pairs that are lists, which ASGI allows, and which are no key."""
        return self[tuple((bytes(name), bytes(value)) for name, value in pairs)]

    def of_text(self, fields: Iterable[tuple[str, str]]) -> FieldLines:
        """The same for pairs of text, each of whose characters stands for a byte, as in WSGI."""
        key: tuple[Any, ...] = tuple(fields)
        known = self._known_text.get(key)
        if known is None:
            try:
                pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in key]
            except AttributeError:
                raise TypeError(f"header fields are pairs of text, not {key!r}") from None
            known = self[tuple(pairs)]
            _keep(self._known_text, key, known)
        return known


def _keep(known: dict[tuple[Any, ...], FieldLines], key: tuple[Any, ...], made: FieldLines) -> None:
    if len(made.lines) <= _LONGEST_KNOWN:
        if len(known) >= _KNOWN:
            known.clear()
        known[key] = made
