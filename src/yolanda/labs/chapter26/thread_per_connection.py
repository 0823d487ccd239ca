"""What does the end of one thread do to the others?

Three clients, three threads of one process.  One client crashes: its connection is reset, and its
thread ends with an error.  (The course's program ends there as a whole.)  The others are served as
before, and a thread that has ended needs nobody to wait for it: it is detached.
"""

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Serve three, lose one, serve on."""
    server = stage.start("thread01", "--port", "0")
    port = server.port()
    clients = [LineClient(stage, f"client {number}", port) for number in (1, 2, 3)]
    threads = {server.expect(r"new thread, fd == \d+, tid == (\d+)")[1] for _ in clients}
    stage.check(
        "each client has a thread of its own", len(threads) == 3, ", ".join(sorted(threads))
    )
    answers = [client.ask("aaa") for client in clients]
    stage.check("each is answered, though none has left", answers == ["nnn"] * 3)

    clients[1].reset()
    reason = server.expect(r"end of thread.*ECONNRESET\]")
    stage.check("the reset ends one thread", True, reason[0])
    answers = [client.ask("bbb") for client in (clients[0], clients[2])]
    stage.check("the other two are served as before", answers == ["ooo"] * 2)

    clients[0].leave()
    clients[2].leave()
    for _ in range(2):
        server.expect("end of thread")
    late = LineClient(stage, "a late client", port)
    stage.check("and so is whoever comes later", late.ask("ccc") == "ppp")
