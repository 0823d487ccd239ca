"""The mid-term with two clients at once: has each its own directory?

One server on the framework, one loop, two clients that take turns.  What one does with `cd` is
nothing to the other, since the process's own directory is never changed; and when one is killed,
the other goes on.
"""

import os

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Go two ways, and ask each where it is."""
    home = stage.folder.resolve()
    for path in ("left/apples", "right/pears"):
        (home / path).mkdir(parents=True)
    server = stage.start("midterm-server", "--port", "0")
    port = server.port()
    left = stage.start("telnet-client", "127.0.0.1", port, name="goes left")
    right = stage.start("telnet-client", "127.0.0.1", port, name="goes right")
    left.type("cd left")
    left.type("pwd")
    left_is = left.expect("^/.*")[0]
    right.type("cd right")
    right.type("pwd")
    right_is = right.expect("^/.*")[0]
    left.type("ls")
    apples = left.expect(".*")[0]
    right.type("ls")
    pears = right.expect(".*")[0]
    stage.check("both are served at once", left.running and right.running)
    stage.check("pwd of the one", left_is == f"{home}/left", left_is)
    stage.check("pwd of the other", right_is == f"{home}/right", right_is)
    stage.check("ls of the one", apples == "apples", apples)
    stage.check("ls of the other", pears == "pears", pears)
    if os.path.exists(f"/proc/{server.pid}/cwd"):
        own = os.readlink(f"/proc/{server.pid}/cwd")
        stage.check("the server itself has gone nowhere", own == str(home), own)

    left.kill()
    server.expect("connection closed")
    right.type("cd ..")
    right.type("pwd")
    after = right.expect("^/.*")[0]
    stage.check("when one is killed, the other goes on", after == str(home), after)
    right.type("quit")
    right.expect_exit(0)
