"""In what pieces do two sends arrive?

The director calls `send` twice, with `network` and with `program`, and the server shows what each
of its calls of `recv` got: both at once, because it was late; the second torn apart, because its
buffer was small; the first torn apart, because the sender's kernel had sent part of it before (the
director plays that kernel).  The order of the bytes is all that never changes.
"""

from yolanda.labs.stage import Actor, Stage

WHOLE = "networkprogram"


def play(stage: Stage) -> None:
    """Play the three cases of the chapter, each on a connection of its own."""
    server = stage.start("read_line", "--port", "0", "--reader", "recv", name="ordinary")
    port = server.port()
    small = stage.start(
        "read_line", "--port", "0", "--reader", "recv", "--size", "10", name="small"
    )
    small_port = small.port()

    pieces = arrive(stage, server, port, [b"network", b"program"])
    stage.check("two sends arrived as one piece", pieces == ["networkprogram"], pieces)

    pieces = arrive(stage, small, small_port, [b"network", b"program"])
    stage.check(
        "a part of the second came with the first", pieces == ["networkpro", "gram"], pieces
    )

    pieces = arrive(stage, server, port, [b"work", b"program"], before=b"net")
    stage.check(
        "a part of the first came with the second", pieces == ["net", "workprogram"], pieces
    )


def arrive(
    stage: Stage, server: Actor, port: str, sends: list[bytes], before: bytes = b""
) -> list[str]:
    """Send while the server stands still; return what its calls of `recv` got."""
    connection = stage.connect(port)
    pieces: list[str] = []
    if before:
        connection.sendall(before)
        stage.note(f"sent {before!r}")
        pieces.append(server.expect(r"recv \d+ bytes: b'(.*)'")[1])
    server.pause()
    for data in sends:
        connection.sendall(data)
        stage.note(f"sent {data!r}")
    waiting = sum(map(len, sends))
    stage.wait_until(lambda: held(stage, port, connection.getsockname()[1]) == waiting, "the bytes")
    connection.close()
    server.resume()
    while sum(map(len, pieces)) < len(WHOLE):
        pieces.append(server.expect(r"recv \d+ bytes: b'(.*)'")[1])
    server.expect("client closed")
    return pieces


def held(stage: Stage, server_port: str, client_port: int) -> int:
    """Ask the kernel how many bytes it holds for the server."""
    rows = stage.sockets(client_port)
    return sum(row.receive_queue for row in rows if row.local.endswith(f":{server_port}"))
