"""Does accept block when the client has gone between select and accept?

The course connects, resets (SO_LINGER {1, 0}), and lets the server sleep before accept.  There the
kernel takes the connection out of its queue, as old BSDs do, and a blocking accept hangs.  Linux
leaves it in the queue: accept returns at once, and the first read fails with ECONNRESET.

But on Linux, too, a connection can be gone: another process that shares the listening socket
accepts it first.  Then a blocking accept hangs, and clients that are there already wait until
somebody else connects.  A non-blocking accept fails with EAGAIN, and the server goes on.
"""

import socket
import sys

from yolanda.labs.stage import Actor, Stage

PAUSE = "0.3"
LONG = 1.0
"""Seconds without an answer that count as none: far more than the pause."""


def play(stage: Stage) -> None:
    """Reset before accept; then let another process be faster."""
    if sys.platform != "linux":
        stage.skip("what accept does with a connection that was reset is judged for Linux")
    arguments = ["--port", "0", "--pause", PAUSE]
    blocking = stage.start(
        "nonblockingserver", *arguments, "--blocking-accept", "--taken", "3", name="blocking"
    )
    nonblocking = stage.start("nonblockingserver", *arguments, "--taken", "2", name="non-blocking")

    port = blocking.port()
    resetter = stage.start("nonblockingclient", "127.0.0.1", "--port", port)
    resetter.expect("RST is sent")
    line = blocking.expect("^accept").string
    stage.check(
        "Linux: a blocking accept returns a connection that was reset", "accepted" in line, line
    )
    line = blocking.expect("^socket fd|^closed").string
    stage.check("Linux: the first read finds it out", "ECONNRESET" in line, line)

    client = overtake(stage, nonblocking, nonblocking.port())
    line = nonblocking.expect("^accept").string
    stage.check("overtaken, a non-blocking accept returns at once", "EAGAIN" in line, line)
    answer = client.recv(100)
    stage.check("and another client is answered", bool(answer), answer)

    client = overtake(stage, blocking, port)
    client.settimeout(LONG)
    try:
        answer = client.recv(100)
    except TimeoutError:
        answer = b""
    stage.check("overtaken, a blocking accept hangs: no answer", not answer, f"for {LONG:g} s")
    stage.note("somebody else connects")
    stage.connect(port)
    line = blocking.expect("^accept").string
    client.settimeout(stage.patience)
    answer = client.recv(100)
    stage.check("until somebody else connects", bool(answer), answer)


def overtake(stage: Stage, server: Actor, port: str) -> socket.socket:
    """Let another process take a connection from the server, and ask over one that it has."""
    client = stage.connect(port)
    server.expect("accepted")
    stage.note("a second client connects, and another process accepts it first")
    stage.connect(port)
    server.expect("another process accepted")
    client.sendall(b"fasfasfasf\n")
    return client
