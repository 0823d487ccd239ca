"""The socket pair that gets a loop out of its wait."""

import signal
import socket


class Wakeup:
    """A pair of sockets: a byte written to one end makes the loop return, which watches the other.

    (Course, chapter 33, where it wakes a sub-reactor that is to take over a connection.)
    """

    __slots__ = ("_owns_signals", "_reader", "_writer")

    def __init__(self) -> None:
        self._writer, self._reader = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._owns_signals = False

    def fileno(self) -> int:
        """The end that the loop watches."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the other end readable.  Any thread may call it, and a signal handler too."""
        try:
            self._writer.send(b"\0")
        except BlockingIOError:
            return  # so full of bytes that it is readable for certain
        except OSError:
            if self._writer.fileno() >= 0:
                raise
            # Closed meanwhile: there is no loop left to be woken.

    def drain(self) -> None:
        """Take all bytes that were written so far."""
        try:
            while len(self._reader.recv(4096)) == 4096:
                continue
        except BlockingIOError:
            return

    def attach_signals(self) -> None:
        """Have the interpreter write a byte for every signal, before any Python code runs for it.

        Without it, a signal that comes just before the loop goes to sleep would wait for the next
        event.  Where another loop (asyncio's) has that place, it is left there: that loop wakes,
        Python runs the handler, and the handler wakes us.  In the main thread only.
        """
        if not self._owns_signals:
            previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            if previous >= 0:
                signal.set_wakeup_fd(previous, warn_on_full_buffer=False)
            else:
                self._owns_signals = True

    def detach_signals(self) -> None:
        """Undo `attach_signals`."""
        if self._owns_signals:
            signal.set_wakeup_fd(-1)
            self._owns_signals = False

    def close(self) -> None:
        """Close both ends."""
        self._writer.close()  # first, since another thread that wakes just now looks at this one
        self._reader.close()
