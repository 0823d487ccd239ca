"""Writes lines to a file in a thread of its own: a full pipe or a slow disk holds nobody up."""

import errno
import logging
import os
import select
import stat
import threading
import time
from collections import deque

log = logging.getLogger("yolanda.apps")

HELD = 8 << 20
"""Bytes that wait to be written, and what comes then is lost."""

_RETRY = 1.0  # seconds after which a full disk is tried again
_TELL_AGAIN = 10.0  # seconds between two complaints
_REOPEN = b""  # stands in the queue where the file is to be opened again


def open_log(path: str) -> int:
    """Open the file at ``path`` for lines to be added; ``-`` is the standard output.

    Raises `OSError`, also for a named pipe that nobody reads.
    """
    if path == "-":
        return os.dup(1)
    # O_NONBLOCK is for named pipes, whose opening would else wait for a reader.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    fd = os.open(path, flags, 0o640)
    os.set_blocking(fd, True)
    return fd


class LogWriter:
    """Adds whole lines to a file, or to a pipe.

    - ``path``: as in `open_log`, whose errors the constructor raises;
    - ``name``: what the file is called in complaints.

    Several processes may write to the same file: O_APPEND keeps what one ``write`` adds together.
    For a pipe that is so up to PIPE_BUF bytes (4096 on Linux; man 7 pipe), so lines are written
    in groups of no more; a single line that is longer may be torn by another process.  What cannot
    be written is kept up to `HELD` bytes, then lost, and the number of lost lines is logged.

    All methods belong to one thread.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name
        self._fd = open_log(path)
        self._piece_size = _piece_size_of(self._fd)
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()  # guarded, like the next three, by `_changed`
        self._held = 0
        self._lost = 0
        self._closing = False
        self._reason = "nobody takes them"
        self._told = 0.0
        self._thread = threading.Thread(target=self._work, name=f"writer of {name}", daemon=True)
        self._thread.start()

    def write(self, lines: bytes) -> None:
        """Have ``lines``, each with its end, written soon.  Never waits."""
        with self._changed:
            if self._held + len(lines) > HELD:
                self._lost += lines.count(b"\n")
            else:
                self._queue.append(lines)
                self._held += len(lines)
                self._changed.notify()
        if self._lost:
            self._complain()

    def reopen(self) -> None:
        """Write to a new file of the same name from here on: the old one was moved away."""
        if self._path != "-":
            with self._changed:
                self._queue.append(_REOPEN)
                self._changed.notify()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left, for ``timeout`` seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            self._lost += sum(lines.count(b"\n") for lines in self._queue)
            self._queue.clear()
        self._told = 0.0
        if self._lost:
            self._complain()

    def _complain(self) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_AGAIN or not self._told:
            self._told = now
            with self._changed:
                lost, self._lost = self._lost, 0
            log.warning("%s: %d lines are lost: %s", self._name, lost, self._reason)

    # ---- in the thread -------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    while not self._queue:
                        if self._closing:
                            return
                        self._changed.wait()
                    lines = self._queue[0]
                if lines:
                    self._put(lines)
                else:
                    self._open_again()
                with self._changed:
                    if self._queue:  # else `close` has given up
                        self._queue.popleft()
                    self._held -= len(lines)
        finally:
            os.close(self._fd)

    def _open_again(self) -> None:
        try:
            fd = open_log(self._path)
        except OSError as error:
            log.error(
                "%s cannot be opened again, the old one stays: %s", self._name, error.strerror
            )
            return
        os.close(self._fd)
        self._fd = fd
        self._piece_size = _piece_size_of(fd)

    def _put(self, lines: bytes) -> None:
        start = 0
        while start < len(lines):
            end = len(lines)
            if end - start > self._piece_size:
                end = lines.rfind(b"\n", start, start + self._piece_size) + 1
                if end == 0:
                    end = lines.index(b"\n", start) + 1
            if not self._put_piece(lines[start:end]):
                with self._changed:
                    self._lost += lines.count(b"\n", start)
                return
            start = end

    def _put_piece(self, piece: bytes) -> bool:
        """Write all of ``piece``; false if it is lost."""
        while piece:
            try:
                piece = piece[os.write(self._fd, piece) :]
            except BlockingIOError:  # somebody else has made our standard output so
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError as error:
                self._reason = os.strerror(error.errno or 0)
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or self._wait_for_room():
                    return False
        return True

    def _wait_for_room(self) -> bool:
        """Wait before a full disk is tried again; whether it is not, because the end is near."""
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, _RETRY)
            return self._closing


def _piece_size_of(fd: int) -> int:
    """How many bytes stay together when others write, too."""
    return 1 << 20 if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF
