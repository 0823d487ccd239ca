"""What does SO_REUSEADDR allow, and what not?

The same restart as in address-in-use, with the option in both lives of the server: it listens
again at once, beside the connection in TIME_WAIT, and serves.  A second server on the port is
refused all the same, for the port has one that listens.
"""

import sys

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """End the server, start it again, and start another beside it."""
    if not sys.platform.startswith("linux"):
        stage.skip("the kernel's table of TCP sockets is shown on Linux only")
    server = stage.start("addressused02", "--port", "0", name="first life")
    port = server.port()
    client = stage.connect(port)
    client.sendall(b"bad\r\n")
    server.expect("received 5 bytes: bad")
    server.interrupt()
    server.expect_exit(130)
    assert client.recv(1) == b""  # the server has closed ...
    client.close()  # ... and now the client does
    here = f"127.0.0.1:{port}"
    stage.wait_until(
        lambda: [r.state for r in stage.sockets(port) if r.local == here] == ["TIME_WAIT"],
        "the server's end of the connection in TIME_WAIT",
    )

    again = stage.start("addressused02", "--port", port, name="second life")
    stage.check("it listens on the same port again", again.port() == port)
    for row in stage.sockets(port):
        stage.note(f"kernel: {row.local} -> {row.peer} {row.state}")
    states = {row.state for row in stage.sockets(port) if row.local == here}
    stage.check(
        "beside the old connection", states == {"LISTEN", "TIME_WAIT"}, ", ".join(sorted(states))
    )

    other = stage.start("addressused02", "--port", port, name="another")
    status = other.expect_exit()
    stage.check(
        "a second server on the port is refused, in spite of the option",
        status != 0 and other.said("EADDRINUSE"),
        other.lines[-1],
    )

    client = stage.connect(port)
    client.sendall(b"good\r\n")
    again.expect("received 6 bytes: good")
    client.close()
    again.expect("client closed")
    again.expect_exit(0)
    stage.check("the new life serves", again.said("received 6 bytes: good"))
