"""Echoes, and broadcasts of what begins with a star, as a bare ASGI application."""

from collections.abc import Awaitable, Callable
from typing import Any

everybody: set[Callable[[dict[str, Any]], Awaitable[None]]] = set()


async def app(
    scope: Any,
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Serve one WebSocket."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    everybody.add(send)
    try:
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event["text"]
            answer = {"type": "websocket.send", "text": text}
            if text[0] == "*":
                for each in everybody:
                    await each(answer)
            else:
                await send(answer)
    finally:
        everybody.discard(send)
