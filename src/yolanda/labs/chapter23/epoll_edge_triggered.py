"""How often does an edge-triggered epoll wake, and what must be done each time?

Once for each thing that happens, whatever is left to do.  So the server must accept all who wait,
not one; and read all that is there, however many reads that takes; and what a write
does not take it must keep until epoll says that there is room.
"""

import socket
import sys
import threading
from pathlib import Path

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
    for number in (1, 2):
        clients.append(stage.connect(port))
        # One after the other, or a single edge may stand for two things.
        wait_until_watched(stage, server, clients=number)
        ask(server, clients[-1])
    for client in clients:
        ask(server, client)
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


def ask(server: Actor, client: socket.socket) -> None:
    """Send a line and wait for the answer, and for what the server says about it."""
    client.sendall(b"fasfsafas\n")
    client.recv(100)
    server.expect("get event on socket fd")


def wait_until_watched(stage: Stage, server: Actor, clients: int) -> None:
    """Wait until listener and clients are in the server's epoll list, which the kernel shows."""
    folder = Path(f"/proc/{server.pid}/fdinfo")

    def watched() -> int:
        return sum(descriptor.read_text().count("tfd:") for descriptor in folder.iterdir())

    stage.wait_until(lambda: watched() == clients + 1, "the client in the list of epoll")


def wakeups(server: Actor) -> int:
    """Count how often the server has said that it woke."""
    return server.lines.count("epoll_wait wakeup")
