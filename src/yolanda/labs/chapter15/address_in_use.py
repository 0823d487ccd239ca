"""Why is the port in use, when its server is dead?

The server ends first, with a client connected: the kernel keeps the server's end of the connection
in TIME_WAIT, and refuses the port to the next life of the server.  Where the client closes first,
TIME_WAIT is on the client's side, under the client's port, and hinders no server.
"""

import sys

from yolanda.labs.stage import Actor, Stage


def play(stage: Stage) -> None:
    """End the connection from either side, and start the server again each time."""
    if not sys.platform.startswith("linux"):
        stage.skip("the kernel's table of TCP sockets is shown on Linux only")
    server = stage.start("addressused", "--port", "0", name="first life")
    port = server.port()
    _end_from_client(stage, server, port)
    stage.wait_until(lambda: not _states(stage, port), "the end of the server's connection")
    _show(stage, port)

    again = stage.start("addressused", "--port", port, name="second life")
    stage.check("after the client closed first, it can be started again", again.port() == port)
    _end_from_server(stage, again, port)
    _show(stage, port)

    refused = stage.start("addressused", "--port", port, name="third life")
    status = refused.expect_exit()
    stage.check(
        "after the server ended first, it cannot",
        status != 0 and refused.said("Address already in use .*EADDRINUSE"),
        refused.lines[-1],
    )
    late = stage.start("addressused02", "--port", port, name="with the option")
    status = late.expect_exit()
    stage.check(
        "SO_REUSEADDR in the new life alone comes too late (on Linux)",
        status != 0 and late.said("EADDRINUSE"),
        late.lines[-1],
    )


def _end_from_client(stage: Stage, server: Actor, port: str) -> None:
    client = stage.connect(port)
    client.sendall(b"network\r\n")
    server.expect("received 9 bytes: network")
    stage.note("the client closes")
    client.close()
    server.expect("client closed")
    server.expect_exit(0)


def _end_from_server(stage: Stage, server: Actor, port: str) -> None:
    client = stage.connect(port)
    client.sendall(b"bad\r\n")
    server.expect("received 5 bytes: bad")
    server.interrupt()
    server.expect_exit(130)
    assert client.recv(1) == b""  # the server has closed ...
    client.close()  # ... and now the client does
    stage.wait_until(
        lambda: _states(stage, port) == ["TIME_WAIT"],
        "the server's end of the connection in TIME_WAIT",
    )


def _states(stage: Stage, port: str) -> list[str]:
    """Return the states of the sockets whose own port it is."""
    return [row.state for row in stage.sockets(port) if row.local == f"127.0.0.1:{port}"]


def _show(stage: Stage, port: str) -> None:
    for row in stage.sockets(port):
        stage.note(f"kernel: {row.local} -> {row.peer} {row.state}")
