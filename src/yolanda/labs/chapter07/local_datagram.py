"""How does a local datagram server find the way back?

By the path that the client has bound for itself: a temporary one, which is there as long as the
client runs and no longer, however it is ended.  One that has no path is heard, and cannot be
answered.  And where UDP would send into the void, a local client is told that its server has gone.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Ask with two clients, end each in another way, ask without a path, and kill the server."""
    path = stage.folder / "unixdata.sock"
    temporary = stage.folder / "tmp"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    server = stage.start("unixdataserver", str(path))
    server.expect("listening on ")
    clients = [
        stage.start("unixdataclient", str(path), name=f"client {n}", env=env) for n in (1, 2)
    ]
    for turn in range(3):
        client = clients[turn % 2]
        client.type(f"g{turn + 1}")
        client.expect(f"^Hi, g{turn + 1}$")
        server.expect(f"^now sending: Hi, g{turn + 1}$")
    first = [line for line in clients[0].lines if line.startswith("Hi, ")]
    stage.check("each gets its own answers", first == ["Hi, g1", "Hi, g3"], "; ".join(first))
    paths = [path for path in temporary.rglob("*") if path.is_socket()]
    for own in paths:
        stage.note(f"a client's path: {own.relative_to(stage.folder)}")
    stage.check("each has a path of its own", len(paths) == 2, f"{len(paths)} sockets in TMPDIR")
    clients[0].interrupt()
    clients[1].terminate()
    for client in clients:
        client.expect_exit()
    left = list(temporary.iterdir())
    stage.check("after Ctrl+C and kill nothing is left of them", not left, left or "TMPDIR empty")

    nameless = stage.start(
        "unixdataclient", str(path), "--no-bind", "--timeout", "0.3", name="without a path"
    )
    nameless.type("g4")
    server.expect("^Receive: g4$")
    server.expect("^nobody to answer")
    nameless.expect_exit(1)
    stage.check(
        "without a path it is heard and not answered",
        nameless.said("ETIMEDOUT") and not nameless.said("Hi, "),
        nameless.lines[-1],
    )

    client = stage.start("unixdataclient", str(path), name="client 3", env=env)
    client.type("g5")
    client.expect("^Hi, g5$")
    server.kill()
    client.type("g6")
    client.expect_exit(1)
    stage.check(
        "the death of the server is told to the one who sends",
        client.said(r"sendto .* failed: Connection refused \[ECONNREFUSED\]"),
        client.lines[-1],
    )
