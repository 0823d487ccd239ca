"""If nobody reads what has arrived, how often does epoll_wait wake?

Level-triggered (epoll03): again and again, as long as there is something to read.
Edge-triggered (epoll02): once for each arrival, and then it sleeps on the unread bytes.  What
arrives later is an edge of its own.  Neither reads; a client sends the same to both.
"""

import sys
from pathlib import Path

from yolanda.labs.stage import Actor, Stage

MANY = 50


def play(stage: Stage) -> None:
    """Send a line to both servers, and one more to the edge-triggered one."""
    if sys.platform != "linux":
        stage.skip("epoll is Linux's own")
    edge = stage.start("epoll02", "--port", "0")
    level = stage.start("epoll03", "--port", "0", "--wakeups", str(MANY))
    clients = [stage.connect(server.port()) for server in (edge, level)]
    level.expect("epoll_wait wakeup")
    # Only then: bytes that come while they are being put in the list may be told of twice.
    stage.wait_until(lambda: watched(edge) == 2, "listener and connection in the list of epoll")
    stage.note("a client sends asfafas to each")
    for client in clients:
        client.sendall(b"asfafas\n")
    edge.expect("get event")
    level.expect_exit(0)
    told = len([line for line in level.lines if line.startswith("get event")])
    stage.check("level: told again and again of the same bytes", told == MANY - 1, f"{told} times")
    told = len([line for line in edge.lines if line.startswith("get event")])
    stage.check("edge: told once, and sleeping ever since", told == 1, f"{told} time")
    stage.note("a second line")
    clients[0].sendall(b"asfafas\n")
    edge.expect("get event")
    clients[0].close()
    edge.expect("closed by the other end")
    told = len([line for line in edge.lines if line.startswith("get event")])
    stage.check("edge: told once more when more arrives", told == 2, f"{told} times in all")


def watched(server: Actor) -> int:
    """Count the descriptors in the list of the server's epoll, which the kernel shows."""
    folder = Path(f"/proc/{server.pid}/fdinfo")
    return sum(descriptor.read_text().count("tfd:") for descriptor in folder.iterdir())
