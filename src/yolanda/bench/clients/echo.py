"""The load of an echo: ``python -m yolanda.bench.clients.echo PORT --connections N --size S``.

A client that is slower than the server leaves it idle after every message, and then each message
pays for a wake-up of its own, in the server that is measured.  So this one keeps the server busy:

- the connections form two groups, and while the client reads the answers of one group the server
  has the other group's messages to work at;
- a group is sent in a burst, with plain blocking calls and no selector;
- answers are read from the last connection back to the first, so that the client sleeps, and has
  to be woken, once a group and not once a message.

It warms the server up, says ``ready``, waits for a line on its standard input, and prints its
figures as JSON.  Both pauses leave the server idle, so that its CPU time can be read exactly.

With ``--http`` each message is a small GET, the one that wrk sends: so this client can be compared
with wrk at the same server.
"""

import argparse
import gc
import json
import socket
import struct
import time
from collections.abc import Callable, Sequence

WARM_UP = 0.3  # seconds
PATIENCE = 10  # seconds without an answer, or without room to send, that end the run

Play = Callable[[float], tuple[list[float], float]]
"""Exchanges messages for so many seconds; returns the round trips' and the whole duration."""


def connect(port: int) -> socket.socket:
    """Connect, with the kernel's own time-outs: they cost no call of poll for each message."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.settimeout(None)
    patience = struct.pack("@ll", PATIENCE, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send_group(group: Sequence[socket.socket], message: bytes, sent_at: list[float]) -> None:
    """Send a message on each connection, and keep when."""
    now = time.perf_counter
    sent_at.clear()
    for connection in group:
        sent_at.append(now())
        connection.sendall(message)


def read_group(
    group: Sequence[socket.socket], answer: bytearray, sent_at: list[float], trips: list[float]
) -> None:
    """Read an answer from each connection into ``answer``, and keep how long it took."""
    now = time.perf_counter
    size = len(answer)
    for connection in reversed(group):
        received = connection.recv_into(answer, size, socket.MSG_WAITALL)
        if received != size:
            raise ConnectionError(f"{received} bytes came back of {size}")
        trips.append(now() - sent_at.pop())


def exchange(
    connections: Sequence[socket.socket],
    message: bytes,
    size: int,
    is_right: Callable[[bytes], bool],
    seconds: float,
) -> tuple[list[float], float]:
    """Exchange messages for so many seconds; return the round trips' and the whole duration.

    Each answer has ``size`` bytes; the last of each group is looked at.
    """
    answer = bytearray(size)
    half = (len(connections) + 1) // 2
    groups = [group for group in (connections[:half], connections[half:]) if group]
    times: list[list[float]] = [[] for _ in groups]
    trips: list[float] = []
    start = time.perf_counter()
    end = start + seconds
    for group, sent_at in zip(groups, times, strict=True):
        send_group(group, message, sent_at)
    while time.perf_counter() < end:
        for group, sent_at in zip(groups, times, strict=True):
            read_group(group, answer, sent_at, trips)
            send_group(group, message, sent_at)
    for group, sent_at in zip(groups, times, strict=True):
        read_group(group, answer, sent_at, trips)
        if not is_right(bytes(answer)):
            raise ConnectionError(f"{bytes(answer[:32])!r}... came back")
    return trips, time.perf_counter() - start


def report(play: Play, seconds: float) -> None:
    """Warm up, wait for the word, measure, and print the figures."""
    play(WARM_UP)
    gc.disable()
    print("ready", flush=True)
    input()
    cpu = time.process_time()
    trips, taken = play(seconds)
    cpu = time.process_time() - cpu
    trips.sort()
    figures = {
        "messages": len(trips),
        "seconds": taken,
        "p50": trips[len(trips) // 2],
        "p99": trips[len(trips) * 99 // 100],
        "client_cpu": cpu,
    }
    print(json.dumps(figures), flush=True)


def ask_once(connection: socket.socket, request: bytes) -> int:
    """Send a request and return how many bytes its answer has, head and body."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError(f"only {answer[:100]!r} was answered")
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if not head.startswith(b"HTTP/1.1 200 ") or b"content-length" not in fields:
        raise ConnectionError(f"answered {head!r}")
    missing = int(fields[b"content-length"]) - len(body)
    if missing and len(connection.recv(missing, socket.MSG_WAITALL)) != missing:
        raise ConnectionError("an answer was cut off")
    return len(head) + 4 + int(fields[b"content-length"])


def _is_page(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 200 ")


def main() -> None:
    """Load a server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--http", action="store_true", help="ask for a page instead")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()

    connections = [connect(options.port) for _ in range(options.connections)]
    is_right: Callable[[bytes], bool]
    if options.http:
        message = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % options.port
        size = ask_once(connections[0], message)
        is_right = _is_page
    else:
        size = options.size
        message = bytes(index * 31 % 251 for index in range(size))
        is_right = message.__eq__
    report(lambda seconds: exchange(connections, message, size, is_right, seconds), options.seconds)


if __name__ == "__main__":
    main()
