"""Messages on a stream of bytes: where one ends and the next begins.

A stream knows no messages: one read may bring half of one, or three and a half.  The two usual
ways to mark them are here, a length in front (`MessageDecoder`) and an end mark (`LineDecoder`).
The decoders know nothing of sockets: they take whole frames out of a `Buffer` and leave there what
is not complete.  `messages` and `lines` put them behind the message hook of a connection.

Whatever is in the buffer when the stream ends is a frame that was cut off.

(Course, chapter 16 for both ways, chapter 18 for what goes wrong with lines.)
"""

import logging
import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from yolanda.buffer import Buffer, BytesLike
from yolanda.transport.tcp_connection import MessageHook, TcpConnection

log = logging.getLogger("yolanda.framing")

MESSAGE_LIMIT = 1 << 20
"""Bytes that the body of a message has at most, unless a decoder is told otherwise."""

LINE_LIMIT = 8192
"""Bytes that a line has at most, its end not counted, unless a decoder is told otherwise."""

_HEADER = struct.Struct("!II")
_LARGEST = 0xFFFF_FFFF
_END_OF_LINE = re.compile(rb"[\r\n]")


class FrameError(ValueError):
    """The peer broke the rules of the framing; what follows in the stream has no meaning."""


class Message(NamedTuple):
    """A message with a length in front, as it was received."""

    type: int
    """What the body means; 0 to 2**32 - 1."""
    body: bytes


def encode_message(kind: int, body: BytesLike = b"", /) -> bytes:
    """Write a message of type ``kind``: length of the body, type, body.

    Length and type have 4 bytes each, in network order.  Raises `ValueError` for one that does not
    fit.  (Course, chapter 16; the client there forgets `htonl` for the type.)
    """
    body = bytes(body)
    if not 0 <= kind <= _LARGEST:
        raise ValueError(f"the type of a message is 0 to {_LARGEST}, not {kind}")
    if len(body) > _LARGEST:
        raise ValueError(f"the body of a message has up to {_LARGEST} bytes, not {len(body)}")
    return _HEADER.pack(len(body), kind) + body


class MessageDecoder:
    """Takes messages, as `encode_message` writes them, out of a buffer.

    ``limit``: bytes that a body may have.  All that is not yet complete is in the buffer and
    nothing here, so one decoder serves any number of buffers.  (Course, chapter 16.)
    """

    __slots__ = ("limit",)

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self.limit = _checked(limit)

    def decode(self, buffer: Buffer) -> Iterator[Message]:
        """Take out one message after another, each when it is asked for.

        Raises `FrameError` for a length over the limit as soon as the header is there, whether or
        not any of the body is; the buffer is then left as it is.
        """
        while len(buffer) >= _HEADER.size:
            size, kind = _HEADER.unpack(buffer.peek(_HEADER.size))
            if size > self.limit:
                raise FrameError(f"a message of {size} bytes is over the limit of {self.limit}")
            if len(buffer) < _HEADER.size + size:
                return
            buffer.skip(_HEADER.size)
            yield Message(kind, buffer.retrieve(size))


class LineDecoder:
    """Takes lines out of a buffer; they end with LF, CR LF or CR, or CR NUL as telnet sends it.

    ``limit``: bytes that a line may have without its end.  Lines are bytes, without their end.

    A CR at the end of what was received may have its LF or NUL still on the way.  The line is
    delivered at once all the same, since somebody may sit there and wait, and an LF or NUL is
    swallowed if it turns out to come next.  That, and how far the buffer was searched already, is
    remembered here: one decoder belongs to one stream, and nobody else takes bytes from its buffer
    while part of a line is in it.  (Course, chapters 16 and 18; RFC 854 for CR NUL.)
    """

    __slots__ = ("_after_cr", "_searched", "limit")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self.limit = _checked(limit)
        self._after_cr = False  # the last line ended with a CR, and what follows it is unknown
        self._searched = 0  # bytes at the front of the buffer that hold no end of a line

    def decode(self, buffer: Buffer) -> Iterator[bytes]:
        """Take out one line after another, each when it is asked for.

        Raises `FrameError` as soon as more than the limit is there without an end.
        """
        while (size := self._find_end(buffer)) >= 0:
            line = buffer.retrieve(size)
            self._after_cr = buffer.retrieve(1) == b"\r"
            self._swallow(buffer)  # now, if it can be: what is left is then all of the next frame
            yield line

    def _find_end(self, buffer: Buffer) -> int:
        self._swallow(buffer)
        # Not Buffer.find, which remembers its way for one delimiter: looking for two in turn
        # would begin anew each time.
        start = self._searched
        stop = min(len(buffer), self.limit + 1)
        found = _END_OF_LINE.search(buffer.view(start, stop - start))
        if found is not None:
            self._searched = 0
            return start + found.start()
        self._searched = stop
        if stop > self.limit:
            raise FrameError(f"a line does not end within the limit of {self.limit} bytes")
        return -1

    def _swallow(self, buffer: Buffer) -> None:
        if self._after_cr and buffer:
            self._after_cr = False
            if buffer.peek(1) in (b"\n", b"\0"):
                buffer.skip(1)


# ---- behind the message hook of a connection -------------------------------------------------

Frame = TypeVar("Frame")
FrameHook = Callable[[TcpConnection, Frame], object]
ErrorHook = Callable[[TcpConnection, FrameError], object]
_Made = TypeVar("_Made", covariant=True)


class _Decoder(Protocol[_Made]):
    def decode(self, buffer: Buffer) -> Iterator[_Made]: ...


def close_connection(connection: TcpConnection, error: FrameError) -> None:
    """Log the fault of the peer and close its connection: what `messages` and `lines` do."""
    connection.close()
    log.warning("closed %s of %s: %s", connection.name, connection.peer_address, error)


def messages(
    on_frame: FrameHook[Message],
    *,
    limit: int = MESSAGE_LIMIT,
    on_error: ErrorHook = close_connection,
) -> MessageHook:
    """Make an ``on_message`` hook that calls ``on_frame(connection, message)`` for each message.

    It serves any number of connections, in any number of loops::

        TcpServer(loop, ":43211", on_message=framing.messages(on_frame, limit=4096))

    When ``on_frame`` closes the connection, no more messages are delivered; when it gives the
    connection another ``on_message``, that gets the rest of what was received.  To pause reading
    does not hold back what was received before.

    A `FrameError` makes the connection deaf, as nothing that follows can be understood, and is
    given to ``on_error(connection, error)``, which may say something to the peer and ends with
    `TcpConnection.shutdown` or ``close``.
    """
    decoder = MessageDecoder(limit)
    return _make_hook(lambda connection: decoder, on_frame, on_error)


def lines(
    on_line: FrameHook[bytes],
    *,
    limit: int = LINE_LIMIT,
    on_error: ErrorHook = close_connection,
) -> MessageHook:
    """Make an ``on_message`` hook that calls ``on_line(connection, line)`` for each line.

    It serves any number of connections, in any number of loops; all else is as for `messages`.
    """
    _checked(limit)  # here, and not when the first byte comes
    # Decoders of lines have a memory, so each connection has its own, for as long as it exists.
    # The connection's `context` is the application's, and to attach it by replacing the hook would
    # do away with a hook of the application that calls this one.  Loops share the table, but no
    # key, and do nothing with it but single steps, which dictionaries do whole in any thread.
    decoders: WeakKeyDictionary[TcpConnection, LineDecoder] = WeakKeyDictionary()

    def decoder_of(connection: TcpConnection) -> LineDecoder:
        decoder = decoders.get(connection)
        if decoder is None:
            decoder = decoders[connection] = LineDecoder(limit)
        return decoder

    return _make_hook(decoder_of, on_line, on_error)


def _make_hook(
    decoder_of: Callable[[TcpConnection], _Decoder[Frame]],
    on_frame: FrameHook[Frame],
    on_error: ErrorHook,
) -> MessageHook:
    def on_message(connection: TcpConnection, buffer: Buffer) -> None:
        hook = connection.on_message  # this one, or one that called it
        frames = decoder_of(connection).decode(buffer)
        while True:
            try:
                frame = next(frames, None)
            except FrameError as error:
                buffer.retrieve_all()
                connection.on_message = _ignore
                on_error(connection, error)
                return
            if frame is None:
                return
            on_frame(connection, frame)
            if connection.closed:
                return
            if connection.on_message is not hook:
                if buffer:
                    connection.on_message(connection, buffer)
                return

    return on_message


def _ignore(connection: TcpConnection, buffer: Buffer) -> None:
    buffer.retrieve_all()


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"a frame has a limit of 1 byte or more, not {limit}")
    return limit
