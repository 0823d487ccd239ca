"""One message to many, made once."""

from collections.abc import Iterable
from typing import Literal

from yolanda.reactor.event_loop import EventLoop
from yolanda.websocket.codec import Message, encode_shared
from yolanda.websocket.connection import WebSocket, to_payload

Slow = Literal["skip", "close", "queue"]
_POLICIES = ("skip", "close", "queue")

_Sendings = list[tuple[WebSocket, bytes, bool]]


def broadcast(websockets: Iterable[WebSocket], message: Message, *, slow: Slow = "skip") -> None:
    """Send ``message`` to each of ``websockets``.  Any thread.

    It is encoded, and compressed, once for all; each loop is told once.  ``slow`` says what becomes
    of those for whom more than `WebSocketOptions.high_water` is queued already:

    - ``"skip"``: they miss this message;
    - ``"close"``: they are closed, with 1008;
    - ``"queue"``: they get it later, if `WebSocketOptions.max_queued` is not reached.

    Those that are closing are passed over.  Raises what `WebSocket.send` does, and `ValueError` for
    another ``slow``.
    """
    if slow not in _POLICIES:
        raise ValueError(f"slow is one of {', '.join(_POLICIES)}, not {slow!r}")
    opcode, data = to_payload(message)
    frames: dict[tuple[int, int], bytes] = {}
    loops: dict[EventLoop, _Sendings] = {}
    for websocket in websockets:
        key = websocket.sharing(len(data))
        frame = frames.get(key)
        if frame is None:
            frame = frames[key] = encode_shared(opcode, data, *key)
        loops.setdefault(websocket.loop, []).append((websocket, frame, key[0] != 0))
    for loop, sendings in loops.items():
        loop.run_in_loop(_send_all, sendings, slow)


def _send_all(sendings: _Sendings, slow: Slow) -> None:
    for websocket, frame, compressed in sendings:
        websocket.send_shared(frame, compressed, slow)
