"""Close one end first, and see in the kernel's own table who holds TIME_WAIT.

Chapter 10.  Both ends live in this process, and the table (/proc/net/tcp, which netstat reads too)
is shown after each step.  Watch which end stays in TIME_WAIT after both are closed: always the one
that closed first.  With ``--linger``, watch how long its ``close`` takes, and what the other end
sees: FIN or RST, all of the bytes or some.

\b
    $ yolanda run timewait
    $ yolanda run timewait --first server
    $ yolanda run timewait --linger 0 --fill                   (RST, and no TIME_WAIT)
    $ yolanda run timewait --linger 2 --fill                   (close gives up after 2 seconds)
    $ yolanda run timewait --linger 9 --fill --read-after 1    (close waits for the reader)
"""

import socket
import struct
import threading
import time

import click

from yolanda.programs.blocking import (
    endpoint,
    explain,
    failed,
    run_program,
    tcp_client,
    tcp_server_listen,
)
from yolanda.programs.socket_table import TcpRow, tcp_sockets

PASSING = {"FIN_WAIT1", "CLOSING", "LAST_ACK"}  # states that the other end's ACK ends


@click.command("timewait", help=__doc__)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
@click.option(
    "--first",
    type=click.Choice(["client", "server"]),
    default="client",
    show_default=True,
    help="Who closes first.",
)
@click.option(
    "--linger",
    type=click.IntRange(0, 32767),
    metavar="SECONDS",
    help="Turn SO_LINGER on for the end that closes first; without this it is off.",
)
@click.option(
    "--fill", is_flag=True, help="Let it fill the buffers before, which the other does not read."
)
@click.option(
    "--read-after",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="When the other end reads; without this, once `close` has returned.",
)
def main(
    host: str, port: int, first: str, linger: int | None, fill: bool, read_after: float | None
) -> None:
    """Connect, close one end and then the other."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        client, server = connected_pair(listener)
    ends = {"client": client, "server": server}
    names = {endpoint(end.getsockname()): name for name, end in ends.items()}
    other = "server" if first == "client" else "client"
    show("connected", names)

    with ends[first] as closing, ends[other] as staying:
        if linger is not None:
            set_linger(closing, linger)
        print(f"SO_LINGER of the {first}: {get_linger(closing)}")
        if fill:
            print(f"{first} send into buffer {fill_buffers(closing)}, and it is full")

        saw: list[str] = []
        reader = threading.Thread(
            target=lambda: saw.append(read_to_end(staying, read_after or 0)), daemon=True
        )
        start = time.monotonic()
        if read_after is not None:
            reader.start()
        try:
            closing.close()
        except OSError as error:
            raise failed("close", error) from error
        print(f"{first} close returned after {time.monotonic() - start:.3f} s")
        if fill:
            show(f"{first} closed", names)

        if read_after is None:
            reader.start()
        reader.join()
        print(f"{other} {saw[0]}")
        show(f"{first} closed, {other} read to the end", names, settled=True)
    show("both closed", names, settled=True)


def connected_pair(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Connect to ``listener`` and return both ends, the client's and the server's."""
    host, port = listener.getsockname()[:2]
    client = tcp_client(host, port)
    while True:
        server, peer = listener.accept()
        if peer == client.getsockname():
            return client, server
        server.close()  # somebody else, who found the port sooner


def set_linger(connection: socket.socket, seconds: int) -> None:
    """Turn SO_LINGER on: 0 seconds make ``close`` send an RST, more make it wait."""
    linger = struct.pack("ii", 1, seconds)  # struct linger: l_onoff, l_linger
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def get_linger(connection: socket.socket) -> str:
    """Ask the kernel for the option as it is set now."""
    on, seconds = struct.unpack("ii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
    return f"on, {seconds} s" if on else "off"


def fill_buffers(connection: socket.socket) -> int:
    """Send until the kernel takes no more, and say how much it took."""
    size = 0
    connection.setblocking(False)
    try:
        while True:
            size += connection.send(b"a" * 65536)
    except BlockingIOError:
        connection.setblocking(True)
        return size


def read_to_end(connection: socket.socket, after: float) -> str:
    """Read until the stream ends or breaks, and say how much it was and what came last."""
    time.sleep(after)
    size = 0
    try:
        while data := connection.recv(65536):
            size += len(data)
    except OSError as error:
        return f"read {size} bytes, then {explain(error)}: an RST came"
    return f"read {size} bytes, then the end: a FIN came"


def show(moment: str, names: dict[str, str], settled: bool = False) -> None:
    """Print the two rows of the kernel's table; ``settled`` waits until nothing is under way."""
    try:
        rows = find(names)
        deadline = time.monotonic() + 5
        while settled and time.monotonic() < deadline:
            before = {row.local: row.state for row in rows}
            time.sleep(0.01)
            rows = find(names)
            now = {row.local: row.state for row in rows}
            if now == before and not PASSING & set(now.values()):
                break
    except OSError as error:
        print(f"{moment}: {explain(error)}")  # the rest of the experiment needs no table
        return
    print(f"{moment}:")
    for address, name in names.items():
        state = next((describe(row) for row in rows if row.local == address), "gone")
        print(f"    {name} {address} {state}")


def find(names: dict[str, str]) -> list[TcpRow]:
    """Find the rows of this connection, which is named by both of its ends."""
    port = int(next(iter(names)).rpartition(":")[2])
    return [row for row in tcp_sockets(port) if row.local in names and row.peer in names]


def describe(row: TcpRow) -> str:
    """Say the state, and what is still to come."""
    if row.timer == "timewait":
        return f"{row.state} for {row.timer_seconds:.0f} more s"
    return f"{row.state}, {row.send_queue} bytes to send" if row.send_queue else row.state


if __name__ == "__main__":
    run_program(main)
