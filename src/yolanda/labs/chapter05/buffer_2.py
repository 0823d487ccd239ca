"""When does send return, if the buffers hold the message?

Experiment 2.  A tenth as many bytes, and a server that rests longer.  The client is done while the
server has most of the reading before it: that send has returned says that the kernel has a copy,
not that anybody has read it.
"""

from yolanda.labs.stage import Stage

SIZE = 1_024_000


def play(stage: Stage) -> None:
    """Send, and look at the server when the client has gone."""
    server = stage.start("tcpserver", "--port", "0", "--pause", "10")
    client = stage.start("tcpclient", "127.0.0.1", "--port", server.port(), "--size", str(SIZE))
    sent = client.expect(r"send into buffer (\d+)")
    client.expect_exit(0)
    read = sum(line.startswith("1K read for") for line in server.lines)
    stage.note("the client has gone; the server reads on")
    server.expect(rf"1K read for {read + 10}$")
    stage.check("send returned once, with all that it was asked for", int(sent[1]) == SIZE, sent[1])
    stage.check(
        "the client was done before the server had read half of it",
        read < SIZE // 1024 // 2,
        f"{read} of {SIZE // 1024} KiB",
    )
    stage.check("the server went on reading what the client had left behind", server.running)
