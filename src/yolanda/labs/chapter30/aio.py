"""Who waits for an asynchronous write?

The same write and read of 512 bytes, on a disk that is made slow, learned of in three ways: by
asking again and again, by sleeping with a time-out, and by a callback in an event loop.  To be
seen: starting the operation does not wait for it, and the bytes are in the file all the same.
"""

from yolanda.labs.stage import Stage

WAYS = {"poll": "0", "suspend": "400", "loop": "400"}  # milliseconds of delay


def play(stage: Stage) -> None:
    """Write and read back in each way, and look into the file."""
    for way, delay in WAYS.items():
        path = stage.folder / f"{way}.bin"
        program = stage.start(
            "aio01", path.name, "--wait", way, "--delay", delay, "--timeout", "100", name=way
        )
        if way == "suspend":
            program.expect(r"^writing\.\.\.$")
            stage.note("the write has been started, and the program slept 100 ms at a time")
            program.expect(r"^Reading\.\.\.$")
        elif way == "loop":
            program.expect(r"^writing\.\.\. the loop is free for other things$")
            program.expect(r"^Reading\.\.\. the loop is free for other things$")
        program.expect(r"^Success\.$")
        program.expect_exit(0)
        written = path.read_bytes()
        stage.check(
            f"{way}: 512 bytes of 0xfa are in the file",
            written == b"\xfa" * 512,
            f"{len(written)} bytes, {written[:4].hex(' ')} ...",
        )
    stage.check(
        "suspend was not done when its time-out was over",
        stage.actors[1].said(r"^writing\.\.\.$"),
        f"{len(stage.actors[1].lines) - 1} time-outs",
    )
    stage.check(
        "the loop's timer went on while the file was written and read",
        stage.actors[2].said("writing.*loop is free")
        and stage.actors[2].said("Reading.*loop is free"),
        f"{len(stage.actors[2].lines) - 1} times",
    )
