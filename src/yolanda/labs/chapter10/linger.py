"""How long does close take with SO_LINGER, and what does the other end see?

Each client first fills the buffers, and its server does not read.  With the option off, close is
back at once and the kernel delivers the rest in peace.  On with 0 seconds it throws the rest away
and sends an RST.  On with more it waits: as long as that, or until the server has taken everything.
"""

from yolanda.labs.stage import Actor, Stage

READ_AFTER = 0.5


def play(stage: Stage) -> None:
    """Close four times; the four take their time side by side."""
    common = ("--port", "0", "--fill")
    late = ("--read-after", str(READ_AFTER))
    off = stage.start("timewait", *common, name="off")
    reset = stage.start("timewait", *common, "--linger", "0", name="0 s")
    limited = stage.start("timewait", *common, "--linger", "1", name="1 s")
    patient = stage.start("timewait", *common, "--linger", "60", *late, name="60 s")

    sent, _, read, saw, left = follow(off)
    stage.check("off: close left data behind in the kernel", "FIN_WAIT1" in left, left)
    stage.check(
        "off: the server read all of it, and a FIN", (read, saw) == (sent, "FIN"), f"{read} bytes"
    )

    sent, _, read, saw, left = follow(reset)
    stage.check("0 s: the connection was gone at once, with no TIME_WAIT", left == "gone", left)
    stage.check(
        "0 s: the server met an RST, and part of the data was lost",
        saw == "RST" and read < sent,
        f"{read} of {sent} bytes",
    )

    sent, seconds, read, saw, left = follow(limited)
    stage.check("1 s: close waited for that second", seconds >= 0.95, f"{seconds:.3f} s")
    stage.check("1 s: and then left data behind", "FIN_WAIT1" in left, left)
    stage.check(
        "1 s: which the kernel delivered none the less",
        (read, saw) == (sent, "FIN"),
        f"{read} bytes",
    )

    sent, seconds, read, saw, left = follow(patient)
    stage.check(
        f"60 s: close waited only for the server, who read after {READ_AFTER} s",
        READ_AFTER - 0.01 <= seconds < 60,
        f"{seconds:.3f} s",
    )
    stage.check(
        "60 s: when it returned, nothing was left to send",
        (read, saw) == (sent, "FIN") and "bytes to send" not in left,
        left,
    )


def follow(actor: Actor) -> tuple[int, float, int, str, str]:
    """Wait until the program is done: bytes sent, seconds, bytes read, FIN or RST, what was left.

    What was left is the client's row of the kernel's table, right after its close had returned.
    """
    sent = actor.expect(r"send into buffer (\d+)")
    seconds = actor.expect(r"close returned after ([\d.]+) s")
    actor.expect("^client closed:")
    left = actor.expect(r"^    client \S+ (.+)")
    read = actor.expect(r"server read (\d+) bytes, then .*an? (FIN|RST) came")
    actor.expect_exit(0)
    return int(sent[1]), float(seconds[1]), int(read[1]), read[2], left[1]
