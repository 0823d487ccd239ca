"""How does one UDP socket serve two clients?

The third scenario: two clients take turns.  The server has one socket and no list of clients; each
datagram brings its sender's address, and the answer goes there.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Let two clients take turns."""
    server = stage.start("udpserver", "--port", "0")
    port = server.port()
    clients = [stage.start("udpclient", "--port", port, name=f"client {n}") for n in (1, 2)]
    for turn in range(4):
        client = clients[turn % 2]
        client.type(f"g{turn + 1}")
        client.expect(f"^Hi, g{turn + 1}$")
    server.interrupt()
    counted = server.expect("^received (.*) datagrams$")[1]
    received = [line.split(": ")[1] for line in server.lines if ": " in line]
    stage.check(
        "the server receives in the order of sending",
        received == ["g1", "g2", "g3", "g4"],
        ", ".join(received),
    )
    for client, own in zip(clients, (["g1", "g3"], ["g2", "g4"]), strict=True):
        answers = [line for line in client.lines if line.startswith("Hi, ")]
        stage.check(
            f"{client.name} gets the answers to its own lines",
            answers == [f"Hi, {line}" for line in own],
            "; ".join(answers),
        )
    stage.check("Ctrl+C says how many datagrams came", counted == "4", counted)
