"""Which error ends a program that only writes: ECONNRESET or EPIPE?

Both, and the dead server's receive buffer decides.  The first server is killed with bytes in it
that it never read: its kernel sends RST at once, and the next `send` fails with ECONNRESET, as the
course saw on Linux.  The second has read all: its kernel sends FIN, the next `send` succeeds and
is answered with RST, and the one after that fails with EPIPE, as the course's books say.
"""

import re

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Kill a server with bytes unread, and one without."""
    unread(stage)
    all_read(stage)


def unread(stage: Stage) -> None:
    """Kill the server after its first read, when more has come."""
    server = stage.start("reliable_server02", "--port", "0", "--pause", "60000", name="unread")
    port = server.port()
    client = stage.start("reliable_client02", "127.0.0.1", "--port", port, "--pause", "5")
    server.expect("1K read for 1 ")
    stage.wait_until(lambda: received(stage, port) > 0, "bytes that the server has not read")
    waiting = received(stage, port)
    stage.note(f"{waiting} bytes wait in the server's receive buffer")
    server.kill()
    error = client.expect("send error: .*")[0]
    client.expect_exit(1)
    stage.check("bytes were left unread: ECONNRESET", "[ECONNRESET]" in error, error)


def all_read(stage: Stage) -> None:
    """Kill the server when it has read all, while the client stands still."""
    server = stage.start("reliable_server02", "--port", "0", "--pause", "0", name="all read")
    port = server.port()
    client = stage.start("reliable_client02", "127.0.0.1", "--port", port, "--pause", "5")
    server.expect("1K read for 1 ")
    client.pause()
    stage.wait_until(lambda: received(stage, port) == 0, "the server's buffer empty")
    stage.note("no byte waits in the server's receive buffer")
    server.kill()
    stage.wait_until(
        lambda: any(row.state == "CLOSE_WAIT" for row in stage.sockets(port)), "CLOSE_WAIT"
    )
    before = sends(client.lines)
    client.resume()
    error = client.expect("send error: .*")[0]
    client.expect_exit(1)
    # One send may have been done, and not yet printed, when the client was stopped.
    after = sends(client.lines) - before
    stage.check("a send after the FIN still succeeded", after >= 1, f"{after} more sent")
    stage.check("all had been read: EPIPE", "[EPIPE]" in error, error)


def received(stage: Stage, port: str) -> int:
    """Ask the kernel how many bytes the server has not read yet."""
    rows = [row for row in stage.sockets(port) if row.state == "ESTABLISHED"]
    return sum(row.receive_queue for row in rows if row.local.endswith(f":{port}"))


def sends(lines: list[str]) -> int:
    """Count the sends that the client has reported as good."""
    return sum(bool(re.search(r"send into buffer \d+$", line)) for line in lines)
