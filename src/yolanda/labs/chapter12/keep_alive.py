"""What does the kernel's own keep-alive notice, and what not?

Both servers are stopped, so that no program of theirs could answer anything.  The kernel's probe is
answered all the same, by the other kernel: keep-alive asks whether the machine is there.  Then both
cables are pulled.  One client gets no answer any more, and the kernel gives the connection up.  The
other one's server dies meanwhile, unnoticed; once the cable is back, the next probe meets a kernel
that knows of no such connection, and is answered with an RST.
"""

import sys

from yolanda.labs.stage import Actor, Stage


def play(stage: Stage) -> None:
    """Vanish, and die unnoticed; side by side, for the kernel counts in whole seconds."""
    if not sys.platform.startswith("linux"):
        stage.skip("only Linux can drop what arrives at a socket, and say what keep-alive does")
    server = stage.start("pingserver", "--port", "0", name="server 1")
    doomed = stage.start("pingserver", "--port", "0", name="server 2")
    cut_off = start_client(stage, server, "1", "client 1")
    waiting = start_client(stage, doomed, "100", "client 2")

    system, ours = (line.partition(": ")[2] for line in cut_off.lines[:2])
    stage.check("keep-alive is off unless one asks for it", "SO_KEEPALIVE off" in system, system)
    values = "SO_KEEPALIVE on, TCP_KEEPIDLE 1 s, TCP_KEEPINTVL 1 s, TCP_KEEPCNT 1:"
    stage.check("the kernel took our values", ours.startswith(values), ours)

    waiting.type("hello")  # which its server will not have read when it dies
    waiting.expect("send bytes: 5")
    waiting.type("unplug")
    waiting.expect("unplugged")
    doomed.kill()
    waiting.type("plug")
    waiting.expect("plugged")

    probe = cut_off.expect(r"sent [1-9]\d*, received [1-9]\d*, probes unanswered 0")
    stage.check(
        "a probe was answered, though the server's process stands still", server.running, probe[0]
    )
    cut_off.type("unplug")
    dead = cut_off.expect("connection dead: (.*)")
    stage.check("without an answer the connection is given up", "ETIMEDOUT" in dead[1], dead[1])
    cut_off.expect_exit(1)

    dead = waiting.expect("connection dead: (.*)")
    stage.check("a kernel that knows of nothing sends an RST", "ECONNRESET" in dead[1], dead[1])
    waiting.expect_exit(1)


def start_client(stage: Stage, server: Actor, probes: str, name: str) -> Actor:
    """Connect, and stop the server as soon as its kernel has the connection."""
    client = stage.start(
        *("keepalive", "--port", server.port(), "--report", "0.5"),
        *("--time", "1", "--interval", "1", "--probes", probes),
        name=name,
    )
    client.expect("probes unanswered")
    server.pause()
    return client
