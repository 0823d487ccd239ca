"""How often can a UDP socket be connected, and how is it disconnected?

A client connects to one server, then to another, then to AF_UNSPEC, and tries in each state what
gets through.  The servers are told when a datagram of theirs is refused.
"""

import re
import socket

from yolanda.labs.stage import Actor, Stage

REFUSED = "Connection refused [ECONNREFUSED]"
RECEIVED = "the client received it"


def play(stage: Stage) -> None:
    """Watch the program go through its four states, twice."""
    client = stage.start("udpreconnect", "--port", str(_free_port()))
    states = {state: _state(client, state) for state in _STATES}
    client.expect_exit(0)
    stage.check(
        "without a peer, both servers reach the client, and it cannot send without an address",
        states["not connected"] == ("Destination address required", RECEIVED, RECEIVED),
    )
    first = states["connected to the first"]
    stage.check(
        "connected, it sends to the first, and the second is refused",
        first == ("the first server received it", RECEIVED, REFUSED),
        "; ".join(first),
    )
    second = states["connected again, to the second"]
    stage.check(
        "connected again, it is the other way round",
        second == ("the second server received it", REFUSED, RECEIVED),
        "; ".join(second),
    )
    stage.check(
        "AF_UNSPEC: all is as it was before",
        states["connected to AF_UNSPEC"] == states["not connected"],
    )

    client = stage.start("udpreconnect", "--port", "0", name="a port the kernel chose")
    client.expect("connected to AF_UNSPEC")
    port = client.expect(r"local .*:(\d+), peer none")[1]
    client.expect_exit(0)
    stage.check(
        "a port that the kernel chose is gone with the peer (on Linux)", port == "0", f"port {port}"
    )


_STATES = (
    "not connected",
    "connected to the first",
    "connected again, to the second",
    "connected to AF_UNSPEC",
)


def _state(client: Actor, state: str) -> tuple[str, str, str]:
    """Return what became of the client's datagram, and of each server's."""
    client.expect(f"^{state}:$")
    sent = client.expect("client sends: (.*)")[1]
    answers = [client.expect(f"{name} server sends: (.*)")[1] for name in ("first", "second")]
    return re.sub(r" \[EDESTADDRREQ\]$", "", sent), answers[0], answers[1]


def _free_port() -> int:
    """Find a port that nobody has: the client has to ask for it by its number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
