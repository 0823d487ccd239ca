"""What is a local stream socket?

A client alone finds no path.  The server makes one, an empty file of a kind of its own, and from
then on the two talk as they would over TCP; where the client is killed, the server reads the end of
the stream, says so, and leaves no path behind.
"""

import stat

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Start the client alone, then both; ask, and end the client with Ctrl+C."""
    path = stage.folder / "unixstream.sock"
    alone = stage.start("unixstreamclient", str(path), name="client alone")
    alone.expect_exit(1)
    stage.check(
        "without a server there is no such file",
        alone.said(r"connect .* failed: No such file or directory \[ENOENT\]"),
        alone.lines[-1],
    )

    server = stage.start("unixstreamserver", str(path))
    server.expect("listening on ")
    status = path.lstat()
    shown = f"{stat.filemode(status.st_mode)} {status.st_size} {path.name}"
    stage.note(f"ls -l: {shown}")
    stage.check(
        "the server's bind has made a file, which is a socket and empty",
        stat.S_ISSOCK(status.st_mode) and status.st_size == 0,
        shown,
    )
    client = stage.start("unixstreamclient", str(path))
    for line in ("g1", "g2", "g3"):
        client.type(line)
        client.expect(f"^Hi, {line}$")
        server.expect(f"^Receive: {line}$")
    stage.check("each line is answered", client.said("^Hi, g3$"), client.lines[-1])
    client.interrupt()
    client.expect_exit(130)
    server.expect("^client quit$")
    server.expect_exit(0)
    stage.check(
        "the client's end is the end of the stream, and of its server",
        server.lines[-1] == "client quit",
        server.lines[-1],
    )
    stage.check("the server has removed its path", not path.exists())
