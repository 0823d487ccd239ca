"""Who reads the bytes: the handler, or somebody before it?

The same rot13 server as a reactor and as a proactor, and the director as the client of both.  To
be seen: the reactor is told that it can read, and reads; the proactor has started the read before
the client sent anything, and is told when the bytes are in its buffer.
"""

from yolanda.labs.stage import Actor, Stage

REACTOR = [
    "connection from",
    "ready to be read",
    "recv: the handler reads 5 bytes, main thread",
    "ready to be written",
    "send: the handler writes 5 bytes, main thread",
    "ready to be read",
    "recv: the handler reads 0 bytes, main thread",
    "connection closed: end of stream",
]
PROACTOR = [
    "connection from",
    "read started",
    "recv_into: copies 5 bytes into the buffer, kernel",
    "read completed: 5 bytes, main thread",
    "write started: 5 bytes",
    "send: copies 5 bytes out of the buffer, kernel",
    "write completed: 5 bytes, main thread",
    "read started",
    "recv_into: copies 0 bytes into the buffer, kernel",
    "read completed: 0 bytes, main thread",
    "connection closed: end of stream",
]


def play(stage: Stage) -> None:
    """Say hello to each."""
    reactor = stage.start("proactor", "--model", "reactor", "--port", "0", name="reactor")
    proactor = stage.start("proactor", "--model", "proactor", "--port", "0", name="proactor")
    for server, last_before in ((reactor, "connection from"), (proactor, "read started")):
        port = server.port()
        with stage.connect(port) as client:
            server.expect(last_before)
            stage.note(f"the client of the {server.name} sends 'hello'")
            client.sendall(b"hello")
            answer = client.recv(100)
            stage.check(f"the {server.name} answers in rot13", answer == b"uryyb", answer)
        server.expect("connection closed")
    judge(stage, reactor, "the reactor's handler reads when it is told that it can", REACTOR)
    judge(stage, proactor, "the proactor's handler is called when the bytes are there", PROACTOR)


def judge(stage: Stage, server: Actor, claim: str, order: list[str]) -> None:
    """Compare what a server said with the order in which it should have."""
    said = [line.strip() for line in server.lines[1:]]
    in_order = len(said) == len(order) and all(
        part in line for part, line in zip(order, said, strict=True)
    )
    stage.check(claim, in_order, f"{len(said)} steps")
