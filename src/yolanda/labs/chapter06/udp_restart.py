"""What do UDP clients notice when their server is started again?

Two clients talk to the server, it is killed, and started again on its port.  Where TCP would have
to connect again, these go on: what is sent while nobody is there is lost, and that is all.
"""

from yolanda.labs.stage import Actor, LabFailed, Stage


def play(stage: Stage) -> None:
    """Kill the server, send into the void, start the server, and go on."""
    server = stage.start("udpserver", "--port", "0", name="first life")
    port = server.port()
    quiet = stage.start("udpclient", "--port", port, name="client 1")
    other = stage.start("udpclient", "--port", port, "--timeout", "0.3", name="client 2")
    quiet.type("g1")
    quiet.expect("^Hi, g1$")
    ask(other, "g2")
    server.kill()

    other.type("g3")
    other.expect("ETIMEDOUT")
    again = stage.start("udpserver", "--port", port, name="second life")
    stage.check("the port is free at once: there is no TIME_WAIT", again.port() == port, port)
    quiet.type("g4")
    quiet.expect("^Hi, g4$")
    stage.check("the client that was silent meanwhile noticed nothing", quiet.running, "Hi, g4")
    ask(other, "g5")
    stage.check(
        "the one that sent meanwhile lost that, and goes on",
        other.said("^Hi, g5$") and not other.said("^Hi, g3$"),
        f"g3: {next(line for line in other.lines if 'ETIMEDOUT' in line)}; then Hi, g5",
    )
    again.interrupt()
    again.expect("^received .* datagrams$")
    first = next(line for line in again.lines if line.startswith("received"))
    stage.check("the new server has never heard of it", not again.said("g3"), f"first: {first}")
    for client, status in ((quiet, 0), (other, 1)):
        client.end_input()
        client.expect_exit(status)


def ask(client: Actor, line: str) -> None:
    """Type a line until it is answered: on a busy machine an answer may be given up too early."""
    for _ in range(50):
        client.type(line)
        if client.expect(f"^Hi, {line}$|ETIMEDOUT")[0] == f"Hi, {line}":
            return
    raise LabFailed(f"{client.name} got no answer to {line}")
