"""Header fields: names without regard to case, order and repetitions kept."""

import re
from collections.abc import Iterable, Iterator

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_FORBIDDEN = re.compile(r"[\0-\x08\x0a-\x1f\x7f]|[^\0-\xff]")  # field-value, section 5.5


class Headers:
    """The header fields of a request or a response.  (RFC 9110, section 5.)

    Works like a dictionary of text whose keys ignore case, and keeps fields of the same name:
    `get` and ``headers[name]`` give the first, `get_all` every one.  Setting a field checks it, so
    that no value can end its line and begin another: `ValueError` names what is wrong.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[tuple[str, str]] = []
        for name, value in fields:
            self.add(name, value)

    @classmethod
    def parse(cls, lines: bytes) -> "Headers":
        """The fields of ``lines``, separated by CRLF, which a parser has found to be right."""
        headers = cls()
        if lines:
            for line in lines.decode("latin-1").split("\r\n"):
                name, _, value = line.partition(":")
                headers._fields.append((name, value.strip(" \t")))
        return headers

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(n.lower(), v) for n, v in self._fields] == [
            (n.lower(), v) for n, v in other._fields
        ]

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._fields)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __getitem__(self, name: str) -> str:
        wanted = name.lower()
        for key, value in self._fields:
            if key.lower() == wanted:
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        """Give ``name`` this one value, in the place of all that it had."""
        field = _checked(name, value)
        self.discard(name)
        self._fields.append(field)

    def __delitem__(self, name: str) -> None:
        if not self.discard(name):
            raise KeyError(name)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of ``name``, or ``default``."""
        try:
            return self[name]
        except KeyError:
            return default

    def get_all(self, name: str) -> list[str]:
        """All values of ``name``, in their order."""
        wanted = name.lower()
        return [value for key, value in self._fields if key.lower() == wanted]

    def add(self, name: str, value: str) -> None:
        """Add a field, beside those of the same name."""
        self._fields.append(_checked(name, value))

    def discard(self, name: str) -> bool:
        """Drop every field of that name; whether there was one."""
        wanted = name.lower()
        kept = [field for field in self._fields if field[0].lower() != wanted]
        dropped = len(kept) != len(self._fields)
        self._fields = kept
        return dropped

    def items(self) -> list[tuple[str, str]]:
        """The fields in their order, with their names as they were written."""
        return list(self._fields)


def _checked(name: str, value: str) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a header field")
    if _FORBIDDEN.search(value):
        raise ValueError(f"a header field {name} cannot have the value {value!r}")
    return name, value.strip(" \t")


def check_value(name: str, value: str) -> str:
    """``value`` if it can stand in a head as the field ``name``; else `ValueError`."""
    return _checked(name, value)[1]
