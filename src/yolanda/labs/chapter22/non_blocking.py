"""What does a write do that would have to wait?

It takes what there is room for, or fails with EAGAIN if there is none: the program keeps the rest
until the socket is writable again.  A client sends two megabytes to nonblockingserver and does
not read, so that the server's writes find no room; a second client is answered all the same.
Then the first one reads, and not a byte is lost.
"""

import threading

from yolanda.labs.stage import Stage
from yolanda.programs.blocking import readn, rot13

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 50_000


def play(stage: Stage) -> None:
    """Stop up one connection, talk over another."""
    server = stage.start("nonblockingserver", "--port", "0", "--pause", "0", "--sndbuf", "8192")
    port = server.port()
    slow = stage.connect(port)
    server.expect("accepted")
    stage.note(f"a client sends {len(TEXT):,} bytes and does not read")
    sender = threading.Thread(target=slow.sendall, args=(TEXT,), daemon=True)
    sender.start()
    blocked = server.expect(r"send on socket fd == \d+ would block, \d+ bytes wait")
    stage.check("a write finds no room, and the rest is kept", True, blocked[0])

    other = stage.connect(port)
    other.sendall(b"fasfasfasf\n")
    answer = other.recv(100)
    stage.check("another client is answered meanwhile", answer == b"snfsnfsnfs\n", answer)

    stage.note("the first client reads")
    received = readn(slow, len(TEXT))
    sender.join(stage.patience)
    intact = received == rot13(TEXT)
    stage.check("the first one gets all of it, in order", intact, f"{len(received):,} bytes")
