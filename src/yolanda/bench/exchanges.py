"""Both ends of what `sockets` measures: a server and a client, each in a process of its own.

All sockets block and all is written as plainly as can be, since the sockets are to be measured and
no framework.  A server listens, then serves one client until that is done; each end answers what
it has counted and the processor time that it took.

A stream ends as streams do.  With datagrams an empty one stands for the end; it is sent until it is
answered, for the network may lose it.
"""

import contextlib
import errno
import itertools
import os
import select
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from yolanda.bench.probe import serve

TCP, UDP, LOCAL_STREAM, LOCAL_DATAGRAM = "TCP", "UDP", "local stream", "local datagram"
KINDS = {
    TCP: (socket.AF_INET, socket.SOCK_STREAM),
    UDP: (socket.AF_INET, socket.SOCK_DGRAM),
    LOCAL_STREAM: (socket.AF_UNIX, socket.SOCK_STREAM),
    LOCAL_DATAGRAM: (socket.AF_UNIX, socket.SOCK_DGRAM),
}

FEWEST_REQUESTS = 10
END_AGAIN = 0.02  # seconds until the end of datagrams is told again
END_PATIENCE = 500  # times
LARGEST_DATAGRAM = 65536
FILE_PIECE = 65536
"""Bytes that are read from a file before they are sent; what shutil.copyfileobj takes on Linux."""

Address = tuple[str, int] | str
Counts = dict[str, float]

BOUND: list[socket.socket] = []
"""The server's socket, between `listen` and what is then served."""


class Account:
    """The processor time of this process from now on, and how long it had to wait for its core."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self._waited = _waited()
        self._begun = time.perf_counter()

    def close(self) -> Counts:
        """Return what passed, in seconds, and the share of waiting."""
        cpu = time.process_time() - self._cpu
        seconds = time.perf_counter() - self._begun
        waiting = (_waited() - self._waited) / seconds if seconds else 0.0
        return {"cpu": cpu, "seconds": seconds, "waiting": waiting}


def _waited() -> float:
    """Return the seconds in which this process was ready to run and another had its core."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) * 1e-9
    except FileNotFoundError:
        return 0.0  # a kernel without these accounts


def _is_stream(own: socket.socket) -> bool:
    return own.type == socket.SOCK_STREAM


# ---- the server --------------------------------------------------------------------------


def listen(kind: str, buffer: int = 0) -> dict[str, object]:
    """Open the server's socket.  Answers its address, and what buffer the kernel has granted.

    ``buffer`` is SO_RCVBUF; 0 leaves it to the kernel.
    """
    while BOUND:
        BOUND.pop().close()
    family, type_ = KINDS[kind]
    own = socket.socket(family, type_)
    BOUND.append(own)
    if buffer:  # before a connection: its window is then agreed on (man 7 tcp)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    own.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
    if type_ == socket.SOCK_STREAM:
        own.listen()
    address = own.getsockname()
    if isinstance(address, bytes):  # a name that the kernel chose (man 7 unix, autobind)
        address = address.decode("ascii")
    return {
        "address": address,
        "buffer": own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,
    }


def _first_client() -> socket.socket:
    own = BOUND.pop()
    if _is_stream(own):
        with own:
            return own.accept()[0]
    _, peer = own.recvfrom(1, socket.MSG_PEEK)
    own.connect(peer)
    return own


def answer(size: int, answer_size: int, ack: str = "kernel") -> Counts:
    """Answer requests of ``size`` bytes.  Answers how many, and the processor time.

    ``ack``: whether acknowledgements are ``"delayed"`` or ``"quick"``, or as the kernel likes best.
    The kernel changes that as it sees fit, so it is set anew before each read (man 7 tcp).
    """
    reply = bytes(answer_size)
    requests = 0
    room = memoryview(bytearray(max(size, LARGEST_DATAGRAM)))
    with _first_client() as client:
        account = Account()
        got = 0
        while True:
            if ack != "kernel":
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, ack == "quick")
            count = client.recv_into(room[got:])
            if not count:
                break
            got += count
            if got == size:
                client.sendall(reply)
                requests += 1
                got = 0
        counts = account.close()
        if not _is_stream(client):
            client.send(b"")
    return {**counts, "requests": requests}


def receive(read_size: int) -> Counts:
    """Read what comes, at most ``read_size`` bytes at a time, until it ends.

    Answers bytes, reads, and the seconds from the first to the last.
    """
    room = bytearray(read_size)
    total = reads = 0
    with _first_client() as client:
        account = Account()
        total += client.recv_into(room)
        first = last = time.perf_counter()
        reads += 1
        while count := client.recv_into(room):
            total += count
            reads += 1
        last = time.perf_counter()
        counts = account.close()
        if not _is_stream(client):
            client.send(b"")
    return {**counts, "bytes": total, "reads": reads, "seconds": last - first}


def send_file(how: str, size: int) -> Counts:
    """Send a file of ``size`` bytes for each byte that comes.  Answers how many, and the time.

    ``how`` is ``"sendfile"`` or ``"read"``.
    """
    send = {"sendfile": _send_with_sendfile, "read": _send_what_is_read}[how]
    files = 0
    with tempfile.TemporaryFile() as file, _first_client() as client:
        file.write(os.urandom(size))  # no holes, and all of it in the kernel's page cache
        file.flush()
        account = Account()
        while client.recv(1):
            send(client, file.fileno(), size)
            files += 1
        counts = account.close()
    return {**counts, "files": files}


def _send_with_sendfile(client: socket.socket, file: int, size: int) -> None:
    offset = 0
    while offset < size:
        offset += os.sendfile(client.fileno(), file, offset, size - offset)


def _send_what_is_read(client: socket.socket, file: int, size: int) -> None:
    room = memoryview(bytearray(FILE_PIECE))
    offset = 0
    while offset < size:
        count = os.preadv(file, [room], offset)
        client.sendall(room[:count])
        offset += count


# ---- the client --------------------------------------------------------------------------


def _connect(
    kind: str, address: Address, *, nodelay: bool = False, buffer: int = 0
) -> socket.socket:
    family, type_ = KINDS[kind]
    own = socket.socket(family, type_)
    try:
        if buffer:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        if kind == TCP:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        elif kind == LOCAL_DATAGRAM:
            own.bind("")  # or it could not be answered
        own.connect(address if isinstance(address, str) else tuple(address))
    except BaseException:
        own.close()
        raise
    return own


Send = Callable[[socket.socket, bytes, bytes], None]


def _two_writes(own: socket.socket, head: bytes, body: bytes) -> None:
    own.sendall(head)
    own.sendall(body)


def _writev(own: socket.socket, head: bytes, body: bytes) -> None:
    _whole(os.writev(own.fileno(), [head, body]), head, body)


def _sendmsg(own: socket.socket, head: bytes, body: bytes) -> None:
    _whole(own.sendmsg([head, body]), head, body)


def _joined(own: socket.socket, head: bytes, body: bytes) -> None:
    own.sendall(head + body)


def _whole(sent: int, head: bytes, body: bytes) -> None:
    if sent != len(head) + len(body):  # a blocking socket takes all, unless a signal comes
        raise RuntimeError(f"the kernel took {sent} bytes of {len(head) + len(body)}")


WAYS: dict[str, Send] = {
    "two writes": _two_writes,
    "writev": _writev,
    "sendmsg": _sendmsg,
    "joined": _joined,
}


def ask(
    kind: str,
    address: Address,
    way: str,
    sizes: Sequence[int],
    answer_size: int,
    seconds: float,
    nodelay: bool = False,
) -> Counts:
    """Send requests of two pieces of these ``sizes``, one after the other, for some seconds.

    Answers how many, the median and the 99th percentile of the time until the answer is there, and
    how many packets a request took, with TCP.
    """
    head, body = (bytes(size) for size in sizes)
    send = WAYS[way]
    room = bytearray(max(answer_size, 1))
    times: list[float] = []
    now = time.perf_counter
    with _connect(kind, address, nodelay=nodelay) as own:
        account = Account()
        end = now() + seconds
        while True:
            begun = now()
            if begun >= end and len(times) >= FEWEST_REQUESTS:
                break
            send(own, head, body)
            _read_whole(own, room)
            times.append(now() - begun)
        counts = account.close()
        packets = _packets(own) if kind == TCP else 0
        _finish(own)
    times.sort()
    return {
        **counts,
        "requests": len(times),
        "latency": statistics.median(times),
        "p99": times[int(len(times) * 0.99)],
        "packets": packets / len(times),
    }


def _read_whole(own: socket.socket, room: bytearray) -> None:
    got = own.recv_into(room)
    while 0 < got < len(room):
        count = own.recv_into(memoryview(room)[got:])
        got = got + count if count else 0
    if not got:
        raise ConnectionError(errno.ECONNRESET, "the server closed in the middle of an answer")


def _packets(own: socket.socket) -> int:
    # tcpi_data_segs_out of struct tcp_info (linux/tcp.h; kernel 4.6 and later), at offset 156.
    info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("=I", info, 156)[0]) if len(info) == 160 else 0


def _finish(own: socket.socket) -> None:
    """Tell the server that this was all, and wait until it has noticed."""
    if _is_stream(own):
        own.shutdown(socket.SHUT_WR)
        if own.recv(1):
            raise RuntimeError("the server sent more than it was asked for")
        return
    readable = select.poll()
    readable.register(own, select.POLLIN)
    for _ in range(END_PATIENCE):
        with contextlib.suppress(ConnectionRefusedError):  # it may just have answered, and closed
            own.send(b"")
        if readable.poll(END_AGAIN * 1000):
            return
    raise TimeoutError(errno.ETIMEDOUT, "the server does not notice the end")


def stream(kind: str, address: Address, size: int, seconds: float, buffer: int = 0) -> Counts:
    """Send messages of ``size`` bytes for some seconds, as fast as they are taken.

    ``buffer`` is SO_SNDBUF; 0 leaves it to the kernel.  Answers how many messages, and the buffer
    that the kernel has granted.
    """
    message = bytes(size)
    messages = 0
    now = time.perf_counter
    with _connect(kind, address, buffer=buffer) as own:
        granted = own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        account = Account()
        end = now() + seconds
        while now() < end:
            own.sendall(message)
            messages += 1
        counts = account.close()
        _finish(own)
    return {**counts, "messages": messages, "size": size, "buffer": granted}


def fetch(address: Address, size: int, seconds: float) -> Counts:
    """Ask for files of ``size`` bytes, one after the other, for some seconds.

    Answers how many came.
    """
    room = bytearray(1 << 18)
    now = time.perf_counter
    with _connect(TCP, address, nodelay=True) as own:
        account = Account()
        end = now() + seconds
        for files in itertools.count():
            if files and now() >= end:
                break
            own.sendall(b"f")
            left = size
            while left:
                count = own.recv_into(room, min(left, len(room)))
                if not count:
                    raise ConnectionError(errno.ECONNRESET, "the file was cut off")
                left -= count
        counts = account.close()
        _finish(own)
    return {**counts, "files": files}


if __name__ == "__main__":
    serve(
        {
            "listen": listen,
            "answer": answer,
            "receive": receive,
            "send_file": send_file,
            "ask": ask,
            "stream": stream,
            "fetch": fetch,
        }
    )
