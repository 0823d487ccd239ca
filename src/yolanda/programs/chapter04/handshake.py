"""Connect to a server that does not accept, and follow the handshake in the kernel's table.

Chapter 4.  Both sides live in this process.  Watch who needs whom: ``connect`` wants a socket that
listens and nothing more, for the handshake is the kernels' affair, and ``accept`` only hands out
what is ready.  Connections that nobody has accepted wait in a queue; once it is full (its length is
``listen``'s backlog, and one more on Linux) the next SYN is not answered, and its client stays in
SYN_SENT and sends it again.

\b
    $ yolanda run handshake
    $ yolanda run handshake --backlog 0
    $ yolanda run handshake --backlog 5
    $ yolanda run handshake --client-port 43212
"""

import errno
import os
import select
import socket
import time

import click

from yolanda.programs.blocking import PORT, endpoint, explain, failed, run_program, tcp_client
from yolanda.programs.socket_table import TcpRow, tcp_sockets

HOST = "127.0.0.1"
SOON = 0.5
"""Seconds in which a connection on this machine is made, if it can be: it takes no millisecond."""
PATIENCE = 15.0
"""Seconds for a SYN that is sent again: the kernel does so after one, and then again and again."""


@click.command("handshake", help=__doc__)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The server's; 0: one that the kernel chooses.",
)
@click.option(
    "--backlog",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="What `listen` is given.",
)
@click.option(
    "--client-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Bind the first client to this port; without it, `connect` lets the kernel choose.",
)
def main(port: int, backlog: int, client_port: int | None) -> None:
    """Bind, listen, connect and accept, with a look at the table after each."""
    clients: list[socket.socket] = []
    try:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bind(server, port, "server")
            show(server, clients)
            refuse(server.getsockname()[1])

            server.listen(backlog)
            print(f"server listen, with a backlog of {backlog}")
            show(server, clients)

            waiting = fill(server, backlog, client_port, clients)
            show(server, clients)
            accept(server, waiting)
    finally:
        for client in clients:
            client.close()


def bind(made: socket.socket, port: int, name: str) -> None:
    """Give a socket its address."""
    try:
        made.bind((HOST, port))
    except OSError as error:
        raise failed(f"{name}: bind {HOST}:{port}", error) from error
    print(f"{name} bind {endpoint(made.getsockname())}")


def refuse(port: int) -> None:
    """Connect to a port that is bound, and where nobody listens."""
    try:
        tcp_client(HOST, port).close()
    except ConnectionRefusedError as error:
        print(f"a client: {explain(error)}: a RST came")
    else:
        print("a client: connected, to somebody else who listens at this port")


def fill(
    server: socket.socket, backlog: int, client_port: int | None, clients: list[socket.socket]
) -> socket.socket | None:
    """Connect until one is not answered, and return that one; each is entered in ``clients``."""
    address = server.getsockname()
    for number in range(1, 2 * backlog + 4):  # BSD lets half as many more wait
        client = socket.socket()
        clients.append(client)
        name = f"client {number}"
        if client_port is not None and number == 1:
            bind(client, client_port, name)
        client.setblocking(False)
        result = client.connect_ex(address)
        if result not in (0, errno.EINPROGRESS):
            raise failed(
                f"{name}: connect {endpoint(address)}", OSError(result, os.strerror(result))
            )
        local = endpoint(client.getsockname())
        if not connected(client, SOON):
            print(f"{name} connect, from {local}: not yet, the queue is full")
            return client
        print(f"{name} connect, from {local}: done")
    return None


def connected(client: socket.socket, seconds: float) -> bool:
    """Wait until the handshake is over, and return whether it is.  Raises its error."""
    _, writable, _ = select.select([], [client], [], seconds)
    if not writable:
        return False
    number = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise failed("connect", OSError(number, os.strerror(number)))
    return True


def accept(server: socket.socket, waiting: socket.socket | None) -> None:
    """Take one out of the queue, and see its place filled."""
    began = time.monotonic()
    connection, peer = server.accept()
    with connection:
        print(f"server accept: {endpoint(peer)}, descriptor {connection.fileno()}")
        print(f"    and the one that listens is still {server.fileno()}")
        if waiting is None:
            return
        name = endpoint(waiting.getsockname())
        if connected(waiting, PATIENCE):
            passed = time.monotonic() - began
            print(f"{name}: done now, {passed:.2f} s after that, when its SYN was sent again")
        else:
            print(f"{name}: not answered in {PATIENCE:.0f} s")


def show(server: socket.socket, clients: list[socket.socket]) -> None:
    """Print what the kernel's table says of the server's port, once no handshake is half done."""
    try:
        rows = table(server)
        deadline = time.monotonic() + PATIENCE
        while any(row.state == "SYN_RECV" for row in rows) and time.monotonic() < deadline:
            time.sleep(0.01)
            rows = table(server)
    except OSError as error:
        print(f"    {explain(error)}")  # the rest of the experiment needs no table
        return
    address = endpoint(server.getsockname())
    listening = [row for row in rows if row.local == address and row.state == "LISTEN"]
    print(f"    server: {describe(listening[0]) if listening else 'not in the table'}")
    for number, client in enumerate(clients, 1):
        local = endpoint(client.getsockname())
        ends = [
            next((describe(row) for row in rows if (row.local, row.peer) == pair), "none")
            for pair in ((local, address), (address, local))
        ]
        print(f"    client {number}: {ends[0]}; its end at the server: {ends[1]}")


def table(server: socket.socket) -> list[TcpRow]:
    """Return the rows of the server's port."""
    return tcp_sockets(server.getsockname()[1])


def describe(row: TcpRow) -> str:
    """Say a socket's state, and what it waits for."""
    if row.state == "LISTEN":
        return f"LISTEN, {row.receive_queue} to be accepted"
    if row.state == "SYN_SENT":
        return f"SYN_SENT, again in {row.timer_seconds:.2f} s"
    return row.state


if __name__ == "__main__":
    run_program(main)
