"""Does a connection live on whose heartbeats are answered late, but answered?

The server naps before each PONG for longer than the client waits between two PINGs, and for less
than the client is patient.  So a second PING may go out before the first PONG is back, and each
PONG sets the count to 0: after a while of silence the client begins again with #1.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Let two rounds go by, twenty times as fast as in the course."""
    server = stage.start("pingserver", "0.25", "--port", "0")
    client = stage.start(
        *("pingclient", "--port", server.port()),
        *("--time", "0.5", "--interval", "0.15", "--probes", "20"),
    )
    for _ in range(2):
        client.expect("sending heartbeat #1")
        client.expect("received heartbeat, make heartbeats to 0")
    answered = sum(line.startswith("received heartbeat") for line in client.lines)
    stage.check("two rounds of PINGs were answered", answered >= 2, f"{answered} answers")
    stage.check(
        "the client still holds the connection to be alive",
        client.running and not client.said("connection dead"),
    )
    client.interrupt()
    client.expect_exit(130)
