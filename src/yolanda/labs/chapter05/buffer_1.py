"""When does send return, if the message is larger than the buffers?

Experiment 1.  The client sends ten million bytes in one call; the server rests after each kibibyte
it reads.  The kernel's two buffers hold some of it, so the call returns only when the server has
read the rest: a blocking send comes back with all that it was asked to send, and late.
"""

from yolanda.labs.stage import Stage

SIZE = 10_240_000


def play(stage: Stage) -> None:
    """Send, and look at the server the moment that send returns."""
    server = stage.start("tcpserver", "--port", "0", "--pause", "0.01")
    client = stage.start("tcpclient", "127.0.0.1", "--port", server.port(), "--size", str(SIZE))
    sent = client.expect(r"send into buffer (\d+)")
    client.expect_exit(0)
    server.expect("connection closed by other end")
    read = [line for line in server.lines if line.startswith("1K read for")]
    stage.check("send returned once, with all that it was asked for", int(sent[1]) == SIZE, sent[1])
    stage.check("the server has read all of it", len(read) == SIZE // 1024, read[-1])
