"""The page as an ASGI application that works for it: about 0.2 ms of Python for each request."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgi_app import BODY, START

ROUNDS = 4000


async def app(scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    total = 0
    for number in range(ROUNDS):
        total += number
    await send(START)
    await send(BODY)
