"""Who gives up a client that says nothing?

A client sends a line to each of three servers and then nothing, though it stays connected: as it
would after a crash, or with its cable pulled.  The servers limit their wait in three ways: by
SO_RCVTIMEO, by select, and by Python's settimeout.  Each has to give the client up, not before its
time, and serve the next.
"""

import time

from yolanda.labs.stage import Stage

TIMEOUT = 0.8
WAYS = ["rcvtimeo", "select", "settimeout"]


def play(stage: Stage) -> None:
    """Fall silent in front of each server, and come back with `quit`."""
    options = ["--port", "0", "--timeout", str(TIMEOUT)]
    servers = [stage.start("samplebuffer01", *options, "--by", way, name=way) for way in WAYS]
    ports = [server.port() for server in servers]
    began = time.monotonic()
    clients = [stage.connect(port) for port in ports]
    for client in clients:
        client.sendall(b"hello\n")
    stage.note("the director has sent a line to each, and is silent from now on")
    for way, server, port, client in zip(WAYS, servers, ports, clients, strict=True):
        server.expect("received 6 bytes: hello")
        server.expect("read timeout")
        lasted = time.monotonic() - began
        gave_up = client.recv(1) == b"" and lasted >= TIMEOUT
        stage.check(
            f"{way}: the silent client is given up, not before its time",
            gave_up,
            f"after {lasted:.3f} seconds",
        )
        following = stage.connect(port)
        following.sendall(b"quit\n")
        answer = following.recv(128)
        following.close()
        server.expect("client closed")
        stage.check(f"{way}: the next client is served", answer == b"COMMAND OK\n", answer)
