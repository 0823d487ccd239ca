"""A process that this one has forked: its birth, what it says, its end."""

import atexit
import contextlib
import faulthandler
import gc
import importlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from yolanda.apps.processes.handle import WorkerHandle
from yolanda.transport.shared_load import ProcessLoad

log = logging.getLogger("yolanda.apps")

_MEANT_FOR_WORKERS = {signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Child:
    """A forked process, as its parent sees it.  Made by `fork`.

    - ``pid``: its number, which stays its own until `os.waitpid` has told the parent of its end;
    - ``heard``: the time (`time.monotonic`) when it last said something.
    """

    def __init__(self, pid: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.pid = pid
        self.started = self.heard = time.monotonic()
        self._socket = sock
        self._unread = b""

    @classmethod
    def fork(
        cls,
        main: Callable[[WorkerHandle], int],
        *,
        index: int = 0,
        beat_interval: float = 1.0,
        load: ProcessLoad | None = None,
        title: str | None = None,
        in_child: Callable[[], object] | None = None,
    ) -> "Child":
        """Start a process that calls ``main(handle)`` and exits with the status it returns.

        - ``index``, ``beat_interval``, ``load``: see `WorkerHandle`;
        - ``title``: what ``ps`` shows, if ``setproctitle`` is installed;
        - ``in_child()``: called first of all, to close what the parent alone has use for.

        Signals have their default meaning in the child, and no handler of the parent's is left:
        SIGTERM ends it until ``main`` decides otherwise.  SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 do
        nothing, since the first comes from the terminal to all, and the others may be forwarded
        before the child is ready for them.  What ``main`` raises is logged; before ``ready`` it
        means that the application cannot be started.

        The parent must have no threads.  Raises `OSError` when there can be no more processes.
        """
        ours, theirs = socket.socketpair()
        with contextlib.suppress(OSError, ValueError):  # or both write what is buffered
            sys.stdout.flush()
            sys.stderr.flush()
        gc.freeze()  # what is there already is not walked through in the child: pages stay shared
        # No signal must find the parent's handlers in the child: they write into a pipe that the
        # two share, and the parent would take the child's signals for its own.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()  # `random` and OpenSSL see to their seeds themselves
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            try:
                _forget_signals()
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                ours.close()
                if in_child is not None:
                    in_child()
                _live(main, WorkerHandle(theirs, index, beat_interval, load), title)
            finally:
                os._exit(1)  # never back into the parent's program
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        gc.unfreeze()
        theirs.close()
        return cls(pid, ours)

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to `receive`, or it has ended."""
        return self._socket.fileno()

    def receive(self) -> list[tuple[str, str]]:
        """Take what it has said: words and texts; beats are noted in `heard` alone."""
        ended = False
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while not ended:
                data = self._socket.recv(65536)
                self._unread += data
                ended = not data
        *lines, self._unread = self._unread.split(b"\n")
        if lines:
            self.heard = time.monotonic()
        said = [line.decode(errors="replace").partition(" ") for line in lines if line]
        return [(word, text) for word, _, text in said]

    def tell(self, message: bytes) -> None:
        """Say something to it.  One that has ended, or does not read, misses it."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._socket.send(message)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended and was not waited for yet."""
        os.kill(self.pid, number)

    def memory(self) -> int | None:
        """Bytes of memory that are resident (RSS); `None` where /proc does not tell."""
        return resident_memory(self.pid)

    def close(self) -> None:
        """Close the stream to it."""
        self._socket.close()


def describe_status(status: int) -> str:
    """Say in words what `os.waitpid` told of a process's end."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def resident_memory(pid: int) -> int | None:
    """Return the bytes of memory of a process that are resident (RSS); None if nobody tells."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return None


def set_title(title: str) -> None:
    """Show ``title`` in the list of processes, if ``setproctitle`` is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("setproctitle").setproctitle(title)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A handler, and not SIG_IGN, which the programs that a worker starts would inherit."""


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number in _MEANT_FOR_WORKERS:
            signal.signal(number, _do_nothing)
            signal.siginterrupt(number, False)
        elif callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _live(main: Callable[[WorkerHandle], int], handle: WorkerHandle, title: str | None) -> NoReturn:
    status = 1
    try:
        atexit._clear()  # what the parent wants done at its own end
        if sys.stderr is not None and not faulthandler.is_enabled():
            with contextlib.suppress(OSError, ValueError):  # it is no real file
                faulthandler.enable()
        if title is not None:
            set_title(title)
        status = main(handle)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException as error:
        status = 1 if handle.is_ready else handle.fail(f"{type(error).__name__}: {error}")
        log.exception("a worker ended")
    finally:
        try:
            atexit._run_exitfuncs()
            logging.shutdown()
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
        finally:
            os._exit(status & 0xFF)
