"""The load of handshakes: ``python -m yolanda.bench.clients.handshake PORT --seconds T``.

Connects, shakes hands, asks for the page, reads it and closes, again and again, two connections in
turn: while the client makes its part of one handshake the server has the other's to work at.  No
session is resumed, as with clients that come for the first time.

It warms the server up, says ``ready``, waits for a line on its standard input, and prints its
figures as JSON.
"""

import argparse
import json
import socket
import ssl
import time
from collections.abc import Iterator

WARM_UP = 50  # handshakes
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def visit(port: int, context: ssl.SSLContext) -> Iterator[None]:
    """One connection, in steps between which others get their turn."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

        def exchange() -> Iterator[None]:
            raw.sendall(outgoing.read())
            yield
            data = raw.recv(65536)
            if not data:
                raise ConnectionError("the server ended in the handshake")
            incoming.write(data)

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                yield from exchange()
        if tls.session_reused:
            raise RuntimeError("the session was resumed")
        tls.write(REQUEST)
        answer = b""
        while b"\r\n\r\n" not in answer:
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                yield from exchange()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"answered {answer[:100]!r}")


def run(port: int, context: ssl.SSLContext, count: int, end: float) -> list[float]:
    """Visit until the time is ``end`` or ``count`` visits are over; return how long each took."""
    durations: list[float] = []
    now = time.perf_counter
    open_visits = [(now(), visit(port, context)) for _ in range(2)]
    while open_visits:
        for entry in list(open_visits):
            begun, steps = entry
            if next(steps, steps) is steps:  # it is over
                open_visits.remove(entry)
                durations.append(now() - begun)
                if now() < end and len(durations) < count:
                    open_visits.append((now(), visit(port, context)))
    return durations


def main() -> None:
    """Load a server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    run(options.port, context, WARM_UP, time.perf_counter() + 10)
    print("ready", flush=True)
    input()
    start, cpu = time.perf_counter(), time.process_time()
    durations = sorted(run(options.port, context, 1 << 62, start + options.seconds))
    figures = {
        "messages": len(durations),
        "seconds": time.perf_counter() - start,
        "p50": durations[len(durations) // 2],
        "p99": durations[len(durations) * 99 // 100],
        "client_cpu": time.process_time() - cpu,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
