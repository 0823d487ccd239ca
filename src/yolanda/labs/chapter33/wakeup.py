"""How does a loop that sleeps hear of new work?

A sub-reactor sleeps in its dispatcher, for up to an hour, and is woken by a byte; another one is
given its work without the byte.  To be seen: the first handles it at once, the second when its
time-out is over; and neither was given anything before its loop was there.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """With the byte and without."""
    woken = stage.start("wakeup", "--timeout", "3600000", "--interval", "50", name="byte")
    asleep = stage.start(
        "wakeup", "--no-byte", "--timeout", "300", "--interval", "10", name="no byte"
    )
    for actor in (woken, asleep):
        actor.expect("handled: quit")
        actor.expect_exit(0)
    stage.check(
        "a byte wakes a loop that would have slept for an hour",
        woken.said(r"wakeup by \d+ byte") and not woken.said("time-out"),
        "no time-out",
    )
    stage.check(
        "without it, what is pending lies there until the time-out",
        asleep.said("time-out") and not asleep.said("wakeup"),
        "no wake-up",
    )
    for actor in (woken, asleep):
        said = [line.split(",")[0] for line in actor.lines]
        ready = said.index("event loop thread init and signal")
        stage.check(
            f"{actor.name}: the main thread went on when the sub-reactor was ready",
            ready < said.index("event loop thread started: Thread-1") < len(said),
            f"line {ready + 1} came first",
        )
