"""Which end of a closed connection keeps it in TIME_WAIT?

Two connections: of one the client closes first, of the other the server.  The kernel's table shows
each step, and once more after both programs have ended, for TIME_WAIT belongs to no process.
"""

from yolanda.labs.stage import Actor, Stage


def play(stage: Stage) -> None:
    """Close each end first, once."""
    judge(stage, stage.start("timewait", "--port", "0", "--first", "client", name="client first"))
    judge(stage, stage.start("timewait", "--port", "0", "--first", "server", name="server first"))


def judge(stage: Stage, actor: Actor) -> None:
    """Compare what the program saw with what the kernel still knows."""
    first, second = actor.name.split()[0], "server"
    if first == "server":
        second = "client"
    port = actor.port()
    actor.expect(f"{second} read 0 bytes, then the end: a FIN came")
    actor.expect("both closed:")
    lines = [actor.expect(r"^    (client|server) \S+ (\w+)")[0].strip() for _ in range(2)]
    actor.expect_exit(0)
    states = {line.split()[0]: line for line in lines}
    stage.check(
        f"{actor.name}: the {first}'s end is in TIME_WAIT",
        "TIME_WAIT" in states[first],
        states[first],
    )
    stage.check(
        f"{actor.name}: the {second}'s end is gone", "gone" in states[second], states[second]
    )

    ends = states[first].split()[1], states[second].split()[1]
    rows = [row for row in stage.sockets(port) if (row.local, row.peer) == ends]
    stage.check(
        f"{actor.name}: the kernel keeps it, though the process is gone",
        [(row.state, row.inode) for row in rows] == [("TIME_WAIT", 0)],
        ", ".join(f"{row.state}, {row.timer_seconds:.0f} s to go" for row in rows),
    )
