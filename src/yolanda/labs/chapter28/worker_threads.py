"""Does a slow request of one client hold up the quick one of another?

Without workers the loop itself computes: the quick client is answered after the slow one, though it
asks for nothing.  With workers the loop goes on reading and sending meanwhile.  The answers to one
client still come in the order in which it asked.
"""

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Actor, Stage


def play(stage: Stage) -> None:
    """The same two clients, without workers and with them."""
    alone = stage.start("reactor-with-workers", "--port", "0", "--workers", "0", name="no workers")
    pooled = stage.start("reactor-with-workers", "--port", "0", "--workers", "2", name="workers")

    slow, quick = ask_both(stage, alone, "300 slow")
    quick.answer()
    stage.check("without workers the quick client waits for the slow one", slow.has_answer())
    stage.check(
        "it was computed in the loop's own thread", alone.said("compute for 300.*MainThread")
    )

    slow, quick = ask_both(stage, pooled, "1500 slow")
    slow.send("and this")
    quick.answer()
    stage.check("with workers the quick client does not wait", not slow.has_answer())
    sent = pooled.expect("send, (.*)")[1]
    stage.check(
        "a worker computes, and the loop sends",
        pooled.said("compute for 1500.*Worker") and sent == "main thread",
    )
    answers = [slow.answer(), slow.answer()]
    stage.check(
        "the slow client's own answers keep their order",
        answers == ["fybj", "naq guvf"],
        ", ".join(answers),
    )


def ask_both(stage: Stage, server: Actor, slow_line: str) -> tuple[LineClient, LineClient]:
    """Have the slow request computed when the quick one is sent."""
    port = server.port()
    slow = LineClient(stage, "slow", port)
    quick = LineClient(stage, "quick", port)
    slow.send(slow_line)
    server.expect("compute for [1-9]")
    quick.send("quick")
    return slow, quick
