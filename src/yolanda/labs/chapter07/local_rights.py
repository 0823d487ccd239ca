"""Which rights does a local socket ask for?

To bind a path is to make a file, so a server needs the right to write to the folder.  To connect
is to write to that file.  So the first question at the chapter's end: an ordinary user's client
cannot reach the server of root as long as the path says ``rwxr-xr-x``.

Rights do not hold root back: if root plays this lab, the refused ones are started without its
rights.
"""

from yolanda.labs.stage import Actor, Stage


def play(stage: Stage) -> None:
    """Bind in a folder that others alone may write to, and connect with and without the right."""
    stage.folder.chmod(0o755)  # the way to it is free: what is refused, is refused at its end
    folder = stage.folder / "not-yours"
    folder.mkdir()
    folder.chmod(0o555)
    refused = stage.start("unixstreamserver", str(folder / "sock"), name="server", ordinary=True)
    _expect_refusal(stage, refused)
    stage.check(
        "no right to write to the folder: the server cannot bind",
        refused.said(r"bind .* failed: Permission denied \[EACCES\]"),
        refused.lines[-1],
    )

    path = stage.folder / "unixstream.sock"
    server = stage.start("unixstreamserver", str(path), name="server with rights")
    server.expect("listening on ")
    path.chmod(0o555)
    stage.note("chmod a-w unixstream.sock")
    client = stage.start("unixstreamclient", str(path), ordinary=True)
    _expect_refusal(stage, client)
    stage.check(
        "no right to write to the path: a client cannot connect",
        client.said(r"connect .* failed: Permission denied \[EACCES\]"),
        client.lines[-1],
    )
    path.chmod(0o777)
    stage.note("chmod a+w unixstream.sock")
    client = stage.start("unixstreamclient", str(path), name="with the right", ordinary=True)
    client.type("g1")
    client.expect("^Hi, g1$")
    stage.check("with it, it is served", client.running, "Hi, g1")


def _expect_refusal(stage: Stage, actor: Actor) -> None:
    actor.expect_exit()
    if actor.said("^setuid: "):
        stage.skip(f"root cannot give up its rights here: {actor.lines[-1]}")
