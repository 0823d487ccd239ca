"""Two threads count to 2000 in the same place: does it hold 4000 in the end?

Load, add, store: who is interrupted after the load stores an old number later, and the counts of
the other are lost.  Three runs: a plain ``+=`` (in CPython 3.10 and later nothing interrupts that,
and nobody promises it); something between load and store that lets the other thread run; and the
same again while a lock lets one thread at a time load and store.
"""

from yolanda.labs.stage import Actor, Stage

COUNT = 2000


def play(stage: Stage) -> None:
    """Run all three at once."""
    plain = count(stage, "plain")
    yielding = count(stage, "something between", "--between", "yield")
    locked = count(stage, "with the lock", "--between", "yield", "--lock")

    stage.note(f"a plain += lost {lost(plain)}: luck, as the course says, or CPython's switching")
    missing = lost(yielding)
    stage.check("with something between load and store, counts are lost", missing > 0, missing)
    stage.check("with the lock, none is", lost(locked) == 0)


def count(stage: Stage, name: str, *options: str) -> Actor:
    """Start the program."""
    return stage.start("thread-helloworld", "--count", str(COUNT), *options, name=name)


def lost(counting: Actor) -> int:
    """Wait for the result."""
    found = int(counting.expect(r"calculator is (\d+)")[1])
    counting.expect(r"another_shared is (\d+)")
    counting.expect_exit(0)
    return 2 * COUNT - found
