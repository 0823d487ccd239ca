"""A request's body on its way from the loop, which receives it, to the thread that reads it."""

import io
import threading
from collections import deque
from collections.abc import Callable

from yolanda.http.request import HttpRequest

HIGH_WATER = 262144
"""Bytes on their way between client and application, in either direction, that nobody has taken:
who sends more has to wait."""
LOW_WATER = 65536
"""Bytes of a request down to which the application must have read for more to be taken."""


class ClientDisconnected(ConnectionError):
    """The client is gone: what the application reads of its request, or sends to it, is in vain."""


class BodyStream(io.RawIOBase):
    """The body of ``request``, to be read by any one thread, that waits for what is not here yet.

    - ``in_loop(callback)``: has the request's loop call it.

    To be made in the thread of the request's loop.  Read it through an `io.BufferedReader`.
    """

    def __init__(
        self, request: HttpRequest, in_loop: Callable[[Callable[[], object]], object]
    ) -> None:
        self._request = request
        self._in_loop = in_loop
        self._changed = threading.Condition(threading.Lock())  # it guards all below
        self._pieces: deque[memoryview] = deque()
        self._size = 0
        self._ended = False
        self._broken = False
        self._paused = False
        self._asked = False
        request.holds_continue = request.expects_continue
        request.on_body = self._handle_body

    # ---- the reader's side ---------------------------------------------------------------

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Read what is here, and wait if nothing is; 0 at the body's end.

        Raises `ClientDisconnected` if that never comes.
        """
        with self._changed:
            if not self._asked:
                self._asked = True
                if self._request.holds_continue:
                    self._in_loop(self._request.send_continue)
            while not self._pieces:
                if self._broken:
                    raise ClientDisconnected(f"{self._request.summary}: its body is not complete")
                if self._ended:
                    return 0
                self._changed.wait()
            piece = self._pieces[0]
            count = min(len(buffer), len(piece))
            if count == len(piece):
                self._pieces.popleft()
            else:
                self._pieces[0] = piece[count:]
            self._size -= count
            if self._paused and self._size <= LOW_WATER:
                self._paused = False
                self._in_loop(self._resume)
        buffer[:count] = piece[:count]
        return count

    # ---- the loop's side -----------------------------------------------------------------

    def end(self, broken: bool = True) -> None:
        """Nothing more comes; ``broken``: although the body is not complete."""
        with self._changed:
            self._broken = broken and not self._ended
            self._ended = True
            self._changed.notify_all()

    def _handle_body(self, piece: bytes) -> None:
        if not piece:
            self.end(broken=False)
            return
        with self._changed:
            self._pieces.append(memoryview(piece))
            self._size += len(piece)
            if self._size > HIGH_WATER:
                self._paused = True
                self._request.pause()
            self._changed.notify_all()

    def _resume(self) -> None:
        if not self._ended:
            self._request.resume()
