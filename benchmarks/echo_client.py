"""The load of the echo benchmark: ``echo_client.py PORT --connections N --size S --seconds T``.

A client that is slower than the server leaves it idle after every message, and then each message
pays for a wake-up of its own, in the server that is measured.  So this one keeps the server busy:

- the connections form two groups, and while the client reads the answers of one group the server
  has the other group's messages to work at;
- a group is sent in a burst, with plain blocking calls and no selector;
- answers are read from the last connection back to the first, so that the client sleeps, and has
  to be woken, once a group and not once a message.

It warms the server up, says ``ready``, waits for a line on its standard input, and prints its
figures as JSON.  Both pauses leave the server idle, so that its CPU time can be read exactly.
"""

import argparse
import gc
import json
import socket
import struct
import time
from collections.abc import Sequence

WARM_UP = 0.3  # seconds
PATIENCE = 10  # seconds without an answer, or without room to send, that end the run


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.settimeout(None)  # the kernel's time-outs cost no call of poll for each message
    patience = struct.pack("@ll", PATIENCE, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send_group(group: Sequence[socket.socket], message: bytes, sent_at: list[float]) -> None:
    now = time.perf_counter
    sent_at.clear()
    for connection in group:
        sent_at.append(now())
        connection.sendall(message)


def read_group(
    group: Sequence[socket.socket], answer: bytearray, sent_at: list[float], trips: list[float]
) -> None:
    now = time.perf_counter
    size = len(answer)
    for connection in reversed(group):
        received = connection.recv_into(answer, size, socket.MSG_WAITALL)
        if received != size:
            raise ConnectionError(f"{received} bytes came back of {size}")
        trips.append(now() - sent_at.pop())


def exchange(
    connections: Sequence[socket.socket], message: bytes, expected: bytes, seconds: float
) -> tuple[list[float], float]:
    """Exchange messages for so many seconds; return the round trips' and the whole duration."""
    answer = bytearray(len(expected))
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
        if answer != expected:
            raise ConnectionError(f"{bytes(answer[:32])!r}... came back for {expected[:32]!r}...")
    return trips, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()

    message = bytes(index * 31 % 251 for index in range(options.size))
    connections = [connect(options.port) for _ in range(options.connections)]
    exchange(connections, message, message, WARM_UP)
    gc.disable()
    print("ready", flush=True)
    input()
    cpu = time.process_time()
    trips, seconds = exchange(connections, message, message, options.seconds)
    cpu = time.process_time() - cpu
    trips.sort()
    figures = {
        "messages": len(trips),
        "seconds": seconds,
        "p99": trips[int(len(trips) * 0.99)],
        "client_cpu": cpu,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
