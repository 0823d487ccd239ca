"""Of many connections one speaks: how many does epoll hand over?

The server of chapter 28, on epoll.  Six clients are connected and one says a line: epoll_wait wakes
one thread with one descriptor, and nobody looks at the others.  Edge-triggered it looks no
different from here: the framework does what an edge demands, and reads until there is no more.
"""

import re
import select

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Connect six, let one speak, and look at the trace of that moment; then edge-triggered."""
    if not hasattr(select, "epoll"):
        stage.skip("this system has no epoll")
    for mode in ([], ["--edge"]):
        name = "edge-triggered" if mode else "level-triggered"
        server = stage.start("epoll-server-multithreads", "--port", "0", *mode, name=name)
        port = server.port()
        loops = sum("as dispatcher" in line for line in server.lines)
        stage.check("the main reactor and four others have an epoll each", loops == 5, loops)
        clients = []
        owner: dict[str, str] = {}
        for number in range(1, 7):
            clients.append(LineClient(stage, f"client {number}", port))
            fd = server.expect(r"new connection established, socket == (\d+)")[1]
            owner[fd] = server.expect(rf"add channel fd == {fd}, (Thread-\d)$")[1]
        before = len(server.lines)

        talker, thread = list(owner.items())[2]
        answer = clients[2].ask("fafaf")
        server.expect("write completed")
        moment = server.lines[before:]
        woken = re.findall(r"epoll\S*_wait wakeup, (.*)", "\n".join(moment))
        active = re.findall(r"activate channel fd == (\d+)", "\n".join(moment))
        stage.check("the one that spoke is answered", answer == "snsns")
        stage.check(
            "one thread was woken, for one descriptor of six",
            (set(woken), active) == ({thread}, [talker]),
            f"{', '.join(set(woken))}: fd {', '.join(active)}",
        )
        for client in clients:
            client.leave()
        for _ in clients:
            server.expect("connection closed")
        server.interrupt()
        server.expect_exit(0)
