"""Can one thread serve many clients, so that none disturbs another?

Three clients of pollserver: what each types comes back to it alone.  One of them is killed and the
others go on.  Then a client comes that sends and sends and never reads its answers, and another
150, more than the course's array of 128 could hold: nobody waits for anybody.
"""

import socket

from yolanda.labs.stage import Actor, Stage

MANY = 150


def play(stage: Stage) -> None:
    """Let them talk, kill one, stop up another, and bring a crowd."""
    server = stage.start("pollserver", "--port", "0")
    port = server.port()
    clients = [
        stage.start("select01", "--port", port, name=f"client {number}") for number in (1, 2, 3)
    ]
    server.expect("clients: 3")
    echoed = [say(client, f"i am {client.name}") for client in clients]
    stage.check("each client gets its own words", all(echoed), "3 clients")

    clients[1].kill()
    server.expect("clients: 2")
    alive = say(clients[0], "still there?") and say(clients[2], "me too")
    stage.check("one is killed, the others are served", alive)

    stage.note("a client sends until its socket takes no more, and never reads")
    deaf = stage.connect(port)
    server.expect("clients: 3")
    sent = fill(stage, deaf)
    answered = say(clients[0], "and now?")
    stage.check("one does not read, the others are served", answered, f"{sent:,} bytes sent to it")

    stage.note(f"{MANY} clients more")
    crowd = [stage.connect(port) for _ in range(MANY)]
    for number, client in enumerate(crowd):
        client.sendall(b"number %d\n" % number)
    answers = [client.makefile("rb").readline() for client in crowd]
    own = [b"number %d\n" % number for number in range(MANY)]
    counted = server.expect(rf"clients: {3 + MANY}$")
    stage.check("there is room for more than 128", answers == own, counted[0])


def say(client: Actor, line: str) -> bool:
    """Type a line into a client, and wait until it prints the echo."""
    client.type(line)
    client.expect("send bytes")
    return client.expect(f"^{line.replace('?', '[?]')}$") is not None


def fill(stage: Stage, connection: socket.socket) -> int:
    """Send until all buffers on the way there and back are full; return how much they took."""
    connection.settimeout(0.3)  # that nothing is taken so long is enough to call them full
    sent = 0
    try:
        while True:
            sent += connection.send(bytes(65536))
    except TimeoutError:
        return sent
