"""Many connections that are idle: what each takes of a server's memory, and its processor."""

import contextlib
import resource
import select
import socket
import time

from yolanda.bench import memory, processor_time, wrk
from yolanda.bench.clients.echo import ask_once, connect
from yolanda.bench.contenders import Server
from yolanda.bench.results import Sample

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BATCH = 200  # connections that are opened, and then asked on, at a time: no backlog overflows
SPARE = 100  # descriptors for everything else


def fits(count: int) -> bool:
    """Tell whether this process, and a server that inherits its limit, may have so many open."""
    return count + SPARE <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def run(server: Server, seconds: float, count: int) -> Sample:
    """Open ``count`` connections, let them be idle, and then load the server beside them.

    On each a request is answered first, so that what a server keeps from one request to the next
    is there.  The sample has ``idle_cpu`` (share of a core while nothing comes), the figures of the
    small GET on further connections, and, where there are idle ones, ``connection_memory`` (bytes;
    the kernel's own for sockets is not in it).

    Raises `RuntimeError` if the server refuses or closes any of them.
    """
    with connect(server.port) as client:
        size = ask_once(client, REQUEST)
    before = memory.of_session(server.session)
    with contextlib.ExitStack() as stack:
        clients: list[socket.socket] = []
        while len(clients) < count:
            batch = [
                stack.enter_context(_connect(server.port))
                for _ in range(min(BATCH, count - len(clients)))
            ]
            clients += batch
            for client in batch:
                client.sendall(REQUEST)
            for client in batch:
                if len(client.recv(size, socket.MSG_WAITALL)) != size:
                    raise RuntimeError(f"one of {len(clients)} connections was not answered")
        grown = memory.of_session(server.session) - before
        start = processor_time.snapshot(server.session)
        time.sleep(seconds)  # this is what is measured
        times = processor_time.elapsed(start, processor_time.snapshot(server.session))
        sample = wrk.run(server, seconds)
        if closed := _closed(clients):
            raise RuntimeError(f"{closed} of {count} idle connections were closed by the server")
    sample["idle_cpu"] = times.running / seconds
    if count:
        sample["connection_memory"] = grown / count
    return sample


def _connect(port: int) -> socket.socket:
    try:
        return connect(port)
    except OSError as error:
        raise RuntimeError(f"it takes no more connections: {error}") from error


def _closed(clients: list[socket.socket]) -> int:
    """Count those at which something has come: no answer is outstanding, so it is their end."""
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    return len(poll.poll(0))
