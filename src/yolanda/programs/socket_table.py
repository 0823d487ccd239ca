"""The kernel's table of TCP sockets, as `netstat -tn` and `ss -tn` show it.

Linux publishes it as text in ``/proc/net/tcp`` and ``/proc/net/tcp6``, one socket a line.
The kernel does not stand still while the table is read: a socket that changes hands meanwhile
(from ESTABLISHED to TIME_WAIT, say) may be missed or listed twice, so ask again when it matters.
"""

import errno
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

# The numbers are the kernel's (include/net/tcp_states.h), the names those of the RFC.
STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
}
TIMERS = {0: "off", 1: "retransmit", 2: "keepalive", 3: "timewait", 4: "probe"}


@dataclass(frozen=True)
class TcpRow:
    """One socket of the table."""

    local: str
    """This end, as ``127.0.0.1:43211`` or ``[::1]:43211``."""

    peer: str
    """The other end; port 0 while there is none."""

    state: str
    """``LISTEN``, ``ESTABLISHED``, ``TIME_WAIT`` ..."""

    send_queue: int
    """Bytes that the peer has not acknowledged yet."""

    receive_queue: int
    """Bytes not read yet; of a listening socket, connections not accepted yet."""

    inode: int = 0
    """What ``/proc/PID/fd`` calls the socket; 0 once no process has it open."""

    timer: str = "off"
    """What the kernel waits for: ``retransmit``, ``keepalive``, ``timewait``, ``probe``."""

    timer_seconds: float = 0.0
    """How long from now that timer rings."""


def tcp_sockets(port: int | None = None) -> list[TcpRow]:
    """List the TCP sockets, or those alone that have ``port`` at either end.

    Raises `OSError` on a system that has no such table.
    """
    rows: list[TcpRow] = []
    for name in TABLES:
        try:
            with open(name, encoding="ascii") as table:
                rows.extend(parse(table, os.sysconf("SC_CLK_TCK"), port))
        except FileNotFoundError as error:
            if name == TABLES[0]:
                message = "the kernel's table of TCP sockets is shown on Linux only"
                raise OSError(errno.ENOTSUP, message, name) from error
            # A kernel without IPv6 has the first table and not the second.
    return rows


def parse(lines: Iterable[str], ticks: int = 100, port: int | None = None) -> Iterator[TcpRow]:
    """Make a row of each line of such a table, its heading skipped; ``ticks`` make a second.

    A busy machine's table has many thousands of lines, so those without ``port`` are not read.
    """
    wanted = "" if port is None else f":{port:04X} "
    for line in lines:
        if wanted not in line:
            continue
        fields = line.split()
        if len(fields) < 10 or fields[0] == "sl":
            continue
        _, local, peer, state, queues, timer, _, _, _, inode, *_ = fields
        send_queue, receive_queue = queues.split(":")
        active, when = timer.split(":")
        yield TcpRow(
            local=endpoint(local),
            peer=endpoint(peer),
            state=STATES.get(int(state, 16), state),
            send_queue=int(send_queue, 16),
            receive_queue=int(receive_queue, 16),
            inode=int(inode),
            timer=TIMERS.get(int(active, 16), active),
            timer_seconds=int(when, 16) / ticks,
        )


def endpoint(text: str) -> str:
    """Read an endpoint as the kernel writes it: ``0100007F:A8CB`` is ``127.0.0.1:43211``.

    The address is printed as whole words of this machine's byte order, the port as a number.
    """
    address, port = text.split(":")
    words = (address[start : start + 8] for start in range(0, len(address), 8))
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    if len(packed) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"
