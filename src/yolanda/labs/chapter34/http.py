"""What does the HTTP server answer, and what becomes of the connection?

The course's session with curl, by the director: the page, the text, a picture (the exercise), and
a path that is not there.  To be seen: three answers come over one connection, each with its
length and its type, and after the fourth, a 404, the server closes it.  The trace shows which
thread did what: the main thread accepts, a sub-reactor reads and writes.
"""

import http.client

from yolanda.labs.stage import Stage
from yolanda.programs.chapter34.http_server01 import PAGE, PHOTO


def play(stage: Stage) -> None:
    """Ask four times over one connection."""
    server = stage.start("http_server01", "127.0.0.1:0", "--trace")
    port = server.expect(r"serving http://127\.0\.0\.1:(\d+)/")[1]
    client = http.client.HTTPConnection("127.0.0.1", int(port), timeout=stage.patience)
    client.sock = stage.connect(port)
    for path, status, kind, body in (
        ("/", 200, "text/html", PAGE),
        ("/network?a=query", 200, "text/plain", b"hello, network programming"),
        ("/photo", 200, "image/png", PHOTO),
    ):
        client.request("GET", path)
        answer = client.getresponse()
        received = answer.read()
        length = answer.headers["Content-Length"]
        seen = f"{answer.status} {answer.reason}, {answer.headers['Content-Type']}, {length} bytes"
        stage.note(f"GET {path}: {seen}, Connection: {answer.headers['Connection']}")
        stage.check(
            f"{path}: {status} with its type and its length",
            (answer.status, answer.headers["Content-Type"], length)
            == (status, kind, str(len(body)))
            and received == body,
            seen,
        )
    client.request("GET", "/nothing-here")
    answer = client.getresponse()
    answer.read()
    stage.note(f"GET /nothing-here: {answer.status}, Connection: {answer.headers['Connection']}")
    stage.check(
        "/nothing-here: 404, and the server closes",
        answer.status == 404 and answer.headers["Connection"] == "close",
        f"{answer.status} {answer.reason}",
    )
    server.expect(r"delete channel fd == \d+, Thread-[12]")
    accepted = [line for line in server.lines if "new connection established" in line]
    stage.check(
        "all four came over one connection", len(accepted) == 1, f"{len(accepted)} accepted"
    )
    fd = accepted[0].rpartition(" ")[2]
    served = {
        line.rpartition(", ")[2]
        for line in server.lines
        if f"get message channel fd=={fd} for read" in line
    }
    stage.check(
        "a sub-reactor served it, and always the same",
        served in ({"Thread-1"}, {"Thread-2"}),
        " ".join(served),
    )
    server.interrupt()
    server.expect_exit(0)
