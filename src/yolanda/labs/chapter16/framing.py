"""Do messages survive any cutting of the stream?

The same three messages are sent in three ways: each with a send of its own, a byte at a time, and
all with one send.  The server finds each message by the length before it, so it has to print the
same lines three times.  Then a client announces more than the limit: it is refused, and the next
client served.
"""

import struct

from yolanda.labs.stage import Stage

LINES = ["network", "program", "good 你好"]
LIMIT = 128


def play(stage: Stage) -> None:
    """Send in three ways, lie once, and send again."""
    server = stage.start("streamserver", "--port", "0", "--limit", str(LIMIT))
    port = server.port()
    ways: dict[str, list[str]] = {
        "a send for each message": [],
        "a send for each byte": ["--cut", "1"],
        "one send for all": ["--together"],
    }
    expected = [f"received {len(line.encode()) + 1} bytes: {line}" for line in LINES]
    for way, options in ways.items():
        client = stage.start("streamclient", "127.0.0.1", "--port", port, *options)
        for line in LINES:
            client.type(line)
        client.end_input()
        client.expect_exit(0)
        received = [server.expect("received .*")[0] for _ in LINES]
        server.expect("client closed")
        stage.check(f"{way}: the three messages came out whole", received == expected, received)

    liar = stage.connect(port)
    stage.note(f"the director announces {LIMIT + 1} bytes, and sends none of them")
    liar.sendall(struct.pack("!II", LIMIT + 1, 1))
    refused = server.expect("error read message: .*")[0]
    stage.check("a length over the limit is refused before the body comes", True, refused)
    stage.check("the server has hung up", liar.recv(1) == b"", "end of stream")

    honest = stage.connect(port)
    honest.sendall(struct.pack("!II", 4, 1) + b"next")
    served = server.expect("received .*")[0]
    stage.check("the next client is served", served == "received 4 bytes: next", served)
