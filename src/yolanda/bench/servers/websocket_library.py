"""Echoes and broadcasts with the library websockets on uvloop: ``websocket_library.py PORT``."""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

everybody: set[ServerConnection] = set()


async def handle(websocket: ServerConnection) -> None:
    """Serve one WebSocket."""
    everybody.add(websocket)
    try:
        async for message in websocket:
            if message[0] == "*":
                broadcast(everybody, message)
            else:
                await websocket.send(message)
    except ConnectionClosed:
        pass  # the client did not take its leave
    finally:
        everybody.discard(websocket)


async def main() -> None:
    """Serve for ever."""
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), backlog=4096):
        await asyncio.get_running_loop().create_future()


uvloop.run(main())
