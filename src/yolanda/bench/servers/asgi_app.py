"""The pages as a bare ASGI application, without a framework."""

from collections.abc import Awaitable, Callable
from typing import Any

from pages import LARGE, PAGE, work

Event = dict[str, Any]


def start(size: int) -> Event:
    """Return the beginning of a response that has so many bytes."""
    fields = [(b"content-type", b"text/html"), (b"content-length", b"%d" % size)]
    return {"type": "http.response.start", "status": 200, "headers": fields}


START, BODY = start(len(PAGE)), {"type": "http.response.body", "body": PAGE}
LARGE_START, LARGE_BODY = start(len(LARGE)), {"type": "http.response.body", "body": LARGE}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
) -> None:
    """Answer by the path."""
    match scope["path"]:
        case "/":
            await send(START)
            await send(BODY)
        case "/large":
            await send(LARGE_START)
            await send(LARGE_BODY)
        case "/work":
            work()
            await send(START)
            await send(BODY)
        case "/upload":
            size, more = 0, True
            while more:
                event = await receive()
                size += len(event.get("body", b""))
                more = event.get("more_body", False)
            answer = b"%d" % size
            await send(start(len(answer)))
            await send({"type": "http.response.body", "body": answer})
