"""A pool of threads, made beforehand, and a bounded queue of connections in front of it.

Chapter 26.  No thread is made for a client any more, but a client may wait for one: each thread
serves one connection to its end.  When the queue is full the accepting thread waits too (the
course's ring then loses what is in it), and further clients queue in the kernel.  Watch with fewer
threads than clients.

\b
    $ yolanda run thread02 --threads 1 --queue 1
    $ telnet 127.0.0.1 43211                (in another terminal; three of them)
"""

import socket
import threading
import time

import click

from yolanda.programs.blocking import (
    MAX_LINE,
    endpoint,
    explain,
    rot13,
    run_program,
    tcp_server_listen,
)


class BlockQueue:
    """A ring of up to ``number`` connections; whoever finds it full, or empty, waits.

    (What Python brings along for this is `queue.Queue`; here its inside is to be seen.)
    """

    def __init__(self, number: int) -> None:
        self.connections: list[socket.socket | None] = [None] * number
        self.front = 0  # the oldest connection
        self.used = 0  # front and rear alone cannot tell a full ring from an empty one
        mutex = threading.Lock()
        self.not_empty = threading.Condition(mutex)  # two conditions, one lock
        self.not_full = threading.Condition(mutex)

    def push(self, connection: socket.socket) -> None:
        """Put ``connection`` at the rear; wait while there is no room."""
        with self.not_full:
            while self.used == len(self.connections):  # not `if`: another may have been faster
                print(f"queue is full, fd {connection.fileno()} waits\n", end="")
                self.not_full.wait()
            rear = (self.front + self.used) % len(self.connections)
            self.connections[rear] = connection
            self.used += 1
            print(f"push fd {connection.fileno()}\n", end="")
            self.not_empty.notify()

    def pop(self) -> socket.socket:
        """Take the connection at the front; wait while there is none."""
        with self.not_empty:
            while not self.used:
                self.not_empty.wait()
            connection = self.connections[self.front]
            assert connection is not None
            self.connections[self.front] = None
            self.front = (self.front + 1) % len(self.connections)
            self.used -= 1
            print(f"pop fd {connection.fileno()}\n", end="")
            self.not_full.notify()
            return connection


def loop_echo(connection: socket.socket) -> None:
    """Answer each line in rot13, until the client has no more."""
    line = b""
    while piece := connection.recv(MAX_LINE):
        whole, newline, line = (line + piece).rpartition(b"\n")
        if len(line) > MAX_LINE:  # rot13 needs no whole line, so a long one goes in parts
            whole, newline, line = whole + newline + line, b"", b""
        connection.sendall(rot13(whole + newline))


def thread_run(block_queue: BlockQueue) -> None:
    """Serve one connection after another, for ever."""
    while True:
        connection = block_queue.pop()
        fd, tid = connection.fileno(), threading.get_ident()
        print(f"get fd in thread, fd=={fd}, tid == {tid}\n", end="")
        try:
            with connection:
                loop_echo(connection)
        except OSError as error:  # this client's end, not the thread's
            print(f"fd {fd}: {explain(error)}\n", end="")


@click.command("thread02", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one the kernel chooses.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="The size of the pool.",
)
@click.option(
    "--queue",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="How many accepted connections may wait for a thread.",
)
def main(host: str, port: int, threads: int, queue: int) -> None:
    """Make the pool, then accept and queue."""
    with tcp_server_listen(host, port) as listener:
        block_queue = BlockQueue(queue)
        for _ in range(threads):
            threading.Thread(target=thread_run, args=(block_queue,), daemon=True).start()
        print(f"listening on {endpoint(listener.getsockname())}\n", end="")
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:  # as many clients as descriptors: wait until some have left
                print(f"accept failed: {explain(error)}\n", end="")
                time.sleep(1)
                continue
            block_queue.push(connection)


if __name__ == "__main__":
    run_program(main)
