"""One request to a WSGI application, and its response.

Two threads work at it: that of the connection's loop (the methods that say so), and the one in
which the application runs.  The latter never touches the connection.  It leaves what it has in
`_pieces` and asks the loop to look, once for all that is there by then: pieces that come faster
than the loop turns go together, and a response that is complete before the loop has looked at its
first piece needs no chunks.
"""

import functools
import io
import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import BinaryIO

from yolanda.apps.wsgi.body_stream import HIGH_WATER, BodyStream, ClientDisconnected
from yolanda.apps.wsgi.environment import Ends, EnvironmentMaker, WsgiApplication
from yolanda.apps.wsgi.file_wrapper import FileWrapper, open_again
from yolanda.http.field_lines import FieldLines, KnownFieldLines
from yolanda.http.request import HttpRequest
from yolanda.http.response import NO_CONTENT, HttpResponse

log = logging.getLogger("yolanda.wsgi")

_READ_SIZE = 65536  # bytes of a streamed body that are handed on at once
_STATUS = re.compile(r"[2-5][0-9]{2}(?: .*)?", re.DOTALL)

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class _WrongLength(Exception):
    """The application has announced more than it has sent."""


class WsgiExchange:
    """A request and the response that is made to it.

    - ``ends``: of its connection;
    - ``tell(callback)``: has the loop call it, soon;
    - ``on_over``: called in the loop, once, when the response is out, or the application has ended
      without one.

    To be made in the loop's thread.
    """

    # The class's until something else is so: most exchanges are over before much happens.
    _body: BodyStream | None = None
    _fields: FieldLines | None = None
    _status = 0
    _left: int | None = None  # bytes of the body that are still due, by its Content-Length
    _begun = False  # something of the response was left for the loop: its head cannot change
    _ended = False  # all of it was left for the loop
    _failed = False
    _asked = False  # the loop was asked to look
    _given = 0  # bytes left for the loop
    _written = 0  # bytes of them that it has written to the connection
    _taken = 0  # bytes of them that the kernel has taken
    _room: threading.Condition | None = None  # there once the application has to wait for it
    _gone = False  # the connection is closed

    def __init__(
        self,
        request: HttpRequest,
        response: HttpResponse,
        ends: Ends,
        tell: Callable[[Callable[[], object]], object],
        on_over: Callable[[], object],
    ) -> None:
        self._request = request
        self._response = response
        self._ends = ends
        self._on_over: Callable[[], object] | None = on_over
        self._tell = tell
        self._pieces: deque[bytes] = deque()
        request.on_disconnect = self._handle_disconnect
        response.defer()

    # ---- the application's thread --------------------------------------------------------

    def run(
        self, application: WsgiApplication, environments: EnvironmentMaker, known: KnownFieldLines
    ) -> None:
        """Have ``application`` answer.  What it raises is logged."""
        if not self._gone:
            self._known = known
            self._run(application, environments)
        if not self._ended:
            self._tell(self._finish)

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExceptionInfo | None = None,
    ) -> Callable[[bytes], object]:
        """PEP 3333's: note the head, which is sent with the first of the body.

        The reason phrase is the server's own.  Raises `RuntimeError` where it may not be called,
        `TypeError` or `ValueError` for what cannot be sent, and what ``exc_info`` tells when it is
        too late to tell the client.
        """
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it refers to this frame
        elif self._fields is not None:
            raise RuntimeError("start_response was called again, and without exc_info")
        self._status = _read_status(status)
        self._fields = self._known.of_text(headers)
        self._left = self._fields.content_length
        return self._write

    def _run(self, application: WsgiApplication, environments: EnvironmentMaker) -> None:
        body: BinaryIO
        if self._body is None:
            body = io.BytesIO(self._request.body)
        else:
            body = io.BufferedReader(self._body, _READ_SIZE)
        result: Iterable[bytes] = ()
        try:
            environment = environments.make(self._request, self._ends, body)
            result = application(environment, self.start_response)
            self._send(result)
        except BaseException as error:  # also what would end a process: it is not its own
            if self._gone and isinstance(error, ClientDisconnected):
                log.debug("%s", error)
            else:
                log.exception("the application raised for %s", self._request.summary)
                self._fail()
        try:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        except BaseException:
            log.exception("close() raised for %s", self._request.summary)

    def _send(self, result: Iterable[bytes]) -> None:
        """Send all of the body."""
        if not self._begun:  # nor was anything written by what start_response returned
            if type(result) is list or type(result) is tuple:
                self._send_whole(b"".join(result))
                return
            if isinstance(result, FileWrapper) and self._send_file(result):
                return
        for piece in result:
            if piece and not self._give(piece):
                break
        self._end()

    def _send_whole(self, body: bytes) -> None:
        """Send a body that is all there."""
        self._begin()
        length = self._left
        if length is not None:
            if self._bodyless:
                body = b""  # a HEAD is told the length that it would have
            elif len(body) < length:
                raise _WrongLength(f"a body of {len(body)} bytes, whose Content-Length is {length}")
            elif len(body) > length:
                self._complain_of_more()
                body = body[:length]
        self._pieces.append(body)
        self._ended = True
        self._ask()

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Have the kernel send a file; whether it can."""
        opened = open_again(wrapper.file)
        if opened is None:
            return False
        file, offset, count = opened
        if self._left is not None:
            if self._left > count:  # an error, which is found when all of it is read
                file.close()
                return False
            count = self._left
        self._begin()
        self._response.file(file, None, offset, count)
        self._ended = True
        self._ask()
        return True

    def _write(self, data: bytes) -> None:
        """What `start_response` returns."""
        if data:
            self._give(data)

    def _give(self, data: bytes) -> bool:
        """Leave a piece of the body for the loop, and wait while the client takes too little.

        Returns whether there is any use in more.
        """
        if type(data) is not bytes:
            data = _as_bytes(data)
        if self._gone:
            raise ClientDisconnected(f"the client of {self._request.summary} is gone")
        if not self._begun:
            self._begin()
            if self._bodyless:
                self._ended = True
                self._ask()
        if self._bodyless:
            return False
        left = self._left
        if left is not None:
            if len(data) > left:
                self._complain_of_more()
                if self._ended:
                    return False
                data = data[:left]
            self._left = left = left - len(data)
            self._ended = left == 0
        self._pieces.append(data)
        self._given += len(data)
        self._ask()
        if self._given - self._taken > HIGH_WATER and not self._ended:
            self._wait_for_room()
        return True

    def _end(self) -> None:
        """There is no more of the body."""
        if self._ended:
            return
        if not self._begun:
            self._begin()
        if self._left and not self._bodyless:
            raise _WrongLength(f"a body {self._left} bytes shorter than its Content-Length")
        self._ended = True
        self._ask()

    def _begin(self) -> None:
        """The head is what it is now."""
        fields = self._fields
        if fields is None:
            raise RuntimeError("the application has not called start_response")
        self._begun = True
        response = self._response
        response.status = self._status
        response.field_lines = fields
        if fields.close:
            response.close = True
        self._bodyless = self._status in NO_CONTENT or self._request.line.method == "HEAD"

    def _fail(self) -> None:
        """Something has gone wrong: have the client know, if there is still a way."""
        if not self._ended:
            self._failed = self._ended = True
            self._ask()

    def _complain_of_more(self) -> None:
        log.error("a body longer than its Content-Length for %s", self._request.summary)

    def _ask(self) -> None:
        """Ask the loop to look at what was left for it."""
        if not self._asked:
            self._asked = True
            self._tell(self._advance)

    def _wait_for_room(self) -> None:
        room = self._room
        if room is None:
            room = self._room = threading.Condition(threading.Lock())
        with room:
            while self._given - self._taken > HIGH_WATER and not self._gone:
                room.wait()

    # ---- the loop's thread ---------------------------------------------------------------

    def stream_body(self) -> None:
        """Let the application read the body while it comes."""
        self._body = BodyStream(self._request, self._response.http_connection.hand_over)

    def _advance(self) -> None:
        """Send what the application has left here."""
        self._asked = False  # before all else: what is left from now on is asked for again
        if self._on_over is None:
            return
        ended = self._ended  # before the pieces are taken: the last is then among them
        response = self._response
        http = response.http_connection
        if self._failed:
            self._finish()
            if response.started:
                http.connection.abort()  # it must not be taken for the whole
            else:
                response.status = 500
                response.field_lines = None
                http.finish(response)
            return
        pieces = self._pieces
        data = pieces.popleft() if len(pieces) == 1 else _take(pieces)
        if ended:
            self._finish()
            length_unknown = self._bodyless and self._left is None and not data
            if response.started or (length_unknown and response.file_body is None):
                http.write(response, data)
            else:
                response.body = data
            http.finish(response)
        else:
            response.on_drain = self._note_room
            self._written += len(data)
            http.write(response, data)
            self._note_room()

    def _note_room(self) -> None:
        """See how much the client has taken."""
        self._taken = self._written - self._response.queued
        room = self._room
        if room is not None:
            with room:
                room.notify()

    def _finish(self) -> None:
        """The response is out, or there will be none."""
        on_over, self._on_over = self._on_over, None
        if on_over is None:
            return
        # These refer to what refers to them: it is freed now, and not by the garbage collector.
        self._request.on_disconnect = self._request.on_body = self._response.on_drain = None
        if self._body is not None:
            self._body.end()
        on_over()

    def _handle_disconnect(self) -> None:
        self._gone = True
        if self._body is not None:
            self._body.end()
        room = self._room
        if room is not None:
            with room:
                room.notify()


@functools.lru_cache(256)
def _read_status(status: str) -> int:
    if not isinstance(status, str):
        raise TypeError(f"a status is text such as '200 OK', not {status!r}")
    if not _STATUS.fullmatch(status):
        raise ValueError(f"a status is text such as '200 OK', from 200 to 599, not {status!r}")
    return int(status[:3])


def _as_bytes(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"a piece of a body is bytes, not {type(data).__name__}")
    return bytes(data)


def _take(pieces: deque[bytes]) -> bytes:
    """Empty ``pieces``, to which another thread may be adding, and return what was in them."""
    taken = []
    while pieces:
        taken.append(pieces.popleft())
    return b"".join(taken)
