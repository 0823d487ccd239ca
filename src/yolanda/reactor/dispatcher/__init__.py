"""The dispatchers that this platform has, and the choice among them."""

import os
import sys
from collections.abc import Callable

from yolanda.reactor.dispatcher.poll import PollDispatcher
from yolanda.reactor.dispatcher.protocol import (
    ERROR,
    HANGUP,
    INVALID,
    READ,
    WRITE,
    EventDispatcher,
)
from yolanda.reactor.dispatcher.select import SelectDispatcher

__all__ = [
    "DISPATCHERS",
    "ERROR",
    "HANGUP",
    "INVALID",
    "READ",
    "WRITE",
    "EventDispatcher",
    "make_dispatcher",
]

DISPATCHERS: dict[str, Callable[[], EventDispatcher]] = {}
"""Those that work here, the best first, each by its name."""

if sys.platform == "linux":
    from yolanda.reactor.dispatcher.epoll import EpollDispatcher

    DISPATCHERS["epoll"] = EpollDispatcher
    DISPATCHERS["epoll-et"] = lambda: EpollDispatcher(edge_triggered=True)
elif sys.platform != "win32":
    from yolanda.reactor.dispatcher.kqueue import KqueueDispatcher

    DISPATCHERS["kqueue"] = KqueueDispatcher
if sys.platform != "win32":
    DISPATCHERS["poll"] = PollDispatcher
DISPATCHERS["select"] = SelectDispatcher


def make_dispatcher(name: str = "auto") -> EventDispatcher:
    """Make the dispatcher called ``name``.

    ``"auto"`` takes the one that the environment variable ``YOLANDA_DISPATCHER`` names, else the
    best of the platform: epoll, kqueue, poll, select.  ``"epoll-et"`` is epoll edge-triggered.
    Raises `ValueError` for a name that is unknown or not to be had here.
    """
    if name == "auto":
        name = os.environ.get("YOLANDA_DISPATCHER") or "auto"
    if name == "auto":
        return next(iter(DISPATCHERS.values()))()
    try:
        factory = DISPATCHERS[name]
    except KeyError:
        known = ", ".join(("auto", *DISPATCHERS))
        raise ValueError(f"no dispatcher {name!r} on this platform; there are: {known}") from None
    return factory()
