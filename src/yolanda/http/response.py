"""A response as its handler makes it."""

import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, Protocol

from yolanda.http.field_lines import FieldLines
from yolanda.http.headers import Headers
from yolanda.http.media_types import media_type_of
from yolanda.http.ranges import Part
from yolanda.http.request import HttpRequest
from yolanda.transport.output_queue import FilePiece
from yolanda.transport.tcp_connection import TcpConnection

Body = bytes | str | Iterable[bytes | str] | None


NO_CONTENT = (204, 304)
"""The statuses whose responses have no body (RFC 9110, 6.4.1)."""


class FileBody:
    """A file that is to be sent: ``pieces`` are parts of it, and bytes that stand in between.

    There is at least one part, and none is empty where there are several.
    """

    __slots__ = ("file", "pieces", "size")

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | Part]) -> None:
        self.file = file
        self.pieces = pieces
        self.size = sum(len(p) if isinstance(p, bytes) else p[1] for p in pieces)

    def pieces_to_send(self) -> list[bytes | FilePiece]:
        """The pieces for a connection, which closes the file after the last of its parts."""
        pieces: list[bytes | FilePiece] = []
        close = True
        for piece in reversed(self.pieces):
            if isinstance(piece, bytes):
                pieces.append(piece)
            else:
                pieces.append(FilePiece(self.file, *piece, close=close))
                close = False
        pieces.reverse()
        return pieces


class Exchange(Protocol):
    """What a response asks of the connection that it goes to."""

    connection: TcpConnection

    def finish(self, response: "HttpResponse") -> None:
        """Send what is not sent yet.  In the loop's thread."""

    def write(self, response: "HttpResponse", data: bytes) -> None:
        """Send a piece of the body.  In the loop's thread."""

    def hand_over(self, callback: Callable[..., object], *args: object) -> None:
        """Have the loop call ``callback(*args)``.  Any thread."""


TakeOver = Callable[[TcpConnection], object]


class HttpResponse:
    """The answer to one request, sent when the handler returns, unless it calls `defer`.

    - ``status``: 200 until it is set;
    - ``body``: bytes, text (sent as UTF-8), or an iterable of either, which is sent as it is
      produced (chunked); `None` lets the server write a line for an error status;
    - ``content_type``: of the body;
    - ``close``: whether the connection is closed after it;
    - ``headers``: further fields.  Those that frame the message are the server's: a
      Transfer-Encoding is refused, a Content-Length must be true.

    A handler's thread is that of the connection's loop.  `finish` and `write` may be called by any.
    """

    request: HttpRequest
    """The request that it answers."""
    http_connection: "Exchange"
    """Where it will be sent."""

    # Most of these are seldom touched: they are the class's until a handler sets its own, and a
    # response that sets two costs two.
    status: int = 200
    body: Body = None
    content_type: str | None = None
    on_drain: Callable[[], object] | None = None
    """Called in the loop when all that was written is in the kernel's hands."""

    # How far it is; the connection's to set.
    plain: bool = True
    """Whether status, type and body are all there is to it, and the connection may stay."""
    deferred: bool = False
    started: bool = False
    finished: bool = False
    chunked: bool = False
    announced_close: bool = False
    bytes_left: int | None = None
    body_sent: int = 0
    """Bytes of its body that were handed to the connection."""

    field_lines: FieldLines | None = None
    """All its fields, as gateways get them: in place of ``headers`` and ``content_type``, until
    somebody touches `headers`."""
    trailers: bytes = b""
    """Field lines that follow a chunked body.  (RFC 9112, 7.1.2)"""

    _close = False
    _headers: Headers | None = None
    _file: FileBody | None = None
    _upgrade: tuple[str, TakeOver] | None = None

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status}>"

    @property
    def close(self) -> bool:
        """Whether the connection is to be closed after it."""
        return self._close

    @close.setter
    def close(self, close: bool) -> None:
        self._close = close
        if close:
            self.plain = False

    @property
    def announced_length(self) -> int | None:
        """The body's length, if it was given as a field.  Raises `ValueError` for no number."""
        if self.field_lines is not None:
            return self.field_lines.content_length
        length = None if self._headers is None else self._headers.get("content-length")
        return None if length is None else int(length)

    @property
    def headers(self) -> Headers:
        """Fields beside those that the server writes."""
        known = self.field_lines
        if known is not None:  # from here on they are changed one by one
            self.field_lines = None
            self._headers = known.to_headers()
            self.close = self.close or known.close
        if self._headers is None:
            self._headers = Headers()
        self.plain = False
        return self._headers

    @property
    def extra_fields(self) -> Headers | None:
        """`headers` if anybody has touched them."""
        return self._headers

    @property
    def has_no_body(self) -> bool:
        """Whether no body may follow the head, whatever the head says (RFC 9110, 6.4.1)."""
        return self.request.method == "HEAD" or self.status in NO_CONTENT

    @property
    def file_body(self) -> FileBody | None:
        """What `file` was given."""
        return self._file

    @property
    def upgrade_to(self) -> tuple[str, TakeOver] | None:
        """What `upgrade` was given."""
        return self._upgrade

    def text(self, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
        """Answer with plain text."""
        self.body = text.encode()
        self.content_type = content_type

    def html(self, text: str) -> None:
        """Answer with a page."""
        self.text(text, "text/html; charset=utf-8")

    def json(self, value: object) -> None:
        """Answer with ``value`` as JSON; raises what `json.dumps` does."""
        self.text(json.dumps(value), "application/json")

    def file(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        content_type: str | None = None,
        offset: int = 0,
        count: int | None = None,
    ) -> None:
        """Answer with a file, by ``sendfile`` where the kernel can; the server closes it.

        ``file``: a path, or a file that is open for reading in binary.  ``content_type`` is guessed
        from a path's ending.  Raises `OSError` when the path cannot be opened.
        """
        if isinstance(file, str | os.PathLike):
            if content_type is None:
                content_type = media_type_of(os.fspath(file))
            file = io.FileIO(file)  # the connection closes it, later
        size = os.fstat(file.fileno()).st_size
        if count is None:
            count = size - offset
        if not 0 <= offset <= offset + count <= size:
            file.close()
            raise ValueError(f"a file of {size} bytes has no {count} bytes from {offset} on")
        self.file_pieces(file, [(offset, count)], content_type)

    def file_pieces(
        self, file: BinaryIO, pieces: Sequence[bytes | Part], content_type: str | None = None
    ) -> None:
        """Answer with parts of an open file, and with bytes in between; the server closes it.

        A part is an offset and a count of bytes.  There is at least one; where there are several,
        none is empty.
        """
        self.plain = False
        self._file = FileBody(file, pieces)
        self.content_type = content_type or "application/octet-stream"

    def upgrade(self, protocol: str, take_over: TakeOver) -> None:
        """Answer 101, and leave the connection to another protocol.  (RFC 9110, 7.8.)

        - ``protocol``: one that the request's Upgrade field names; fields that it needs beside that
          go into `headers`;
        - ``take_over(connection)``: called in the loop once the 101 is sent, when HTTP has let go
          of the connection.  It sets the connection's hooks, its time-outs, and its ``protocol``:
          an object whose ``drain()`` is called when the server stops.

        Bytes that came behind the request are then given to ``on_message``.  Raises `ValueError`
        when the request offers no such thing.
        """
        if not self.request.offers_upgrade(protocol):
            raise ValueError(f"{self.request.summary} offers no upgrade to {protocol!r}")
        self.status = 101
        self.plain = False
        self._upgrade = (protocol, take_over)

    def defer(self) -> None:
        """Do not send it when the handler returns: `finish` will be called, by any thread."""
        self.deferred = True
        self.plain = False

    def finish(self) -> None:
        """Send what was deferred, or end what was written piece by piece.  Any thread.

        If the client is gone meanwhile, nothing happens.
        """
        loop = self.http_connection.connection.loop
        if loop.in_loop_thread:
            self.http_connection.finish(self)
        else:
            self.http_connection.hand_over(self.http_connection.finish, self)

    def write(self, data: bytes | str) -> None:
        """Send a piece of the body; the first one sends the head before it.  Any thread.

        The response must be deferred, and is ended by `finish`.  Its pieces are chunks, unless a
        Content-Length was set.  `queued` and `on_drain` tell how fast the client reads.
        """
        if not self.deferred:
            raise RuntimeError("write() needs a response that is deferred")
        if isinstance(data, str):
            data = data.encode()
        loop = self.http_connection.connection.loop
        if loop.in_loop_thread:
            self.http_connection.write(self, data)
        else:
            self.http_connection.hand_over(self.http_connection.write, self, data)

    @property
    def queued(self) -> int:
        """Bytes that wait for the client to take them.  Any thread."""
        return self.http_connection.connection.queued
