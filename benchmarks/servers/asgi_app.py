"""The page as a bare ASGI application, without a framework: what uvicorn and granian run."""

from collections.abc import Awaitable, Callable
from typing import Any

from page import PAGE

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(PAGE))],
}
BODY = {"type": "http.response.body", "body": PAGE}


async def app(scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    await send(START)
    await send(BODY)
