"""How often does an edge-triggered epoll wake, and what must be done each time?

Once for each thing that happens, whatever is left to do.  So the server must accept all who wait,
not one; and read all that is there, however many reads that takes; and what a write
does not take it must keep until epoll says that there is room.
"""

import sys
import threading

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.blocking import readn, rot13

CROWD = 20
LARGE = b"why did the chicken cross the road? " * 100_000


def play(stage: Stage) -> None:
    """Bring two clients, then a crowd in one edge, then a heap of bytes."""
    if sys.platform != "linux":
        stage.skip("epoll is Linux's own")
    server = stage.start("epoll01", "--port", "0")
    port = server.port()
    clients = []
    for _ in range(2):
        clients.append(stage.connect(port))
        server.expect("epoll_wait wakeup")  # one after the other, or one edge may stand for both
    for client in clients * 2:
        client.sendall(b"fasfsafas\n")
        client.recv(100)
        server.expect("get event on socket fd")
    woken = wakeups(server)
    stage.check("two connect and write twice each: six wake-ups", woken == 6, f"{woken} wake-ups")

    stage.note(f"{CROWD} clients connect while the server stands still")
    server.pause()
    crowd = [stage.connect(port) for _ in range(CROWD)]
    server.resume()
    for client in crowd:
        client.sendall(b"uryyb\n")
    answers = [client.recv(100) for client in crowd]
    stage.check(
        "all who waited are accepted", answers == [b"hello\n"] * CROWD, f"{len(answers)} clients"
    )

    stage.note(f"a client sends {len(LARGE):,} bytes and does not read yet")
    client = clients[0]
    sender = threading.Thread(target=client.sendall, args=(LARGE,), daemon=True)
    sender.start()
    clients[1].sendall(b"fgvyy urer?\n")
    answer = clients[1].recv(100)
    stage.check("the other one is answered", answer == b"still here?\n", answer)
    received = readn(client, len(LARGE))
    sender.join(stage.patience)
    stage.check("all comes back, in order", received == rot13(LARGE), f"{len(received):,} bytes")


def wakeups(server: Actor) -> int:
    """Count how often the server has said that it woke."""
    return server.lines.count("epoll_wait wakeup")
