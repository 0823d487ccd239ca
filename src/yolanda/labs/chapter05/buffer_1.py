"""When does send return, if the message is larger than the buffers?

Experiment 1.  The client sends ten million bytes in one call, through small buffers, and the server
is stopped in the middle.  While it stands still the kernel's two buffers fill up, and send does not
return; it returns when the server has read so much that the rest fits: a blocking send comes back
with all that it was asked to send, and late.
"""

from yolanda.labs.stage import Stage

SIZE = 10_240_000
BUFFER = 65_536


def play(stage: Stage) -> None:
    """Stop the server, look into the kernel's buffers, and let the server go on."""
    server = stage.start(
        "tcpserver", "--port", "0", "--pause", "0.05", "--receive-buffer", str(BUFFER)
    )
    port = server.port()
    client = stage.start(
        "tcpclient", "127.0.0.1", "--port", port, "--size", str(SIZE), "--send-buffer", str(BUFFER)
    )
    server.expect("1K read for 3$")
    server.pause()

    def queues() -> tuple[int, int]:
        rows = [row for row in stage.sockets(port) if row.state == "ESTABLISHED"]
        return sum(row.send_queue for row in rows), sum(row.receive_queue for row in rows)

    stage.wait_until(lambda: all(queues()), "bytes in both buffers")
    sending, receiving = queues()
    stage.note(
        f"in the client's send buffer {sending} bytes, in the server's receive buffer {receiving}"
    )
    stage.check(
        "while the server stands still, send does not return",
        not client.said("send into buffer"),
        f"the kernel holds {sending + receiving} of {SIZE} bytes",
    )
    server.resume()
    sent = client.expect(r"send into buffer (\d+)")
    client.expect_exit(0)
    server.expect("connection closed by other end")
    read = [line for line in server.lines if line.startswith("1K read for")]
    stage.check("send returned once, with all that it was asked for", int(sent[1]) == SIZE, sent[1])
    stage.check("the server has read all of it", len(read) == SIZE // 1024, read[-1])
