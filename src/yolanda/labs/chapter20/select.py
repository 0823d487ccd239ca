"""How does one thread wait for the keyboard and for a server?

The client waits in select for both.  So it sends what is typed while the server says nothing,
prints what the server says while nothing is typed, and hears of the server's end at once.  Two
lines that come in one piece are two messages: a buffer of stdio's would have kept the second one
from select.  When the input ends the client says so, and waits for what is still on the way.
"""

import socket

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Be the server once, and leave it to pollserver once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(stage.patience)
        port = str(listener.getsockname()[1])
        client = stage.start("select01", "127.0.0.1", "--port", port)
        server, _ = listener.accept()
    with server:
        server.settimeout(stage.patience)
        stage.note("the server speaks, and nobody has typed anything")
        server.sendall(b"welcome")
        spoken = client.expect("welcome")
        stage.check("what the server says is printed while nothing is typed", True, spoken[0])

        client.type_bytes(b"one\ntwo\n")
        client.expect("now sending one")
        client.expect("now sending two")
        received = b""
        while len(received) < 6:
            received += server.recv(6)
        stage.check("two lines that came at once were both sent", received == b"onetwo", received)

        stage.note("the server ends")
    status = client.expect_exit()
    ended = client.said("server terminated")
    stage.check("the client hears of it without a key typed", ended, f"exit status {status}")

    echo = stage.start("pollserver", "--port", "0")
    client = stage.start("select01", "--port", echo.port(), name="select01 (2)")
    echo.expect("connected, clients: 1")
    client.type("goodbye")
    client.end_input()
    status = client.expect_exit()
    echoed = client.lines.count("goodbye")
    stage.check(
        "at the end of the input the last answer is still printed",
        echoed == 1 and status == 0,
        f"exit status {status}",
    )
