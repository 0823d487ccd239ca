"""Two servers, one room: who hears of it when a server is killed, and when the broker is?

Ann is at one server and Bob at another; a NATS server carries between the two.  What one says the
other hears.  When Bob's server is killed nobody closes a connection that Ann's server has: it is
missed, since its heartbeats stay away.  When the broker is killed, guests are told who is out of
reach, and when it is back they are together again.
"""

from yolanda.labs.stage import Actor, LabFailed, Stage


def play(stage: Stage) -> None:
    """Talk across, then kill what is between."""
    broker, port = start_broker(stage, "-1")
    one, ann_port = start_server(stage, "server 1", port)
    two, bob_port = start_server(stage, "server 2", port)
    ann = stage.start("chatclient", "--port", ann_port, "--name", "ann", name="ann")
    ann.expect(r"\* hello ann")
    bob = stage.start("chatclient", "--port", bob_port, "--name", "bob", name="bob")
    bob.expect(r"\* hello bob")
    joined = ann.expect("has joined").string
    stage.check("one hears who comes in elsewhere", joined == "* bob has joined", joined)
    ann.type("good morning")
    heard = bob.expect("<ann>").string
    stage.check("and what is said there", heard == "<ann> good morning", heard)
    bob.type("/msg ann lunch?")
    whisper = ann.expect("alone>").string
    stage.check("a word to one alone", whisper == "<bob to you alone> lunch?", whisper)
    eve = stage.start("chatclient", "--port", bob_port, "--name", "Ann", name="eve")
    taken = eve.expect("is taken").string
    stage.check("a name has one holder in both", "Ann is taken" in taken, taken)

    two.kill()
    left = ann.expect("bob has left").string
    stage.check("a server that was killed is missed", left.endswith("(their server is lost)"), left)

    two, bob_port = start_server(stage, "server 2", port)
    bob = stage.start("chatclient", "--port", bob_port, "--name", "bob", name="bob")
    ann.expect("bob has joined")
    broker.kill()
    apart = ann.expect("out of reach").string
    stage.check("a lost broker is told", apart.startswith("* the other rooms are"), apart)
    ann.type("/who")
    alone = ann.expect("here:").string
    stage.check("one server's guests are still a room", alone == "* 1 here: ann", alone)
    start_broker(stage, port)
    again = ann.expect("bob has joined").string
    stage.check("and together again when it is back", again == "* bob has joined", again)
    stage.check("neither server has ended", one.running and two.running)


def start_broker(stage: Stage, port: str) -> tuple[Actor, str]:
    """Start a NATS server, at a port that the kernel chooses for -1."""
    try:
        broker = stage.start_command(["nats-server", "-a", "127.0.0.1", "-p", port], name="broker")
    except FileNotFoundError:
        stage.skip("it needs nats-server (Debian: apt install nats-server)")
    port = broker.expect(r"Listening for client connections on .*:(\d+)$")[1]
    broker.expect("Server is ready")
    return broker, port


def start_server(stage: Stage, name: str, broker: str) -> tuple[Actor, str]:
    """Start a server of the chat, and return the port for telnet."""
    url = f"nats://127.0.0.1:{broker}"
    server = stage.start("chat-web", "--port", "0", "--telnet", "0", "--broker", url, name=name)
    try:
        port = server.expect(r"^telnet: listening on .*:(\d+)$")[1]
    except LabFailed:
        if server.said("pip install"):
            stage.skip(server.lines[-1].removeprefix("yolanda: error: "))
        raise
    server.expect("^joined the rooms")
    return server, port
