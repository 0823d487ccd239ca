"""In how many pieces does a writev of two buffers arrive?

The client sends a greeting and the line that was typed from two buffers with one writev; the server
prints every read.  The parts arrive as one run of bytes.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Type the course's two lines."""
    server = stage.start("batchwriteserver", "--port", "0")
    client = stage.start("batchwrite", "--port", server.port())
    for word in ("world", "network"):
        client.type(word)
        server.expect(f"hello,{word}")
    client.end_input()
    client.expect_exit(0)
    server.expect("client closed")
    reads = [line for line in server.lines if line.startswith("received")]
    stage.check(
        "greeting and line came out of one read, each time",
        reads == ["received 12 bytes: hello,world", "received 14 bytes: hello,network"],
        "; ".join(reads),
    )
