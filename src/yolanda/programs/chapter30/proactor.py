"""The same rot13 server twice: told when it can read, and told when it has been read.

Chapter 30.  A reactor waits until a socket is *ready*, and its handler then reads and writes.  A
proactor *starts* a read into a buffer; when the handler is called the bytes are in it already.
Watch, line by line, which thread moves the bytes.

An operating system that has completions (Windows' IOCP, Linux' io_uring) moves them in the kernel.
Here a thread called "kernel" plays that part, and underneath it is a reactor: the order of
events is a proactor's, the speed is not.

\b
    $ yolanda run proactor --model reactor
    $ yolanda run proactor --model proactor
    $ telnet 127.0.0.1 43211                (in another terminal)
"""

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

import click

from yolanda import Channel, EventLoop, EventLoopThread
from yolanda.programs.blocking import endpoint, explain, rot13, run_program, tcp_server_listen

BUF_SIZE = 4096

REST = 1.0
"""Seconds until the next try, where there are as many clients as descriptors."""


def say(text: str) -> None:
    """Print a line and the thread it is from, in one write: two threads may print at once."""
    print(f"{text}, {threading.current_thread().name}\n", end="")


# ---- the reactor: readiness, then the handler's own read -----------------------------------------


class ReactorServer:
    """Waits for a socket to be ready, then accepts, reads or writes by itself."""

    def __init__(self, listener: socket.socket) -> None:
        self.loop = EventLoop()
        self.listener = listener
        self.channel = Channel(listener.fileno(), self.can_accept)
        self.loop.add_channel(self.channel)

    def run(self) -> None:
        """Serve until an interrupt."""
        self.loop.run()

    def can_accept(self) -> None:
        """There is somebody to accept, or was."""
        try:
            connection, peer = self.listener.accept()
        except OSError as error:
            say(f"accept: {explain(error)}")
            # It may stay readable until some client leaves: not to be asked again and again.
            self.channel.disable_reading()
            self.loop.call_later(REST, self.channel.enable_reading)
            return
        connection.setblocking(False)
        say(f"connection from {endpoint(peer)}")
        ReactorConnection(self.loop, connection)


class ReactorConnection:
    """Reads when there is something to read, and writes when there is room."""

    def __init__(self, loop: EventLoop, connection: socket.socket) -> None:
        self.loop = loop
        self.socket = connection
        self.output = b""
        self.channel = Channel(connection.fileno(), self.can_read, self.can_write)
        loop.add_channel(self.channel)

    def can_read(self) -> None:
        """The socket is ready to be read: read it."""
        say("ready to be read")
        try:
            data = self.socket.recv(BUF_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(explain(error))
            return
        say(f"  recv: the handler reads {len(data)} bytes")
        if not data:
            self.close("end of stream")
            return
        self.output = rot13(data)
        self.channel.disable_reading()
        self.channel.enable_writing()

    def can_write(self) -> None:
        """The socket is ready to be written: write as much as it takes."""
        say("ready to be written")
        try:
            size = self.socket.send(self.output)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(explain(error))
            return
        say(f"  send: the handler writes {size} bytes")
        self.output = self.output[size:]
        if not self.output:
            self.channel.disable_writing()
            self.channel.enable_reading()

    def close(self, why: str) -> None:
        """Leave the loop."""
        say(f"connection closed: {why}")
        self.loop.remove_channel(self.channel)
        self.socket.close()


# ---- the proactor: an operation started, then its completion -------------------------------------

Completion = Callable[[Any], object]


class Proactor:
    """Starts operations and hands out their completions, in the thread that calls `run`.

    Each completion is told the result, or the `OSError`.  A socket has one operation at a time.
    """

    def __init__(self) -> None:
        self.completions: queue.SimpleQueue[tuple[Completion, object]] = queue.SimpleQueue()
        self.thread = EventLoopThread("kernel")
        self.kernel = self.thread.start()

    def run(self) -> None:
        """Hand out completions until an interrupt.  No socket is touched here."""
        try:
            while True:
                completed, result = self.completions.get()
                completed(result)
        finally:
            self.thread.stop()

    def start_accept(self, listener: socket.socket, completed: Completion) -> None:
        """Accept a connection some time; the result is the socket and its peer."""
        self._start(listener, listener.accept, completed)

    def start_timer(self, seconds: float, completed: Completion) -> None:
        """Let some time pass; the result is None."""
        done = (completed, None)
        self.kernel.run_in_loop(self.kernel.call_later, seconds, self.completions.put, done)

    def start_read(self, sock: socket.socket, buffer: bytearray, completed: Completion) -> None:
        """Fill ``buffer`` with what comes; the result is how many bytes, 0 at the end."""

        def read() -> int:
            size = sock.recv_into(buffer)
            say(f"  recv_into: copies {size} bytes into the buffer")
            return size

        self._start(sock, read, completed)

    def start_write(self, sock: socket.socket, data: bytes, completed: Completion) -> None:
        """Write all of ``data``; the result is its length."""
        left = memoryview(data)

        def write() -> int:
            nonlocal left
            while left:
                size = sock.send(left)
                say(f"  send: copies {size} bytes out of the buffer")
                left = left[size:]
            return len(data)

        self._start(sock, write, completed, to_write=True)

    def _start(
        self,
        sock: socket.socket,
        operation: Callable[[], object],
        completed: Completion,
        to_write: bool = False,
    ) -> None:
        def ready() -> None:
            result: object
            try:
                result = operation()
            except BlockingIOError:
                return  # not all is done yet
            except OSError as error:
                result = error
            self.kernel.remove_channel(channel)
            self.completions.put((completed, result))

        channel = Channel(sock.fileno(), None if to_write else ready, ready if to_write else None)
        if to_write:
            channel.enable_writing()
        self.kernel.run_in_loop(self.kernel.add_channel, channel)


class ProactorServer:
    """Has an accept under way, always."""

    def __init__(self, listener: socket.socket) -> None:
        self.proactor = Proactor()
        self.listener = listener
        self.start_accept()

    def run(self) -> None:
        """Serve until an interrupt."""
        self.proactor.run()

    def start_accept(self, _: None = None) -> None:
        """Have the next one accepted."""
        self.proactor.start_accept(self.listener, self.accepted)

    def accepted(self, result: tuple[socket.socket, object] | OSError) -> None:
        """Somebody has been accepted."""
        if isinstance(result, OSError):
            say(f"accept: {explain(result)}")
            self.proactor.start_timer(REST, self.start_accept)
            return
        connection, peer = result
        connection.setblocking(False)
        say(f"connection from {endpoint(peer)}")
        ProactorConnection(self.proactor, connection).start_read()
        self.start_accept()


class ProactorConnection:
    """Has a read or a write under way."""

    def __init__(self, proactor: Proactor, connection: socket.socket) -> None:
        self.proactor = proactor
        self.socket = connection
        self.buffer = bytearray(BUF_SIZE)

    def start_read(self) -> None:
        """Give the buffer away to be filled."""
        say(f"read started, into a buffer of {len(self.buffer)} bytes")
        self.proactor.start_read(self.socket, self.buffer, self.read_completed)

    def read_completed(self, result: int | OSError) -> None:
        """The bytes are in the buffer: have rot13 of them written."""
        if isinstance(result, OSError):
            self.close(explain(result))
            return
        say(f"read completed: {result} bytes")
        if not result:
            self.close("end of stream")
            return
        data = rot13(bytes(self.buffer[:result]))
        say(f"write started: {len(data)} bytes")
        self.proactor.start_write(self.socket, data, self.write_completed)

    def write_completed(self, result: int | OSError) -> None:
        """The bytes are written: read on."""
        if isinstance(result, OSError):
            self.close(explain(result))
            return
        say(f"write completed: {result} bytes")
        self.start_read()

    def close(self, why: str) -> None:
        """Let the socket go; nothing is under way on it."""
        say(f"connection closed: {why}")
        self.socket.close()


MODELS: dict[str, type[ReactorServer] | type[ProactorServer]] = {
    "reactor": ReactorServer,
    "proactor": ProactorServer,
}


@click.command("proactor", help=__doc__)
@click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    default="proactor",
    show_default=True,
    help="Told of readiness, or of completion.",
)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
def main(model: str, host: str, port: int) -> None:
    """Serve rot13, and tell each step."""
    threading.current_thread().name = "main thread"
    with tcp_server_listen(host, port) as listener:
        listener.setblocking(False)
        print(f"listening on {endpoint(listener.getsockname())}")
        MODELS[model](listener).run()


if __name__ == "__main__":
    run_program(main)
