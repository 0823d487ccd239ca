"""The models of the framework, ``MODEL PORT SOME MUCH WAIT``: reactors, alone and several.

Chapters 27 to 29 and 32 to 35: one reactor does all; a main reactor accepts and sub-reactors
serve; a reactor reads and sends, and a pool of threads does the work; processes, each with a
reactor, share a port.
"""

import os
from collections.abc import Callable
from functools import partial

from yolanda import Address, Buffer, EventLoop, TcpConnection, TcpServer, bind_socket
from yolanda.apps import Master, WorkerHandle, run_servers
from yolanda.bench.servers.model_work import SIZE, Work, parse

WORKERS = 16
"""Threads of the pool: a thread has one message at a time, so they need not be many."""
PROCESSES = 4
"""As many as the larger number of sub-reactors."""
STOP_WITHIN = 1.0
"""Seconds that SIGTERM leaves to the clients."""


def answer(work: Work, connection: TcpConnection, buffer: Buffer) -> None:
    """Answer in the thread that reads."""
    while len(buffer) >= SIZE:
        connection.send(work(buffer.retrieve(SIZE)))


def answer_later(work: Work, connection: TcpConnection, buffer: Buffer) -> None:
    """Have a thread of the pool do the work; the loop sends what comes of it."""
    workers = connection.owner.workers
    while len(buffer) >= SIZE:
        workers.submit(connection, work, buffer.retrieve(SIZE))


def serve(port: int, work: Work, sub_reactors: int = 0, workers: int = 0) -> None:
    """Serve in this process."""
    with EventLoop() as loop:
        server = TcpServer(
            loop,
            Address("127.0.0.1", port),
            on_message=partial(answer_later if workers else answer, work),
            threads=sub_reactors,
            workers=workers,
        )
        server.run(STOP_WITHIN)


def serve_in_processes(port: int, work: Work) -> None:
    """Serve in processes of which each has a reactor."""
    listener = bind_socket(Address("127.0.0.1", port))
    listener.socket.listen()

    def run_worker(handle: WorkerHandle) -> int:
        with EventLoop() as loop:
            inherited = Address(fd=os.dup(listener.socket.fileno()))
            server = TcpServer(
                loop, inherited, on_message=partial(answer, work), shared=handle.load
            )
            return run_servers(handle, [server], graceful_timeout=STOP_WITHIN)

    Master(run_worker, workers=PROCESSES, listeners=[listener], graceful_timeout=STOP_WITHIN).run()


MODELS: dict[str, Callable[[int, Work], None]] = {
    "reactor": serve,
    "sub-reactors-2": partial(serve, sub_reactors=2),
    "sub-reactors-4": partial(serve, sub_reactors=4),
    "reactor-workers": partial(serve, workers=WORKERS),
    "processes": serve_in_processes,
}


def main() -> None:
    """Serve until a signal ends it."""
    model, port, work = parse(list(MODELS), __doc__.splitlines()[0])
    MODELS[model](port, work)


if __name__ == "__main__":
    main()
