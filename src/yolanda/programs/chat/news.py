"""What the processes of one chat room tell each other, in JSON, and whether it is well formed.

A broker carries what anybody sends who may use it, so nothing is taken as it comes.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from yolanda.programs.chat.room import LONGEST_LINE, clean, is_name

Check = Callable[[object], bool]
"""Whether a value is what it should be."""


class BadNews(ValueError):
    """What came is nothing that a chat room says."""


def decode_news(data: bytes) -> dict[str, Any]:
    """Read what is for all processes: ``process``, ``kind``, and what belongs to the kind.

    Raises `BadNews`.
    """
    news = _decode(data)
    kind = news.get("kind")
    if not isinstance(kind, str) or kind not in NEWS:
        raise BadNews(f"kind is {_shortened(kind)}")
    return {"kind": kind, **_checked(news, {"process": is_id, **NEWS[kind]})}


def decode_whisper(data: bytes) -> dict[str, Any]:
    """Read what one guest says to another: ``sender``, ``recipient``, ``text``.

    Raises `BadNews`.
    """
    return _checked(_decode(data), WHISPER)


def _decode(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BadNews("not JSON") from None
    if not isinstance(value, dict):
        raise BadNews("not an object")
    return value


def _checked(message: dict[str, Any], checks: dict[str, Check]) -> dict[str, Any]:
    """Return the fields that have a check, all of which are there and right."""
    for name, check in checks.items():
        if name not in message:
            raise BadNews(f"{name} is missing")
        if not check(message[name]):
            raise BadNews(f"{name} is {_shortened(message[name])}")
    return {name: message[name] for name in checks}


def _shortened(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) < 60 else f"{shown[:56]}..."


# ---- checks ------------------------------------------------------------------------------------


def is_name_of_guest(value: object) -> bool:
    """A name that a guest can have."""
    return isinstance(value, str) and is_name(value)


def is_text(value: object) -> bool:
    """What a room passes on.  (A byte that was no text has become a character of three.)"""
    return (
        isinstance(value, str) and value == clean(value) and len(value.encode()) <= 3 * LONGEST_LINE
    )


def is_moment(value: object) -> bool:
    """A time of day, in seconds."""
    return isinstance(value, float) and math.isfinite(value)


def is_revision(value: object) -> bool:
    """A count."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_id(value: object) -> bool:
    """Of a process."""
    return isinstance(value, str) and len(value) == 16 and set(value) <= set("0123456789abcdef")


def is_list(value: object) -> bool:
    """Of guests: a name, and since when it is theirs."""
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and is_name_of_guest(pair[0])
        and is_moment(pair[1])
        for pair in value
    )


_RENAMED: dict[str, Check] = {
    "name": is_name_of_guest,
    "since": is_moment,
    "revision": is_revision,
}

NEWS: dict[str, dict[str, Check]] = {
    "beat": {"revision": is_revision},
    "gone": {},
    "joined": _RENAMED,
    "left": {"name": is_name_of_guest, "reason": is_text, "revision": is_revision},
    "list": {"guests": is_list, "revision": is_revision},
    "list?": {},
    "renamed": {"before": is_name_of_guest, **_RENAMED},
    "said": {"name": is_name_of_guest, "text": is_text},
    "your list?": {"of": is_id},
}
"""What belongs to each kind of news.

``revision`` says how often the process's list of guests has changed, this time included; ``list?``
asks all processes for their lists, and ``your list?`` one.
"""

WHISPER: dict[str, Check] = {
    "sender": is_name_of_guest,
    "recipient": is_name_of_guest,
    "text": is_text,
}
"""Sent to the recipient's process alone, which answers ``heard`` or ``nobody``."""
