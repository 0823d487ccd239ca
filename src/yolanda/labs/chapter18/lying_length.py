"""What does a client do to a server by lying about a length?

It announces 65535 bytes, sends twelve, and stays.  A server with a limit refuses at once.  One
whose guard was taken away believes it: it waits for the rest, and an honest client, who has sent
its message and left, waits with it until the liar goes away.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Lie to a server with a limit and to one without."""
    guarded = stage.start("streamserver", "--port", "0", name="with a guard")
    port = guarded.port()
    liar = stage.start("samplebuffer02", "127.0.0.1", "--port", port, name="liar")
    refused = guarded.expect("error read message: .*")[0]
    stage.check("the lie is refused at once", "65535 bytes is over the limit" in refused, refused)
    left = liar.expect("peer connection closed.*")[0]
    stage.check("the liar sees that the server has hung up", True, left)

    trusting = stage.start("streamserver", "--port", "0", "--limit", "100000", name="without")
    port = trusting.port()
    liar = stage.start("samplebuffer02", "127.0.0.1", "--port", port, name="liar again")
    liar.expect("send 12 bytes")
    honest = stage.connect(port)
    honest.sendall(b"\0\0\0\6\0\0\0\1honest")
    honest.close()
    stage.note("an honest client has sent its message, and left")
    waits = not trusting.said("received|closed|error")
    stage.check("a server that believes it waits for the rest", waits, trusting.lines[-1])
    liar.interrupt()
    cut = trusting.expect("error read message: .*")[0]
    stage.check("until the liar leaves", "12 of 65535" in cut, cut)
    served = trusting.expect("received .*")[0]
    stage.check("only then the honest client is heard", served.endswith("honest"), served)
