"""Whom does a UDP server serve that has connected its socket?

The course's transcript: the server connects to the first client that sends something, and a second
one is told that nobody is there.  The first is served until it says goodbye.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Let two clients ask, the first of them before and after the second."""
    server = stage.start("udpconnectserver", "--port", "0")
    port = server.port()
    first = stage.start("udpconnectclient2", "--port", port, name="client 1")
    first.type("g1")
    first.expect("Hi, g1")
    second = stage.start("udpconnectclient2", "--port", port, name="client 2")
    second.type("g2")
    status = second.expect_exit()
    stage.check(
        "the second client is refused",
        status != 0 and second.said(r"recv failed: Connection refused \[ECONNREFUSED\]"),
        second.lines[-1],
    )
    stage.check("the server has not seen its datagram", not server.said("g2"))

    first.type("again")
    answer = first.expect("Hi, ")
    stage.check("the first is still served", answer.string == "Hi, again", answer.string)
    first.type("goodbye")
    first.expect_exit(0)
    server.expect("received 7 bytes: goodbye")
    stage.check("goodbye ends the server", server.expect_exit() == 0)
