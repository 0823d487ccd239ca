"""Look up what a port is kept for, and try whether a reserved one can be had.

Chapter 3.  Without an argument, the ranges of ports and the services that the course lists, as
this machine names them (services(5), mostly /etc/services).  Watch two numbers of this system's:
below the one a port is for the privileged only, and between the other two lie the ports that the
kernel gives to clients, where a server may find its own taken.

\b
    $ yolanda run reserved-ports
    $ yolanda run reserved-ports 22 http domain 43211
    $ yolanda run reserved-ports --try 80
"""

import os
import socket
import sys
from pathlib import Path

import click

from yolanda.programs.blocking import failed, run_program

# Who assigns a port (RFC 6335).
RANGES = [
    (range(1024), "system port: for standard services, assigned with care"),
    (range(1024, 49152), "user port: assigned to whoever asks for it"),
    (range(49152, 65536), "dynamic port: assigned to nobody"),
]

# The ports that netinet/in.h names, as in the course.
RESERVED = [7, 9, 11, 13, 15, 21, 23, 25, 37, 42, 43, 57, 69, 77, 79, 87, 95, 512, 513, 514, 520]

PROTOCOLS = ("tcp", "udp")
SETTINGS = Path("/proc/sys/net/ipv4")  # of both IPv4 and IPv6
CAP_NET_BIND_SERVICE = 10  # linux/capability.h


@click.command("reserved-ports", help=__doc__)
@click.argument("services", nargs=-1, metavar="[PORT|NAME]...")
@click.option(
    "--try",
    "wanted",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Bind this port of 127.0.0.1, and say whether it can be had.",
)
def main(services: tuple[str, ...], wanted: int | None) -> None:
    """Print the table, look up services, or try a port."""
    answers = [look_up(service) for service in services]
    if answers:
        print("\n".join(answers))
    elif wanted is None:
        show_ranges()
        print("\nThe services that the course lists, by the names that they have here:")
        for port in RESERVED:
            print(f"  {port:5}  {names(port) or 'no name'}")
    if wanted is not None:
        try_port(wanted)


def show_ranges() -> None:
    """Print who may have which ports."""
    for ports, meaning in RANGES:
        print(f"{ports[0]:5} to {ports[-1]:5}  {meaning}")
    print("On this system:")
    if (first := first_free_port()) > 1:
        print(f"{1:5} to {first - 1:5}  for the privileged only")
    if ephemeral := ephemeral_ports():
        print(
            f"{ephemeral[0]:5} to {ephemeral[-1]:5}  given to clients, and to who asks for port 0"
        )


def look_up(service: str) -> str:
    """Say what is known about a port or, by its name, about a service.

    Raises `click.BadParameter` for what is neither.
    """
    if service.isascii() and service.isdigit():
        port = int(service) if len(service) < 10 else sys.maxsize
        if port > 65535:
            raise click.BadParameter(f"{service}: a port is at most 65535", param_hint="PORT")
        return f"{port}: {names(port) or 'no service'}; {describe(port)}"
    found: dict[int, list[str]] = {}
    for protocol in PROTOCOLS:
        try:
            found.setdefault(socket.getservbyname(service, protocol), []).append(protocol)
        except (OSError, ValueError):  # not there; no text for the C library
            continue
    if not found:
        raise click.BadParameter(
            f"{service!r}: no service of this name is known", param_hint="NAME"
        )
    return "\n".join(
        f"{service}: {', '.join(f'{port}/{protocol}' for protocol in protocols)}; {describe(port)}"
        for port, protocols in found.items()
    )


def names(port: int) -> str:
    """Return the services of a port, ``domain/tcp, domain/udp``; empty if there are none."""
    found = []
    for protocol in PROTOCOLS:
        try:
            found.append(f"{socket.getservbyport(port, protocol)}/{protocol}")
        except OSError:
            continue
    return ", ".join(found)


def describe(port: int) -> str:
    """Say to which ranges a port belongs."""
    said = [meaning.partition(":")[0] for ports, meaning in RANGES if port in ports]
    if port < first_free_port():
        said.append("for the privileged only")
    if port in (ephemeral_ports() or ()):
        said.append("may be given to a client here")
    return ", ".join(said)


def first_free_port() -> int:
    """Return the lowest port that needs no privilege: 1024, unless Linux was told otherwise."""
    try:
        return int((SETTINGS / "ip_unprivileged_port_start").read_text())
    except FileNotFoundError:
        return 1024


def ephemeral_ports() -> range | None:
    """Return the ports from which the kernel chooses, or None where it does not tell."""
    try:
        first, last = (SETTINGS / "ip_local_port_range").read_text().split()
    except FileNotFoundError:
        return None
    return range(int(first), int(last) + 1)


def try_port(port: int) -> None:
    """Bind a port of the loopback interface, having said what is to be expected."""
    if port < first_free_port():
        print(
            f"{port} is below {first_free_port()} (net.ipv4.ip_unprivileged_port_start): ", end=""
        )
        print(f"it needs a privilege, and this process {'has' if privileged() else 'lacks'} it")
    else:
        print(f"{port} is not below {first_free_port()}: it needs no privilege")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            raise failed(f"bind 127.0.0.1:{port}", error) from error
        print(f"bind 127.0.0.1:{port}: done")


def privileged() -> bool:
    """Whether this process may have any port: on Linux by a capability, elsewhere as root."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return os.geteuid() == 0
    sets = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return bool(int(sets["CapEff"], 16) >> CAP_NET_BIND_SERVICE & 1)


if __name__ == "__main__":
    run_program(main)
