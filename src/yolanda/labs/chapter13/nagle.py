"""What does Nagle's algorithm cost, if acknowledgements are delayed?

The client sends a request in two small writes and waits for its answer.  The second write is held
back until the first is acknowledged, and the server's kernel puts that off for 40 ms or more.
TCP_NODELAY, one writev, or a server that acknowledges at once: each of them ends the waiting.
"""

import re
import socket

from yolanda.labs.stage import Actor, Stage

ROUNDS = 10
DELAYED_ACK = 30
"""Milliseconds, on the safe side of the 40 that Linux waits at least."""


def play(stage: Stage) -> None:
    """Ask a server that delays its acknowledgements, and one that does not."""
    if not hasattr(socket, "TCP_QUICKACK"):
        stage.skip("TCP_QUICKACK, which makes the delay certain, is Linux's alone")
    server = stage.start("nagleserver", "--port", "0", name="delayed ACK")
    client = stage.start("nagle", "--port", server.port(), "--rounds", str(ROUNDS))
    waits, at_once, in_one = (_median(client, title) for title in _TITLES)
    client.expect_exit(0)
    for _ in _TITLES:
        server.expect(rf"answered {ROUNDS} requests: {14 * ROUNDS} bytes")
    stage.check("write, write, read waits for the delayed ACK", waits >= DELAYED_ACK, f"{waits} ms")
    stage.check("TCP_NODELAY does not wait", at_once < waits, f"{at_once} ms")
    stage.check("writev does not, either", in_one < waits, f"{in_one} ms")
    packets = [int(count) for count in re.findall(r"(\d+) packets", "\n".join(client.lines))]
    stage.check(
        "writev needs the fewest packets: one a request",
        packets[2] == min(packets) and packets.count(packets[2]) == 1,
        ", ".join(map(str, packets)),
    )

    quick = stage.start("nagleserver", "--port", "0", "--ack", "quick", name="quick ACK")
    second = stage.start("nagle", "--port", quick.port(), "--rounds", str(ROUNDS), name="nagle 2")
    no_delay = _median(second, _TITLES[0])
    second.expect_exit(0)
    stage.check(
        "with ACKs at once, Nagle's algorithm hardly delays", no_delay < waits, f"{no_delay} ms"
    )


_TITLES = ("write, write, read", "with TCP_NODELAY", "writev, read")


def _median(client: Actor, title: str) -> float:
    return float(client.expect(rf"{title} +([\d.]+) ms")[1])
