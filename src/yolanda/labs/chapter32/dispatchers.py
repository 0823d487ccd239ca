"""Does it matter to a program which dispatcher waits for it?

The same loop with a pipe and a timer, on every dispatcher that this platform has: select (the
chapter's exercise), poll, epoll and whatever else.  To be seen: what the callbacks print is the
same, line by line; only the framework's own lines name another dispatcher.
"""

from yolanda.labs.stage import Actor, Stage
from yolanda.reactor.dispatcher import DISPATCHERS


def play(stage: Stage) -> None:
    """Run the loop on each, all at the same time."""
    actors = [
        stage.start(
            "event-loop", "--dispatcher", name, "--interval", "20", "--ticks", "1", name=name
        )
        for name in DISPATCHERS
    ]
    for actor in actors:
        actor.expect(f"^.msg. set {actor.name} as dispatcher, main thread$")
        actor.expect(f"^.msg. {actor.name}_wait wakeup, main thread$")
        actor.expect("^the loop made")
        actor.expect_exit(0)
    expected = [
        "read from the pipe: tick 1",
        "end of the stream: the channel leaves the loop",
    ]
    for actor in actors:
        printed = answers(actor)
        stage.check(
            f"{actor.name}: the callbacks print the same", printed == expected, " / ".join(printed)
        )


def answers(actor: Actor) -> list[str]:
    """What the program's own callbacks printed."""
    return [line for line in actor.lines if not line.startswith(("[msg]", "the loop made"))]
