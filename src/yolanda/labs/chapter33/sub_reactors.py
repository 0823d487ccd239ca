"""Who gets the next connection?

Two servers with two sub-reactors each, one that hands out by turns and one that gives to the
thread with the least connections.  Six clients come, all three of Thread-1 leave, and four come
anew.  To be seen: by turns, Thread-2 keeps what it has and gets half of the new ones on top; with
least-connections the thread that has become idle gets them.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Let clients come and go, in both ways."""
    first, second = hand_out(stage, "round-robin")
    stage.check(
        "round-robin: Thread-2 has more than twice as many",
        second > 2 * first,
        f"Thread-1 {first}, Thread-2 {second}",
    )
    first, second = hand_out(stage, "least-connections")
    stage.check(
        "least-connections: both have as many, or one more",
        abs(first - second) <= 1,
        f"Thread-1 {first}, Thread-2 {second}",
    )


def hand_out(stage: Stage, choice: str) -> tuple[int, int]:
    """Let clients come and go; how many Thread-1 and Thread-2 have then."""
    server = stage.start(
        "sub-reactors", "--port", "0", "--threads", "2", "--choice", choice, name=choice
    )
    port = server.port()
    has = {"Thread-1": 0, "Thread-2": 0}
    clients = []

    def connect() -> None:
        client = stage.connect(port)
        name = server.expect(r"connection completed .*, (Thread-\d) has")[1]
        has[name] += 1
        clients.append((name, client))

    for _ in range(6):
        connect()
    stage.note("the clients of Thread-1 leave, and four others come")
    for name, client in clients:
        if name == "Thread-1":
            client.close()
            server.expect("connection closed .*, Thread-1 has")
            has[name] -= 1
    server.settle()  # the main reactor has to hear of it from Thread-1 before it chooses
    for _ in range(4):
        connect()
    return has["Thread-1"], has["Thread-2"]
