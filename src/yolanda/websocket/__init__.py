"""WebSocket on the HTTP server: ``from yolanda.websocket import accept_websocket``.

It needs the library websockets, whose protocol without I/O it is built on::

    pip install 'yolanda[websocket]'
"""

try:
    import websockets as _websockets  # noqa: F401
except ImportError as error:
    raise ImportError(
        "WebSocket needs the library websockets: pip install 'yolanda[websocket]'"
    ) from error

from yolanda.websocket.broadcast import broadcast
from yolanda.websocket.connection import WebSocket, WebSocketState
from yolanda.websocket.handshake import (
    WebSocketHandshake,
    accept_websocket,
    is_websocket,
    origin_is_own,
    receive_handshake,
)
from yolanda.websocket.options import WebSocketOptions

__all__ = [
    "WebSocket",
    "WebSocketHandshake",
    "WebSocketOptions",
    "WebSocketState",
    "accept_websocket",
    "broadcast",
    "is_websocket",
    "origin_is_own",
    "receive_handshake",
]
