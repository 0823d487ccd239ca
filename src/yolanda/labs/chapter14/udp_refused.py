"""Does a UDP client notice that its server is not there?

Nobody has the port that both clients send to, and for both the kernel gets an ICMP message that
says so.  It passes the news on to the socket that is connected; the other waits for an answer that
will never come.
"""

import socket
import sys

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Send from a connected socket, and from one that is not."""
    if not sys.platform.startswith("linux"):
        stage.skip("other systems refuse an address to a socket that has a peer")
    port = _unused_port()
    connected = stage.start("udpconnectclient", "--port", str(port), name="connected")
    connected.type("g1")
    connected.expect("send bytes: 2")
    status = connected.expect_exit()
    stage.check(
        "the connected client is refused, after a send that went well",
        status != 0 and connected.said(r"recvfrom failed: Connection refused \[ECONNREFUSED\]"),
        connected.lines[-1],
    )

    plain = stage.start(
        "udpconnectclient",
        *("--port", str(port), "--no-connect", "--timeout", "0.3"),
        name="not connected",
    )
    plain.type("g1")
    status = plain.expect_exit()
    stage.check(
        "the other hears nothing, and gives up after the time it was given",
        status != 0 and plain.said("ETIMEDOUT") and not plain.said("REFUSED"),
        plain.lines[-1],
    )


def _unused_port() -> int:
    """Find a port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
