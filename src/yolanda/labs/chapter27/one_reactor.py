"""How many threads does it take to serve two clients?

One.  The trace shows a turn of the loop for every event: the listening socket becomes readable and
a connection is made; a connection becomes readable and its message is answered; and all of it in
the main thread.  Client 1, who says half a line and then nothing, keeps nobody waiting.
"""

import re

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Two clients in turn, one of them slow; then both leave."""
    server = stage.start("poll-server-onethread", "--port", "0")
    port = server.port()
    slow = LineClient(stage, "client 1", port)
    one = server.expect(r"new connection established, socket == (\d+)")[1]
    server.expect("connection completed")
    quick = LineClient(stage, "client 2", port)
    two = server.expect(r"new connection established, socket == (\d+)")[1]
    server.expect("connection completed")
    answers = [slow.ask("afadsfaf"), quick.ask("sfasggwqe"), quick.ask("fdafasf")]
    stage.check(
        "both are answered, in whatever order they speak",
        answers == ["nsnqfsns", "fsnfttjdr", "sqnsnfs"],
    )
    quick.leave()
    server.expect(rf"delete channel fd == {two}, main thread")
    server.expect("connection closed")
    stage.check("one leaves, the other stays", slow.ask("aaa") == "nnn")
    slow.leave()
    server.expect(rf"delete channel fd == {one}, main thread")
    server.expect("connection closed")

    trace = [line for line in server.lines if line.startswith("[msg]")]
    handled = [line for line in trace if "activate channel" in line]
    threads = {
        match[1] for line in trace if (match := re.search(r", (main thread|Thread.*)$", line))
    }
    stage.check("every turn was the main thread's", threads == {"main thread"}, ", ".join(threads))
    stage.check(
        "the listening socket and both connections went through the same loop",
        {one, two} < {match[1] for line in handled if (match := re.search(r"fd == (\d+)", line))},
        f"{len(handled)} events",
    )
