"""How does a read learn that the peer is gone?

The server is killed while it rests before its answer.  Its kernel closes the connection as `close`
would have done: a FIN comes, and the client, which waits in `recv`, sees the end of the stream at
once.  A FIN queues behind the data, though: a second client, which stands still while the server
answers and dies, reads the answer first and the end after it.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Kill a server before its answer, and one after it."""
    server = stage.start("reliable_server01", "--port", "0", "--pause", "60")
    client = stage.start("reliable_client01", "127.0.0.1", "--port", server.port())
    client.type("good")
    server.expect("read bytes: 5")
    server.kill()
    seen = client.expect("peer connection closed")[0]
    status = client.expect_exit()
    stage.check("recv returned at the FIN: end of stream", True, seen)
    stage.check("the client ended, and said that it failed", status == 1, f"exit status {status}")

    server = stage.start("reliable_server01", "--port", "0", "--pause", "0", name="second server")
    reader = stage.connect(server.port())
    reader.sendall(b"good\n")
    server.expect("send bytes: 5")
    server.kill()
    stage.note("the server has answered and is dead; only now the director reads")
    first, second = reader.recv(128), reader.recv(128)
    stage.note(f"recv: {first!r}, then {second!r}")
    stage.check("what came before the FIN is not lost", first == b"good\n", first)
    stage.check("the end of the stream comes after it", second == b"", second)
