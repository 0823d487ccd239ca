"""The mid-term: may a client leave as it likes, and is the next one served from the start?

The session of the course is played with the server, then a client is killed in the middle of a
line.  The next one begins where the server was started: a client's directory goes with the client,
and the server's own never changes.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Walk about, quit; die; come again."""
    home = stage.folder.resolve()
    (home / "build" / "bin").mkdir(parents=True)
    (home / "README.md").touch()
    server = stage.start("telnet-server", "--port", "0")
    port = server.port()

    first = stage.start("telnet-client", "127.0.0.1", port, name="first client")
    first.type("pwd")
    first.expect(f"^{home}$")
    first.type("cd build/bin")
    first.type("pwd")
    walked = first.expect("^/.*")
    first.type("cd ..")
    first.type("ls")
    first.expect("^bin$")
    first.type("cd -")
    first.type("pwd")
    back = first.expect("^/.*")
    first.type("cd nowhere")
    refused = first.expect("change dir failed")
    first.type("rm -r *")
    unknown = first.expect("error")
    first.type("quit")
    first.expect("server closed")
    first.expect_exit(0)
    server.expect("client closed")
    stage.check("cd changes what pwd says", walked[0] == f"{home}/build/bin", walked[0])
    stage.check("cd - goes back", back[0] == walked[0], back[0])
    stage.check("an error of cd reaches the client", "ENOENT" in refused.string, refused.string)
    stage.check("no shell is run", "unknown input type" in unknown.string, unknown.string)
    stage.check("quit ends the client, not the server", server.running, "server closed")

    second = stage.start("telnet-client", "127.0.0.1", port, name="second client")
    second.type("cd build")
    second.type("pwd")
    second.expect("build$")
    second.kill()
    server.expect("client (closed|lost)")

    third = stage.start("telnet-client", "127.0.0.1", port, name="third client")
    third.type("pwd")
    begun = third.expect("^/.*")
    third.type("ls")
    third.expect("^README.md$")
    third.end_input()
    third.expect_exit(0)
    stage.check("the next client begins at the start", begun[0] == str(home), begun[0])
