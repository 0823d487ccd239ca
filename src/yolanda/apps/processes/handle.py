"""A worker process's side of what it and its master have to say to each other."""

import contextlib
import socket

from yolanda.transport.shared_load import ProcessLoad

START_FAILED = 3
"""The exit status of a worker that could not start its application."""

SERVE_QUEUE = b"q"
"""From the master, before SIGTERM: nobody is left to serve what waits in the listener's queue."""

_LONGEST_TEXT = 2000  # characters of a reason, so that it passes at once


class WorkerHandle:
    """What a worker tells its master: that it is ready, that it lives, that it wants to go.

    Given to the function that a `Master` runs in each worker process.

    - ``sock``: the worker's end of a stream of which the master has the other;
    - ``index``: the worker's place among its fellows, from 0; while a worker is being replaced,
      the new one has the same;
    - ``beat_interval``: seconds between two calls of `beat`;
    - ``load``: for the servers of this process, to share listening sockets with its fellows.

    Words are lines; an empty one is a beat.  They are never waited for: what does not pass now,
    because the master stands still, is sent with the next beat, and beats are left out meanwhile.
    All methods belong to one thread, that of the worker's loop.
    """

    def __init__(
        self,
        sock: socket.socket,
        index: int = 0,
        beat_interval: float = 1.0,
        load: ProcessLoad | None = None,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unsent = b""
        self.index = index
        self.beat_interval = beat_interval
        self.load = load
        self.is_ready = False
        """Whether `ready` was called."""
        self.stopping = False
        """Whether this worker was told to stop; what runs it sets it."""
        self.master_gone = False
        """Whether the master has ended without a word; a worker then stops by itself."""
        self.serves_queue = False
        """Whether a stopping worker is to serve what waits in the listener's queue still: all of
        them stop, so that there are no others to do it."""

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to `receive`."""
        return self._socket.fileno()

    def ready(self) -> None:
        """Say that clients are served from now on."""
        self.is_ready = True
        self.say("ready")

    def beat(self) -> None:
        """Say that the loop turns; to be called each `beat_interval` seconds, by a timer of it."""
        if self._unsent:
            self._send(b"")
        else:
            self._send(b"\n")

    def retire(self, reason: str) -> None:
        """Ask to be replaced: another worker is started first, then this one gets SIGTERM."""
        self.say("retire", reason)

    def fail(self, reason: str) -> int:
        """Say why the application cannot be started, before `ready`.

        Returns `START_FAILED`, the status with which the worker then has to exit.
        """
        self.say("fail", reason)
        return START_FAILED

    def say(self, word: str, text: str = "") -> None:
        """Send a word, and a text in one line."""
        text = " ".join(text.split())[:_LONGEST_TEXT]
        self._send(f"{word} {text}\n".encode(errors="backslashreplace"))

    def receive(self) -> None:
        """Take what the master has sent: sets `serves_queue` or `master_gone`."""
        with contextlib.suppress(BlockingIOError):
            while not self.master_gone:
                try:
                    data = self._socket.recv(4096)
                except ConnectionResetError:  # it left without reading what we had said
                    data = b""
                if not data:
                    self.master_gone = self.serves_queue = True
                if SERVE_QUEUE in data:
                    self.serves_queue = True

    def close(self) -> None:
        """Close this end; the master takes it for the worker's end."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        self._unsent += data
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return  # the rest goes with the next beat
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = b""  # nobody hears it; `receive` finds out
