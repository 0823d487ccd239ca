"""Bind two UDP sockets to one port, and see who gets what.

Chapter 15, a question at its end; and one of chapter 14, on connect and multicast.  With
SO_REUSEADDR, set on both, the second socket may have the port as well.  A datagram to this machine
then goes to one of them alone; a datagram to a group goes to all its members, and that is what the
option is for.  Watch, too, that a client which connected to the group cannot be answered: answers
come from a member's own address, and the group is all it listens to.

\b
    $ yolanda run udpreuse
    $ yolanda run udpreuse --no-reuse
"""

import select
import socket

import click

from yolanda.programs.blocking import PORT, endpoint, explain, failed, run_program

HERE = "127.0.0.1"
"""The interface that the group's datagrams use: they do not leave this machine."""
PATIENCE = 5.0
"""Seconds after which what was sent on this machine is lost."""


@click.command("udpreuse", help=__doc__)
@click.option(
    "--group",
    default="239.1.2.3",
    show_default=True,
    metavar="ADDRESS",
    help="The multicast group to join.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The port of both; 0: one the kernel chooses.",
)
@click.option("--reuse/--no-reuse", default=True, help="Set SO_REUSEADDR, or do not.")
def main(group: str, port: int, reuse: bool) -> None:
    """Send to the machine, to the group, and have the members answer."""
    with join(group, port, reuse) as first:
        port = first.getsockname()[1]
        print(f"the first is bound to {endpoint(first.getsockname())}")
        with join(group, port, reuse) as second, client() as sender, client() as connected:
            print(f"the second is bound to {endpoint(second.getsockname())}")
            members = {"first": first, "second": second}

            sender.sendto(b"to the machine", (HERE, port))
            print(f"\nsent to {HERE}:{port}:")
            print(f"  received by the {receivers(members, 1)}")
            sender.sendto(b"to the group", (group, port))
            print(f"sent to {group}:{port}:")
            print(f"  received by the {receivers(members, 2)}")
            connected.connect((group, port))
            connected.send(b"to the group")
            print(f"sent by a client that is connected to {group}:{port}:")
            print(f"  received by the {receivers(members, 2)}")

            for title, asking in (("without a peer", sender), ("connected to it", connected)):
                print(f"answers to a client {title}:")
                for name, member in members.items():
                    print(f"  from the {name}: {answer(member, asking)}")


def join(group: str, port: int, reuse: bool) -> socket.socket:
    """Bind a socket to the port on every address, a group's included, and join the group."""
    member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if reuse:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        member.bind(("0.0.0.0", port))
    except OSError as error:
        member.close()
        raise failed(f"bind 0.0.0.0:{port}", error) from error
    try:
        request = socket.inet_aton(group) + socket.inet_aton(HERE)  # struct ip_mreq
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        member.close()
        raise failed(f"join {group}", error) from error
    return member


def client() -> socket.socket:
    """Make a socket whose datagrams to a group stay on this machine."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
    client.bind((HERE, 0))
    return client


def receivers(members: dict[str, socket.socket], count: int) -> str:
    """Return who received the datagram, when ``count`` of them have."""
    names: list[str] = []
    while len(names) < count:
        readable, _, _ = select.select(list(members.values()), [], [], PATIENCE)
        if not readable:
            break
        for name, member in members.items():
            if member in readable:
                member.recv(100)
                names.append(name)
    return " and the ".join(sorted(names)) or "nobody"


def answer(member: socket.socket, client: socket.socket) -> str:
    """Send an answer to the client; return what became of it.

    The member connects for it, so that it is told when the answer is refused.
    """
    member.connect(client.getsockname())
    member.send(b"here")
    readable, _, _ = select.select([member, client], [], [], PATIENCE)
    try:
        if member in readable:
            member.recv(100)
    except ConnectionRefusedError as error:
        return explain(error)
    if client in readable:
        client.recv(100)
        return "received"
    return "lost"


if __name__ == "__main__":
    run_program(main)
