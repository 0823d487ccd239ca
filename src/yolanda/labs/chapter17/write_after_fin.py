"""What does a write get after the peer has died, and what the read after it?

The client has its answer and waits for the next line when the server is killed.  Its kernel knows
at once (CLOSE_WAIT), but nobody tells the program, which is not asking.  Then it sends a line:
that works, for a FIN only says that the peer will *send* no more.  The dead server's kernel answers
with RST; still the `recv` that follows gets the end of the stream on Linux, where a FIN that has
come before counts more.  (The course saw "Connection reset by peer" on macOS.)
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Let the client have an answer, kill the server, and let the client go on."""
    server = stage.start("reliable_server01", "--port", "0", "--pause", "0")
    port = server.port()
    client = stage.start("reliable_client01", "127.0.0.1", "--port", port)
    client.type("bad")
    client.expect("^bad$")
    # Known by both ends, for the kernel may still show somebody who had the same port before.
    (ours,) = {
        row.local
        for row in stage.sockets(port)
        if row.peer.endswith(f":{port}") and row.state == "ESTABLISHED"
    }
    server.kill()
    states: list[str] = []

    def fin_has_come() -> bool:
        states[:] = [row.state for row in stage.sockets(port) if row.local == ours]
        return "CLOSE_WAIT" in states

    stage.wait_until(fin_has_come, "CLOSE_WAIT")
    stage.note(f"the kernel has the client's socket in {states[0]}")
    stage.check("the kernel knows that the peer has closed", states == ["CLOSE_WAIT"], states[0])
    stage.check("the program does not: it waits for input", client.running, client.lines[-1])

    client.type("bad2")
    end = client.expect("peer connection closed|read failed|write failed")[0]
    client.expect_exit(1)
    stage.check("the send after the FIN succeeded", "write" not in end, "no error of send")
    stage.check("the recv after it saw the end of the stream", end.startswith("peer"), end)
    left = [row.state for row in stage.sockets(port) if row.local == ours]
    stage.check("nothing is left of the connection: RST ends it without TIME_WAIT", not left, left)
