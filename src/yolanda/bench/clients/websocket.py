"""The load of WebSockets: ``python -m yolanda.bench.clients.websocket PORT --connections N``.

Echoes are exchanged as those of `echo` are, in bursts to one half of the connections while
the server works for the other.  With ``--broadcast`` the first connection says something that
begins with a star, and the server sends it to all; what is counted is what was received.

No frame is made or taken apart while it is measured: what goes out is always the same, and so is
what comes back.
"""

import argparse
import socket
import time
from collections.abc import Sequence

from yolanda.bench.clients.echo import connect, exchange, report

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x37\xfa\x21\x3d"


def frame(text: bytes, masked: bool) -> bytes:
    """Make a frame of a text message."""
    size = len(text)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([0x81, bit | size])
    elif size < 65536:
        head = bytes([0x81, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x81, bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + text
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(text))


def shake_hands(port: int) -> socket.socket:
    """Open a WebSocket and return its connection."""
    connection = connect(port)
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"no WebSocket: {answer[:200]!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 101 ") or not answer.endswith(b"\r\n\r\n"):
        raise ConnectionError(f"no WebSocket: {answer[:200]!r}")
    return connection


def broadcasts(
    connections: Sequence[socket.socket], message: bytes, answer: bytes, seconds: float
) -> tuple[list[float], float]:
    """Have the server tell all, again and again; the time until each has it, and the whole."""
    received = bytearray(len(answer))
    trips: list[float] = []
    start = time.perf_counter()
    end = start + seconds
    now = start
    while now < end:
        connections[0].sendall(message)
        for connection in reversed(connections):
            if connection.recv_into(received, len(answer), socket.MSG_WAITALL) != len(answer):
                raise ConnectionError("a broadcast was cut off")
            trips.append(time.perf_counter() - now)
        if received != answer:
            raise ConnectionError(f"{bytes(received[:32])!r}... came for {answer[:32]!r}...")
        now = time.perf_counter()
    return trips, now - start


def main() -> None:
    """Load a server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--broadcast", action="store_true", help="one says it, all hear it")
    options = parser.parse_args()

    text = bytes(97 + index * 31 % 26 for index in range(options.size))
    if options.broadcast:
        text = b"*" + text[1:]
    message, answer = frame(text, masked=True), frame(text, masked=False)
    connections = [shake_hands(options.port) for _ in range(options.connections)]

    def play(seconds: float) -> tuple[list[float], float]:
        if options.broadcast:
            return broadcasts(connections, message, answer, seconds)
        return exchange(connections, message, len(answer), answer.__eq__, seconds)

    report(play, options.seconds)


if __name__ == "__main__":
    main()
