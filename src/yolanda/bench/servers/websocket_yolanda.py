"""Echoes and broadcasts with Yolanda's own API: ``websocket_yolanda.py PORT``."""

import sys

from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.websocket import WebSocket, accept_websocket, broadcast

everybody: set[WebSocket] = set()


def on_message(websocket: WebSocket, message: str | bytes) -> None:
    """Send it back, or to all."""
    if message[0] == "*":
        broadcast(everybody, message)
    else:
        websocket.send(message)


def on_closed(websocket: WebSocket, code: int, reason: str) -> None:
    """Forget it."""
    everybody.discard(websocket)


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    """Turn the connection into a WebSocket."""
    websocket = accept_websocket(request, response, on_message=on_message, on_closed=on_closed)
    if websocket is not None:
        everybody.add(websocket)


HttpServer(f"127.0.0.1:{sys.argv[1]}", on_request).run()
