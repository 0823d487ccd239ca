"""Which bytes of a file a Range field asks for, and how several parts of it are sent.

(RFC 9110, section 14.)
"""

import re
import secrets
from collections.abc import Sequence

Part = tuple[int, int]
"""A part of a file: the offset of its first byte, and how many bytes it has."""

MAX_RANGES = 64
"""A request for more parts gets the whole file: each part costs a head and a system call."""

_RANGES = re.compile(r"bytes=(.*)", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)
_LONGEST_NUMBER = 18  # digits; a longer one lies behind the end of any file
_BEHIND = 10**_LONGEST_NUMBER


def parse_ranges(text: str, size: int) -> list[Part] | None:
    """What the Range field ``text`` asks of a file of ``size`` bytes.

    - `None`: the field does not count, and the whole file is the answer.  So it is for another
      unit, for what is not well-formed, for more than `MAX_RANGES` parts, and for an empty file,
      of which no part can be named;
    - an empty list: nothing of it is there (416);
    - else the parts, in the order in which they were asked for; those that overlap or touch are
      one, so no byte is sent twice however often it was asked for.
    """
    found = _RANGES.fullmatch(text.strip(" \t"))
    if found is None or not size:
        return None
    specs = [spec.strip(" \t") for spec in found[1].split(",")]
    specs = [spec for spec in specs if spec]  # a list may have empty elements (5.6.1.2)
    if not 0 < len(specs) <= MAX_RANGES:
        return None
    parts: list[Part] = []
    for spec in specs:
        bounds = _RANGE.fullmatch(spec)
        if bounds is None or spec == "-":
            return None
        first, last = (_number(digits) for digits in bounds.groups())
        if first is None:
            assert last is not None
            first, last = max(0, size - last), size - 1  # the last so many bytes
        elif last is None:
            last = size - 1
        elif last < first:
            return None
        last = min(last, size - 1)
        if first <= last:
            parts.append((first, last - first + 1))
    return _merged(parts)


def content_range(part: Part, size: int) -> str:
    """The Content-Range of ``part`` of a file of ``size`` bytes."""
    offset, count = part
    return f"bytes {offset}-{offset + count - 1}/{size}"


def multipart(
    parts: Sequence[Part], size: int, content_type: str
) -> tuple[str, list[bytes | Part]]:
    """Frame ``parts`` of a file of ``size`` bytes as multipart/byteranges.  (RFC 9110, 14.6.)

    Returns the type of the whole, and bytes and parts of the file in the order of sending.
    """
    boundary = secrets.token_hex(16)  # nobody can have put it into the file
    pieces: list[bytes | Part] = []
    lead = ""
    for part in parts:
        head = (
            f"{lead}--{boundary}\r\n"
            f"Content-Type: {content_type}\r\n"
            f"Content-Range: {content_range(part, size)}\r\n\r\n"
        )
        pieces += [head.encode("latin-1"), part]
        lead = "\r\n"
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return f"multipart/byteranges; boundary={boundary}", pieces


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= _LONGEST_NUMBER else _BEHIND


def _merged(parts: list[Part]) -> list[Part]:
    """Make one of parts that overlap or touch; it stands where the first of them stood."""
    if len(parts) < 2:
        return parts
    groups: list[tuple[int, int, int]] = []  # place in the request, first byte, end
    for (offset, count), place in sorted((part, place) for place, part in enumerate(parts)):
        if groups and offset <= groups[-1][2]:
            known, first, end = groups[-1]
            groups[-1] = min(known, place), first, max(end, offset + count)
        else:
            groups.append((place, offset, offset + count))
    return [(first, end - first) for _, first, end in sorted(groups)]
