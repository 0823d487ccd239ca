"""Make a socket in each address family, bind it, and show the address as the kernel has it.

Chapter 4, and the structures of chapter 3.  Watch what ``getsockname`` says before and after
``bind``: the wildcard address stays (it stands for every address of this machine), and a port 0 has
become a free one of the kernel's choice.  The bytes are those that ``getsockname(2)`` fills in: the
family in this machine's byte order, the port and the address in the network's.

\b
    $ yolanda run make-socket
    $ yolanda run make-socket --family ipv4 --port 43211
    $ yolanda run make-socket --address ::1
    $ yolanda run make-socket --family local --path @name
"""

import ctypes
import errno
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from yolanda.programs.blocking import endpoint, explain, failed, resolve, run_program

FAMILIES = {
    "ipv4": socket.AF_INET,
    "ipv6": socket.AF_INET6,
    "local": socket.AF_UNIX,
}
# The structures, and how many bytes they have.
SIZES = {
    socket.AF_INET: ("struct sockaddr_in", 16),
    socket.AF_INET6: ("struct sockaddr_in6", 28),
    socket.AF_UNIX: ("struct sockaddr_un", 110 if sys.platform == "linux" else 106),
}
WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # INADDR_ANY, IN6ADDR_ANY
MISSING = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # what a machine without IPv6 says


@click.command("make-socket", help=__doc__)
@click.option(
    "--family", type=click.Choice(list(FAMILIES)), help="This one alone; without it, each of them."
)
@click.option("--address", metavar="HOST", help="Bind this address in place of the wildcard.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="0: one that the kernel chooses.",
)
@click.option(
    "--path",
    help="Of the local socket: a new file, or @NAME in Linux's abstract namespace; '' lets the "
    "kernel choose such a name.  Without it, a file in a folder of its own.  A file is removed "
    "in the end.",
)
def main(family: str | None, address: str | None, port: int, path: str | None) -> None:
    """Make, bind and show one socket after the other."""
    chosen = choose(family, address, path)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            if name != chosen[0]:
                print()
            try:
                if FAMILIES[name] == socket.AF_UNIX:
                    show_local(str(Path(folder, "socket")) if path is None else path)
                else:
                    show_internet(FAMILIES[name], address, port)
            except OSError as error:
                if len(chosen) == 1 or error.errno not in MISSING:
                    raise
                print(f"{name}: {explain(error)}")


def choose(family: str | None, address: str | None, path: str | None) -> list[str]:
    """Return the families to show; options that go with one family choose it.

    Raises `click.UsageError` where they contradict each other, and `OSError` for a host that is
    not known.
    """
    if address is not None and path is not None:
        raise click.UsageError("--address is of the internet's families, --path of the local one")
    if address is not None:
        kind, _ = resolve(address, 0)
        fitting = next(name for name, number in FAMILIES.items() if number == kind)
    elif path is not None:
        fitting = "local"
    else:
        return [family] if family else list(FAMILIES)
    if family not in (None, fitting):
        option = f"--path {path}" if address is None else f"--address {address}"
        raise click.UsageError(f"{option} is of the family {fitting}, not {family}")
    return [fitting]


def show_internet(family: socket.AddressFamily, host: str | None, port: int) -> None:
    """Bind a TCP socket to ``host``, the wildcard if None."""
    with socket.socket(family, socket.SOCK_STREAM) as made:
        _, address = resolve(host or WILDCARDS[family], port)
        announce(made, endpoint(address))
        try:
            made.bind(address)
        except OSError as error:
            raise failed(f"bind {endpoint(address)}", error) from error
        remarks = []
        if host is None:
            remarks.append(reach(made))
        if not port:
            remarks.append("the kernel chose the port")
        show(made, "; ".join(remarks))


def show_local(path: str) -> None:
    """Bind a local stream socket to ``path``, and remove the file that this makes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        announce(made, path or "(nothing)")
        try:
            made.bind("\0" + path[1:] if path.startswith("@") else path)
        except OSError as error:
            raise failed(f"bind {path}", error) from error
        try:
            if path.startswith("@"):
                remark = "a name that is in no folder"
            else:
                remark = "a file, of the type socket" if path else "the kernel chose the name"
            show(made, remark)
        finally:
            if path and not path.startswith("@"):
                os.unlink(path)


def announce(made: socket.socket, address: str) -> None:
    """Print what was made, and what it is about to be bound to."""
    name = next(name for name, family in FAMILIES.items() if family == made.family)
    print(f"{name}: socket({made.family.name}, SOCK_STREAM, 0) is descriptor {made.fileno()}")
    print(f"  getsockname  {endpoint(made.getsockname()) or '(nothing)'}")
    print(f"  bind         {address}")


def reach(made: socket.socket) -> str:
    """Say what a wildcard stands for."""
    if made.family == socket.AF_INET:
        return "every IPv4 address of this machine"
    only = made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return (
        f"every IPv6 {'' if only else 'and IPv4 '}address of this machine (IPV6_V6ONLY is {only})"
    )


def show(made: socket.socket, remark: str) -> None:
    """Print the address that a socket has now, and the bytes of its structure."""
    print(f"  getsockname  {endpoint(made.getsockname())}{remark and ': '}{remark}")
    structure, size = SIZES[made.family]
    data = raw_getsockname(made)
    print(f"  {structure}, {len(data)} of {size} bytes:")
    offset = 0
    for name, length, meaning in fields(made.family, data):
        for start in range(offset, offset + length, 8):
            part = data[start : min(start + 8, offset + length)]
            print(f"  {start:4}  {name:14} {part.hex(' '):24} {meaning}".rstrip())
            name = meaning = ""
        offset += length


def raw_getsockname(made: socket.socket) -> bytes:
    """Return the address as the kernel writes it, which Python takes apart before one sees it."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(128)  # struct sockaddr_storage
    length = ctypes.c_uint32(len(room))  # socklen_t
    if libc.getsockname(made.fileno(), room, ctypes.byref(length)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"getsockname: {os.strerror(number)}")
    return room.raw[: length.value]


def fields(family: socket.AddressFamily, data: bytes) -> Iterator[tuple[str, int, str]]:
    """Go through a structure: the name of each field, its size in bytes, and what is in it."""
    prefix = {socket.AF_INET: "sin", socket.AF_INET6: "sin6", socket.AF_UNIX: "sun"}[family]
    if sys.platform == "linux":
        (number,) = struct.unpack_from("=H", data)
        yield f"{prefix}_family", 2, f"{number}, in the order of this machine: {sys.byteorder}"
    else:  # BSD and macOS have made room for the structure's length
        yield f"{prefix}_len", 1, f"{data[0]}"
        yield f"{prefix}_family", 1, f"{data[1]}"
    if family == socket.AF_UNIX:
        yield "sun_path", len(data) - 2, describe_path(data[2:])
        return
    (port,) = struct.unpack_from("!H", data, 2)
    yield f"{prefix}_port", 2, f"{port}, in network order: big"
    if family == socket.AF_INET:
        yield "sin_addr", 4, socket.inet_ntop(family, data[4:8])
        yield "sin_zero", 8, "fills up to 16 bytes"
    else:
        yield "sin6_flowinfo", 4, "for routers that sort by flows"
        yield "sin6_addr", 16, socket.inet_ntop(family, data[8:24])
        (scope,) = struct.unpack_from("=I", data, 24)
        yield "sin6_scope_id", 4, f"{scope}, the interface of a link-local address"


def describe_path(path: bytes) -> str:
    """Say what is in ``sun_path``."""
    if path.startswith(b"\0"):
        return f"{endpoint(path)}: it begins with a zero, and its length ends it"
    return f"{os.fsdecode(path.rstrip(bytes(1)))}, and a zero"


if __name__ == "__main__":
    run_program(main)
