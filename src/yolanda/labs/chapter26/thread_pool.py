"""What becomes of the fourth client, with two threads and a queue for one?

Clients 1 and 2 have a thread each.  Client 3 is in the queue.  With client 4 the queue is full: the
accepting thread waits for room (the course's ring, when full, looks empty: client 3 would wait for
ever).  As soon as one leaves, the next has its turn.  Nobody is lost; but nobody is served either
while those before are silent, which is the limit of blocking threads.
"""

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Fill the pool, then the queue; then let them leave one by one."""
    server = stage.start("thread02", "--port", "0", "--threads", "2", "--queue", "1")
    port = server.port()
    first = LineClient(stage, "client 1", port)
    server.expect("get fd in thread")
    second = LineClient(stage, "client 2", port)
    server.expect("get fd in thread")
    third = LineClient(stage, "client 3", port)
    server.expect("push fd")
    fourth = LineClient(stage, "client 4", port)
    full = server.expect("queue is full, fd .* waits")
    stage.check("with client 4 the queue is full, and the accepting thread waits", True, full[0])
    third.send("three")
    fourth.send("four")

    answers = [first.ask("one"), second.ask("two")]
    stage.check("the two that have a thread are served", answers == ["bar", "gjb"])
    served = sum("get fd in thread" in line for line in server.lines)
    stage.check("the two others are not", served == 2 and not third.has_answer())

    first.leave()
    stage.check("when client 1 leaves, client 3 is answered", third.answer() == "guerr")
    server.expect("push fd")
    second.leave()
    stage.check("when client 2 leaves, client 4 is: nobody was lost", fourth.answer() == "sbhe")
