"""What does connect do that would have to wait, and who says how it ended?

It fails with EINPROGRESS and goes on in the kernel, while the program does other work.  When that
is decided the socket is writable, be it connected or refused: SO_ERROR tells the two apart.  The
queue of the server here is full at first, so that its kernel does not answer; a client that
has waited long enough gives up.
"""

import socket
import sys

from yolanda.labs.stage import Actor, Stage


def play(stage: Stage) -> None:
    """Connect to a full server that gets room, and to a port where nobody listens."""
    if sys.platform != "linux":
        stage.skip("what a full queue does is judged for Linux")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = str(server.getsockname()[1])
        stage.connect(port)
        stage.wait_until(
            lambda: any(row.receive_queue for row in stage.sockets(port) if row.state == "LISTEN"),
            "a connection in the server's queue",
        )
        stage.note("a connection waits to be accepted, and there is no room for a second one")
        patient = connect(stage, port, "30", name="patient")
        hasty = connect(stage, port, "0.2", name="hasty")
        started = patient.expect("^connect: ").string
        stage.check("connect returns before it has connected", "EINPROGRESS" in started, started)
        worked = patient.expect("doing other work").string
        stage.check("meanwhile the program does something else", True, worked)
        hasty.expect_exit(1)
        stage.check("or gives up, when it likes", hasty.said("ETIMEDOUT"), hasty.lines[-1])

        stage.note("the server accepts: there is room again, when the kernel sends its next SYN")
        server.accept()[0].close()
        seen = [patient.expect(what).string for what in ("^select: ", "^SO_ERROR: ")]
        connected = patient.expect_exit() == 0
        stage.check(
            "connected: writable, and no error",
            connected and seen[1] == "SO_ERROR: 0",
            ", ".join(seen),
        )

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # the port is taken, but nobody listens
        refused = connect(stage, str(silent.getsockname()[1]), "30", name="refused")
        seen = [refused.expect(what).string for what in ("^select: ", "^SO_ERROR: ")]
        refused.expect_exit(1)
    writable = seen[0].endswith("writable") and refused.said("ECONNREFUSED")
    stage.check("refused: writable as well, and the error is waiting", writable, ", ".join(seen))


def connect(stage: Stage, port: str, timeout: str, *, name: str) -> Actor:
    """Start a client that connects without waiting."""
    arguments = ["--port", port, "--tick", "0.1", "--timeout", timeout]
    return stage.start("nonblockingconnect", *arguments, name=name)
