"""What does a UDP server know of its client?

The second scenario: the server first, then a client, whose lines are answered.  There was no
connection, and so there is none to end: the client leaves, and the server notices nothing.  Each
``recvfrom`` returns one datagram, also when several have arrived, where TCP would have made one
stream of them; and an empty one is a datagram, too, not an end.
"""

import socket

from yolanda.labs.stage import Stage
from yolanda.programs.blocking import resolve


def play(stage: Stage) -> None:
    """Ask twice and leave, then send three datagrams while the server stands still."""
    server = stage.start("udpserver", "--port", "0")
    port = server.port()
    client = stage.start("udpclient", "--port", port)
    for line in ("g1", "g2"):
        client.type(line)
        client.expect(f"^Hi, {line}$")
        server.expect(f"^received 2 bytes: {line}$")
    stage.check("each line is answered", client.said("^Hi, g2$"), client.lines[-1])
    client.end_input()
    client.expect_exit(0)
    known = len(server.lines)

    family, address = resolve("127.0.0.1", int(port), socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as director:
        director.settimeout(stage.patience)
        server.pause()
        stage.note("g3, nothing, and g4 are sent to the server, which stands still")
        for datagram in (b"g3", b"", b"g4"):
            director.sendto(datagram, address)
        server.resume()
        answers = [director.recv(100) for _ in range(3)]
    server.expect("bytes: g4")
    stage.check(
        "three datagrams that had arrived together are received one by one",
        server.lines[known:]
        == [f"received {n} bytes: {t}" for n, t in ((2, "g3"), (0, ""), (2, "g4"))],
        ", ".join(server.lines[known:]),
    )
    stage.check("and answered one by one", answers == [b"Hi, g3", b"Hi, ", b"Hi, g4"], f"{answers}")
    server.interrupt()
    counted = server.expect("^received (.*) datagrams$")[1]
    stage.check(
        "Ctrl+C says how many came; of the client that left not a word", counted == "5", counted
    )
