"""When three children die at once, why must the parent reap in a loop?

Three clients, three processes.  All clients leave while the parent is stopped, so that it hears of
all three deaths at once: a signal that is pending already is not noted a second time, and three
SIGCHLD become one.  A handler that reaps until nobody is left takes all three off the process
table; one that reaps once a signal leaves two zombies there for as long as the parent lives.
"""

import os
import re

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Actor, Stage

CLIENTS = 3


def play(stage: Stage) -> None:
    """Let three leave at once, with a handler that loops and with one that does not."""
    if not os.path.exists("/proc/self/stat"):
        stage.skip("the process table is read from /proc, which only Linux has")

    looping = stage.start("fork01", "--port", "0", name="fork01")
    port = all_leave_at_once(stage, looping)
    for _ in range(CLIENTS):
        looping.expect(r"process \d+ reaped, status 0")
    left = children(looping.pid)
    stage.check("reaping in a loop leaves no zombie", not left, show(left))
    late = LineClient(stage, "a late client", port)
    stage.check("and the next client is served", late.ask("afasfa") == "nsnfsn")
    late.leave()

    once = stage.start("fork01", "--port", "0", "--reap", "once", name="fork01 --reap once")
    port = all_leave_at_once(stage, once)
    once.expect(r"process \d+ reaped, status 0")
    late = LineClient(stage, "a late client", port)
    late.ask("agasgasg")  # when it is served, the handler has long been through
    zombies = {pid: state for pid, state in children(once.pid).items() if state == "Z"}
    stage.note(f"the process table: {show(zombies)}")
    stage.check(
        "reaping once a signal leaves all but one as zombies",
        len(zombies) == CLIENTS - 1,
        show(zombies),
    )
    late.leave()


def all_leave_at_once(stage: Stage, server: Actor) -> str:
    """Have clients served, and all of them leave while the parent hears nothing of it."""
    port = server.port()
    clients = [LineClient(stage, f"client {number}", port) for number in range(1, CLIENTS + 1)]
    answers = {client.ask("afasfa") for client in clients}
    alive = children(server.pid)
    stage.check(
        "each client has a process of its own",
        len(alive) == CLIENTS and "Z" not in alive.values() and answers == {"nsnfsn"},
        show(alive),
    )
    server.pause()
    for client in clients:
        client.leave()
    stage.wait_until(
        lambda: list(children(server.pid).values()) == ["Z"] * CLIENTS,
        "all children dead and not yet reaped",
    )
    stage.note(f"the process table: {show(children(server.pid))}")
    server.resume()
    return port


def children(parent: int) -> dict[int, str]:
    """Read the process table: the children of ``parent`` and the state of each (Z: a zombie)."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", errors="replace") as file:
                row = file.read()
        except OSError:  # it has ended meanwhile
            continue
        match = re.search(r".*\) (\S) (\d+)", row, re.DOTALL)
        if match and int(match[2]) == parent:
            found[int(name)] = match[1]
    return found


def show(processes: dict[int, str]) -> str:
    """Write a few rows of the process table in one line."""
    return ", ".join(f"{pid} {state}" for pid, state in sorted(processes.items())) or "no children"
