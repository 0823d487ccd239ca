"""Which thread serves which client?

Four sub-reactors and five clients.  The main thread accepts, chooses a sub-reactor in turn and
wakes it, since it sleeps in `poll`; from then on all that concerns the connection happens in that
one thread.  The fifth client is again Thread-1's.
"""

import re

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Stage

THREADS = ["Thread-1", "Thread-2", "Thread-3", "Thread-4", "Thread-1"]


def play(stage: Stage) -> None:
    """Five clients, a line each; then look at whose line of the trace is whose."""
    server = stage.start("poll-server-multithreads", "--port", "0")
    port = server.port()
    owner: dict[str, str] = {}
    clients = []
    for number, _ in enumerate(THREADS, 1):
        clients.append(LineClient(stage, f"client {number}", port))
        fd = server.expect(r"new connection established, socket == (\d+)")[1]
        owner[fd] = server.expect(rf"add channel fd == {fd}, (.*)$")[1]
    stage.check(
        "connections are handed out in turn",
        list(owner.values()) == THREADS,
        ", ".join(owner.values()),
    )
    woken = [thread for thread in THREADS[:4] if server.said(rf"\[msg\] wakeup, {thread}$")]
    stage.check("each sub-reactor was woken for it", woken == THREADS[:4], ", ".join(woken))

    answers = {client.ask("fasfas") for client in reversed(clients)}
    stage.check("all are answered", answers == {"snfsnf"})
    for client in clients:
        client.leave()
    for _ in clients:
        server.expect("connection closed")

    events: dict[str, set[str]] = {}
    for line in server.lines:
        if match := re.search(r"activate channel fd == (\d+), revents=\d, (.*)$", line):
            events.setdefault(match[1], set()).add(match[2])
    stage.check(
        "all events of a connection are handled by the thread that it was handed to",
        all(events[fd] == {thread} for fd, thread in owner.items()),
        "; ".join(f"fd {fd}: {', '.join(events[fd])}" for fd in owner),
    )
    stage.check(
        "the main thread has handled none of them",
        not any("main thread" in events[fd] for fd in owner),
    )
