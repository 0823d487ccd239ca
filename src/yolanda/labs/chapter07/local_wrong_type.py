"""What happens when the path is right and the type of the socket is not?

The third question at the chapter's end.  Ports of TCP and of UDP have nothing to do with each
other: a UDP client at a TCP server's port finds nobody.  A path is one name for whatever is bound
to it, so the kernel finds the server, sees that it is of another type, and says just that.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Cross a stream client with a datagram server, and the other way round."""
    data, stream = stage.folder / "unixdata.sock", stage.folder / "unixstream.sock"
    data_server = stage.start("unixdataserver", str(data))
    data_server.expect("listening on ")
    client = stage.start("unixstreamclient", str(data))
    client.expect_exit(1)
    stage.check(
        "a stream client cannot connect to a datagram server",
        client.said(r"connect .* failed: .*\[EPROTOTYPE\]"),
        client.lines[-1],
    )

    stream_server = stage.start("unixstreamserver", str(stream))
    stream_server.expect("listening on ")
    client = stage.start("unixdataclient", str(stream))
    client.type("g1")
    client.expect_exit(1)
    stage.check(
        "a datagram client cannot send to a stream server",
        client.said(r"sendto .* failed: .*\[EPROTOTYPE\]"),
        client.lines[-1],
    )

    for right, server, path in (
        ("unixdataclient", data_server, data),
        ("unixstreamclient", stream_server, stream),
    ):
        client = stage.start(right, str(path), name=f"right {right}")
        client.type("g2")
        client.expect("^Hi, g2$")
        server.expect("^Receive: g2$")
        client.end_input()  # not killed with the stage: it has a path to remove
        client.expect_exit(0)
        stage.check(f"the right {right} is served", server.said("g2") and not server.said("g1"))
