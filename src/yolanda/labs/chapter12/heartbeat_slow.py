"""What does a client do whose heartbeats are not answered?

The server naps for a minute before each PONG.  The client asks three times and gives the connection
up.  TCP has noticed nothing: the server's kernel has acknowledged every PING, and holds those that
its program has not read.
"""

from yolanda.labs.stage import Stage

MESSAGE = 1028


def play(stage: Stage) -> None:
    """Ask three times in vain."""
    server = stage.start("pingserver", "60", "--port", "0")
    port = server.port()
    client = stage.start("pingclient", "--port", port, "--time", "0.6", "--interval", "0.3")
    server.expect(f"received {MESSAGE} bytes")
    client.expect("connection dead")
    client.expect_exit(1)
    asked = [line for line in client.lines if line.startswith("sending heartbeat")]
    stage.check(
        "the client asked three times before it gave up",
        asked == [f"sending heartbeat #{number}" for number in (1, 2, 3)],
        ", ".join(asked),
    )
    stage.check("no answer came", not client.said("received heartbeat"))

    local = f"127.0.0.1:{port}"
    rows = [row for row in stage.sockets(port) if row.local == local]
    rows = [row for row in rows if row.state not in ("LISTEN", "TIME_WAIT")]  # an earlier server's
    held = rows[0].receive_queue if rows else 0
    stage.check(
        "the server's kernel holds the two that were not read",
        held >= 2 * MESSAGE,
        f"{rows[0].state}, {held} bytes unread" if rows else "no such connection",
    )
