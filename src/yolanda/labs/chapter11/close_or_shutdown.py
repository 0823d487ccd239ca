"""Do the answers under way still arrive, after close and after shutdown?

Two clients ask for two answers each, and leave before the first is ready.  The left one closes: its
kernel answers the first greeting with an RST, and the server learns by EPIPE that the second goes
nowhere.  The right one shuts down its sending half alone: both answers arrive, then the end.
"""

from yolanda.labs.stage import Actor, Stage

WORK = "0.6"


def play(stage: Stage) -> None:
    """Leave in both ways, each from a server of its own."""
    close_server = stage.start("graceserver", "--port", "0", "--work", WORK, name="server")
    shutdown_server = stage.start("graceserver", "--port", "0", "--work", WORK, name="server")
    close_port, shutdown_port = close_server.port(), shutdown_server.port()

    stage.note("one client closes while both answers are under way")
    closing = stage.start("graceclient", "--port", close_port, "--stay", "1", name="close")
    ask_and_leave(stage, close_port, closing, close_server, "close")

    stage.note("the other one shuts down its sending half")
    halving = stage.start("graceclient", "--port", shutdown_port, name="shutdown")
    ask_and_leave(stage, shutdown_port, halving, shutdown_server, "shutdown")

    close_server.expect("received 5 bytes: data2")
    broken = close_server.expect(r"error write: .*\[(EPIPE|ECONNRESET)\]")
    closing.expect_exit(0)
    stage.check(
        "after close: the first answer was sent all the same",
        close_server.lines.count("send bytes: 9") == 1,
        "send bytes: 9",
    )
    stage.check("after close: the second one met an error", True, broken[0])
    stage.check("after close: no answer arrived", not closing.said("^Hi, "))

    halving.expect_exit(0)
    shutdown_server.expect("client closed")
    answers = [line for line in halving.lines if line.startswith("Hi, ")]
    stage.check(
        "after shutdown: both answers arrived",
        answers == ["Hi, data1", "Hi, data2"],
        ", then ".join(answers),
    )
    stage.check(
        "after shutdown: then came the end",
        halving.lines[-1] == "server terminated",
        halving.lines[-1],
    )


def ask_and_leave(stage: Stage, port: str, client: Actor, server: Actor, how: str) -> None:
    """Type two lines, the second while the server works on the first, and leave."""
    client.type("data1")
    server.expect("received 5 bytes: data1")
    server.pause()  # so that no slow machine can let the answer be ready sooner
    client.type("data2")
    client.type(how)
    stage.wait_until(
        lambda: "CLOSE_WAIT" in [row.state for row in stage.sockets(port)],
        "the server's kernel has the client's FIN",
    )
    server.resume()
