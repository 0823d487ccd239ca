"""When is what is sent put into the connection's queue?

A connection sends a little and then two million bytes, to an end that reads slowly.  To be seen:
the little is gone when send returns, and nothing was watched for room to write; of the two million
the kernel takes some, the rest is queued, room to write is watched for as long as that lasts, and
no longer; and all of it arrives.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Send a little twice, and then a lot."""
    little = stage.start("send-path", "--size", "100", "--pause", "1", "--trace", name="little")
    much = stage.start("send-path", "--pause", "1", "--trace", name="much")
    sent = much.expect(r"^send 2000000: (\d+) at once, (\d+) queued$")
    for actor in (little, much):
        actor.expect("^on_connection_closed$")
        actor.expect_exit(0)
    stage.check(
        "100 bytes are sent at once",
        little.lines.count("send 100: 100 at once, 0 queued") == 2,
        "twice",
    )
    stage.check(
        "room to write was never watched for then", not little.said("revents=4"), "no revents=4"
    )
    stage.check(
        "of 2,000,000 bytes some are sent at once and the rest is queued",
        int(sent[1]) > 0 and int(sent[2]) > 0 and int(sent[1]) + int(sent[2]) == 2_000_000,
        f"{sent[1]} and {sent[2]}",
    )
    rooms = sum("revents=4" in line for line in much.lines)
    stage.check("room to write came until the queue was empty", rooms > 0, f"{rooms} times")
    said = [line for line in much.lines if line.startswith("on_write_completed")]
    stage.check("on_write_completed came once for each send", len(said) == 2, f"{len(said)} times")
    stage.check(
        "all of it arrived",
        much.said("^the other end has read 2000100 bytes, and then the end of the stream$"),
        "2000100 bytes",
    )
