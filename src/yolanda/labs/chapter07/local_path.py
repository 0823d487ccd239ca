"""What becomes of a path when its server is killed?

It stays, although no process has it: a client is refused now, no longer told that nothing is there.
``bind`` would refuse it, too, so a server removes it first; but not if its owner lives, and not if
it is a file of another kind, which may be somebody's work.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Kill a server, knock, start it again, and try to take what is another's."""
    path = stage.folder / "unixstream.sock"
    first = stage.start("unixstreamserver", str(path), name="first life")
    first.expect("listening on ")
    first.kill()
    stage.check("kill -9 leaves the path over", path.is_socket(), path.name)
    client = stage.start("unixstreamclient", str(path))
    client.expect_exit(1)
    stage.check(
        "a client finds the path, and nobody there",
        client.said("ECONNREFUSED"),
        client.lines[-1],
    )

    again = stage.start("unixstreamserver", str(path), name="second life")
    taken = again.expect("listening on (.*)|error: (.*)")
    stage.check("the server takes it again", taken[1] is not None, taken[0])
    rival = stage.start("unixstreamserver", str(path), name="a second server")
    rival.expect_exit(1)
    stage.check(
        "another cannot take it from a living one", rival.said("EADDRINUSE"), rival.lines[-1]
    )
    client = stage.start("unixstreamclient", str(path))
    client.type("g1")
    client.expect("^Hi, g1$")
    stage.check("which has not noticed the attempt, and serves", again.running, "Hi, g1")

    work = stage.folder / "thesis.txt"
    work.write_text("years of work")
    clumsy = stage.start("unixstreamserver", str(work), name="wrong path")
    clumsy.expect_exit(1)
    stage.check(
        "a regular file is not removed",
        clumsy.said("EADDRINUSE") and work.read_text() == "years of work",
        clumsy.lines[-1],
    )
