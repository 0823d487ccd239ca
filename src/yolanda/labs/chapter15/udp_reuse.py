"""Who gets a datagram, when two UDP sockets share a port?

With SO_REUSEADDR on both, the second may bind the port as well.  What is sent to the machine goes
to one of them; what is sent to a multicast group that they joined goes to both.  A client that
connected to the group sends to it, and cannot be answered.
"""

import errno
import sys

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Watch the program with the option, and without."""
    if not sys.platform.startswith("linux"):
        stage.skip("other systems share ports by other rules")
    shared = stage.start("udpreuse", "--port", "0")
    alone = shared.expect("received by the (.*)")[1]
    both = shared.expect("received by the (.*)")[1]
    connected = shared.expect("received by the (.*)")[1]
    answers = [shared.expect("from the (?:first|second): (.*)")[1] for _ in range(4)]
    shared.expect_exit(0)
    stage.check("a datagram to the machine goes to one", alone in ("first", "second"), alone)
    stage.check("a datagram to the group goes to both", both == "first and the second", both)
    stage.check(
        "a client can connect to the group, and send",
        connected == "first and the second",
        connected,
    )
    stage.check(
        "a client without a peer gets the answers",
        answers[:2] == ["received", "received"],
        ", ".join(answers[:2]),
    )
    stage.check(
        "one that is connected to the group does not",
        all(answer.endswith("[ECONNREFUSED]") for answer in answers[2:]),
        ", ".join(answers[2:]),
    )

    refused = stage.start("udpreuse", "--port", "0", "--no-reuse", name="without the option")
    status = refused.expect_exit()
    stage.check(
        "without the option, the second is refused the port",
        status == 1 and refused.said(errno.errorcode[errno.EADDRINUSE]),
        refused.lines[-1],
    )
