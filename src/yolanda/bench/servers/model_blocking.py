"""The models that block: somebody waits for each client, ``MODEL PORT SOME MUCH WAIT``.

As the programs `fork01`, `thread01` and `thread02` of chapters 25 and 26, which cannot be measured
with more work than an echo, and which say something for each client.  Here a line is written only
when a client is turned away.
"""

import errno
import os
import queue
import signal
import socket
import threading
import time
from types import FrameType

from yolanda.bench.servers.model_work import SIZE, Work, parse
from yolanda.programs.blocking import explain, tcp_server_listen

THREADS = 100
"""The size of the pool: a thread has one client at a time, so there are many."""
QUEUE = 100
"""Accepted connections that may wait for a thread of the pool, as in `thread02`."""
BACKLOG = 4096
"""Connections that may wait in the kernel, if its own limit (net.core.somaxconn) allows it."""


def answer(connection: socket.socket, work: Work) -> None:
    """Serve a client to its end."""
    with connection:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while len(message := connection.recv(SIZE, socket.MSG_WAITALL)) == SIZE:
                connection.sendall(work(message))
        except ConnectionError:
            pass  # the client has gone without a word, which ends it as well


def accept(listener: socket.socket) -> socket.socket:
    """Take the next client; while there are as many as descriptors, wait until one has left."""
    while True:
        try:
            return listener.accept()[0]
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                raise
            print(f"no client can be accepted: {explain(error)}", flush=True)
            time.sleep(1)


def one_at_a_time(listener: socket.socket, work: Work) -> None:
    """Serve one client, then the next."""
    while True:
        answer(accept(listener), work)


def process_each(listener: socket.socket, work: Work) -> None:
    """Fork a process for each client."""
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        with accept(listener) as connection:  # the parent's copy
            try:
                pid = os.fork()
            except OSError as error:
                print(f"no process for a client: {explain(error)}", flush=True)
                continue
            if pid == 0:
                try:
                    listener.close()
                    answer(connection, work)
                finally:
                    os._exit(0)


def _reap(number: int, frame: FrameType | None) -> None:
    """Take all children that have ended off the process table."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def thread_each(listener: socket.socket, work: Work) -> None:
    """Start a thread for each client."""
    while True:
        connection = accept(listener)
        try:
            threading.Thread(target=answer, args=(connection, work), daemon=True).start()
        except RuntimeError as error:
            print(f"no thread for a client: {error}", flush=True)
            connection.close()


def thread_pool(listener: socket.socket, work: Work) -> None:
    """Have a number of threads, each of which serves one client to its end, then another."""
    waiting: queue.Queue[socket.socket] = queue.Queue(QUEUE)

    def serve() -> None:
        while True:
            answer(waiting.get(), work)

    for _ in range(THREADS):
        threading.Thread(target=serve, daemon=True).start()
    while True:
        waiting.put(accept(listener))


MODELS = {
    "one-at-a-time": one_at_a_time,
    "fork": process_each,
    "thread": thread_each,
    "thread-pool": thread_pool,
}


def main() -> None:
    """Serve until a signal ends it."""
    model, port, work = parse(list(MODELS), __doc__.splitlines()[0])
    with tcp_server_listen(port=port, backlog=BACKLOG) as listener:
        MODELS[model](listener, work)


if __name__ == "__main__":
    main()
