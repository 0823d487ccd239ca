"""What does a UDP client do when there is no server?

The first scenario.  A TCP client is refused when it connects.  A UDP client sends its datagram and
waits for the answer, and goes on waiting when a server has come: the datagram was sent before, and
is lost.  A client with a
time-out can at least go on.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Let clients send to a port that nobody has, and start a server then."""
    short_lived = stage.start("udpserver", "--port", "0", name="who had the port")
    port = short_lived.port()
    short_lived.interrupt()
    short_lived.expect_exit()

    client = stage.start("udpclient", "--port", port, name="client")
    client.type("g1")
    client.expect("send bytes: 2")
    tcp = stage.start("tcpclient", "--port", port, name="TCP client")
    tcp.expect_exit(1)
    stage.check("a TCP client is refused", tcp.said("ECONNREFUSED"), tcp.lines[-1])

    impatient = stage.start("udpclient", "--port", port, "--timeout", "0.3", name="with time-out")
    impatient.type("g2")
    impatient.expect("ETIMEDOUT")
    impatient.end_input()
    status = impatient.expect_exit()
    stage.check(
        "a UDP client is not; with a time-out it gives its answer up",
        status == 1 and not impatient.said("ECONNREFUSED"),
        impatient.lines[-1],
    )

    server = stage.start("udpserver", "--port", port)
    server.port()
    late = stage.start("udpclient", "--port", port, name="late client")
    late.type("g3")
    late.expect("^Hi, g3$")
    server.expect("bytes: g3$")
    received = [line for line in server.lines if line.startswith("received")]
    stage.check(
        "the server that has come receives what is sent from now on alone",
        received == ["received 2 bytes: g3"],
        ", ".join(received),
    )
    stage.check(
        "the client without a time-out still waits, and nothing will come",
        client.running and client.lines[-1] == "send bytes: 2",
        client.lines[-1],
    )
    server.interrupt()
    server.expect("^received 1 datagrams$")
    client.interrupt()
    client.expect_exit(130)
