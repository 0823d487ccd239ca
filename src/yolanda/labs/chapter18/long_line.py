"""Where does a line get too long?

The server takes lines of ten bytes.  Ten are taken, whatever ends them; eleven are refused, ended
or not, for nobody who waits for the end of a line may wait without a limit.  A flood without any
newline, a megabyte of it, is refused like the rest, and the next client is served each time.
"""

from yolanda.labs.stage import Stage

FLOOD = b"a" * 1_000_000


def play(stage: Stage) -> None:
    """Send lines at the limit, over it, and without an end."""
    server = stage.start("samplebuffer03", "--port", "0", "--limit", "10")
    port = server.port()
    client = stage.start("bufferclient", "127.0.0.1", "--port", port)
    client.type("012345678")
    client.type("0123456789\r")
    sizes = [int(server.expect(r"received (\d+) bytes")[1]) for _ in range(2)]
    stage.check("nine and ten bytes are taken, their endings not counted", sizes == [9, 10], sizes)
    client.type("0123456789a")
    refused = server.expect("error read message: .*")[0]
    stage.check("eleven are refused", "longer than 10" in refused, refused)

    unended = stage.connect(port)
    stage.note("the director sends eleven bytes, and no end of the line")
    unended.sendall(b"0123456789a")
    refused = server.expect("error read message: .*")[0]
    stage.check("eleven are refused before their end is there", "longer" in refused, refused)

    flood = stage.connect(port)
    stage.note(f"the director sends {len(FLOOD):,} bytes without a newline")
    try:
        flood.sendall(FLOOD)
    except OSError as error:
        stage.note(f"send failed, for the server has hung up: {error.strerror}")
    refused = server.expect("error read message: .*")[0]
    stage.check("a flood without a newline is refused", "longer" in refused, refused)

    following = stage.connect(port)
    following.sendall(b"next\n")
    served = server.expect("received .*")[0]
    stage.check("the next client is served", served == "received 4 bytes: next", served)
