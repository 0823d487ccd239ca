"""Connect a UDP socket twice, then disconnect it, and try each time who gets through.

Chapter 14, the question at its end.  A client and two servers in one program.  A TCP socket is
connected once; a UDP socket may change its peer as often as it likes, for nothing is sent.  To have
no peer again it connects to an address of the family AF_UNSPEC.  Watch the two directions: what the
client can send, and whose datagrams reach it.

\b
    $ yolanda run udpreconnect
    $ yolanda run udpreconnect --port 0          (what happens to a port the kernel chose)
"""

import ctypes
import errno
import os
import select
import socket

import click

from yolanda.programs.blocking import PORT, endpoint, explain, run_program, udp_server

HOST = "127.0.0.1"
PATIENCE = 5.0
"""Seconds after which a datagram on this machine, and the news of its refusal, are lost."""


def disconnect(client: socket.socket) -> None:
    """Take its peer from a UDP socket, by connecting it to an address without a family.

    Python's own ``connect`` makes an address of the socket's family from what it is given, so it
    cannot say AF_UNSPEC; the C library's takes the bytes as they are.  A ``sockaddr`` of 16 zeros
    will do: AF_UNSPEC is 0.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    nowhere = bytes(16)
    if libc.connect(client.fileno(), nowhere, len(nowhere)) < 0:
        number = ctypes.get_errno()
        if number != errno.EAFNOSUPPORT:  # what BSD and macOS say when they have done it
            raise OSError(number, f"connect to AF_UNSPEC: {os.strerror(number)}")


@click.command("udpreconnect", help=__doc__)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The client's own; 0: one the kernel chooses.",
)
def main(port: int) -> None:
    """Go through the four states of the client."""
    servers = {"first": udp_server(HOST, 0), "second": udp_server(HOST, 0)}
    with servers["first"] as first, servers["second"] as second, udp_server(HOST, port) as client:
        for name, server in servers.items():
            # The servers have a peer, too, all the time: so they are told when a datagram of
            # theirs is refused.  That nothing has come yet would prove nothing.
            server.connect(client.getsockname())
            print(f"{name} server: {endpoint(server.getsockname())}")

        show("not connected", client, servers)
        client.connect(first.getsockname())
        show("connected to the first", client, servers)
        send_elsewhere(client, second)
        client.connect(second.getsockname())
        show("connected again, to the second", client, servers)
        disconnect(client)
        show("connected to AF_UNSPEC", client, servers)


def show(state: str, client: socket.socket, servers: dict[str, socket.socket]) -> None:
    """Print the client's addresses, where its ``send`` goes, and whom it hears."""
    print(f"\n{state}:")
    print(f"  local {endpoint(client.getsockname())}, peer {peer(client)}")
    print(f"  client sends: {send(client, servers)}")
    for name, server in servers.items():
        print(f"  {name} server sends: {receive(client, server)}")


def peer(client: socket.socket) -> str:
    """Return the address that the socket is connected to."""
    try:
        return endpoint(client.getpeername())
    except OSError as error:
        return f"none ({explain(error)})"


def send(client: socket.socket, servers: dict[str, socket.socket]) -> str:
    """Send without an address; return which server got it."""
    try:
        client.send(b"from the client")
    except OSError as error:
        return explain(error)
    readable, _, _ = select.select(list(servers.values()), [], [], PATIENCE)
    for name, server in servers.items():
        if server in readable:
            server.recv(100)
            return f"the {name} server received it"
    return "it is lost"


def send_elsewhere(client: socket.socket, server: socket.socket) -> None:
    """Send to another than the peer."""
    try:
        client.sendto(b"to another", server.getsockname())
    except OSError as error:  # as on macOS
        print(f"  client sends to the second by sendto: {explain(error)}")
        return
    server.settimeout(PATIENCE)
    server.recv(100)
    print("  client sends to the second by sendto: the second server received it")


def receive(client: socket.socket, server: socket.socket) -> str:
    """Let the server send to the client; return what became of it."""
    server.send(b"from a server")
    readable, _, _ = select.select([client, server], [], [], PATIENCE)
    try:
        if server in readable:
            server.recv(100)
    except ConnectionRefusedError as error:
        return explain(error)
    if client in readable:
        client.recv(100)
        return "the client received it"
    return "it is lost"


if __name__ == "__main__":
    run_program(main)
