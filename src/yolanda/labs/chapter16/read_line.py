"""What becomes of three lines that arrive in odd pieces?

Three lines, ended by CR LF, LF and CR, are sent in four pieces: one ends between CR and LF, one
has the end of a line and the beginning of the next.  Four readers get the same pieces.  Ours finds
the three lines.  One recv for one line finds four.  The course's first finds them with more than
one call of recv a byte.  The course's second forgets what its buffer still held.
"""

from yolanda.labs.stage import Stage

PIECES = [b"net", b"work\r", b"\nprogram\ngo", b"od\r"]
LINES = ["network", "program", "good"]
READERS = ["line", "recv", "byte", "forgetful"]


def play(stage: Stage) -> None:
    """Send the pieces to each reader, each piece when the one before has been read."""
    servers = [
        stage.start("read_line", "--port", "0", "--reader", reader, name=reader)
        for reader in READERS
    ]
    ports = [server.port() for server in servers]
    found: dict[str, list[str]] = {}
    calls: dict[str, int] = {}
    for reader, server, port in zip(READERS, servers, ports, strict=True):
        connection = stage.connect(port)
        for piece in PIECES:
            stage.note(f"send {piece!r}")
            connection.sendall(piece)
            if reader != "byte":  # whose pieces are bytes, whatever arrives
                server.expect("recv")
        connection.close()
        calls[reader] = int(server.expect(r"client closed, (\d+) calls of recv")[1])
        found[reader] = [
            line.partition(": ")[2] for line in server.lines if line.startswith("received")
        ]
    size = sum(map(len, PIECES))
    stage.check("ours finds the three lines", found["line"] == LINES, found["line"])
    stage.check("one recv is not one line", len(found["recv"]) == len(PIECES), found["recv"])
    stage.check("byte by byte they are found as well", found["byte"] == LINES, found["byte"])
    stage.check(
        f"but at more than {size} calls of recv for {size} bytes",
        calls["byte"] > size,
        f"{calls['byte']} calls, ours {calls['line']}",
    )
    lost = "good" not in found["forgetful"]
    stage.check("what a call left in the buffer is lost", lost, found["forgetful"])
