"""Bytes to messages, messages to bytes; no socket in sight.

The framing is that of the library websockets.  Its protocol gives frames; what is added here makes
messages of them, and shares compressed ones among many connections.
"""

import codecs
import io
import logging
import zlib

from websockets.datastructures import Headers as LibraryHeaders
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from yolanda.websocket.options import WebSocketOptions

Message = str | bytes
Received = Message | Frame

TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
_CLOSE, _PING = Opcode.CLOSE, Opcode.PING

_MEMORY_LEVEL = 5
"""Of zlib's compressor: 2 to the power of this and 9, in bytes, beside its window."""
_NO_MORE = b"\0\0\xff\xff"  # what ends each message, and is not sent (RFC 7692, 7.2.1)

log = logging.getLogger("yolanda.websocket.frames")  # its DEBUG shows every frame


class MessageProtocol(ServerProtocol):
    """The library's protocol of an open connection, which gives messages and not frames.

    Pings and pongs stand between the messages; a ping is left to the caller to answer.

    - ``options``: see `WebSocketOptions`;
    - ``offers``: the values of the request's Sec-WebSocket-Extensions fields.

    Text is decoded as it comes, so that what is no UTF-8 fails with the fragment in which it stands
    (RFC 6455, 8.1), and before anything behind it is looked at.
    """

    def __init__(self, options: WebSocketOptions, offers: list[str]) -> None:
        factories = [_deflate_factory(options)] if options.compression else []
        super().__init__(
            extensions=factories, state=OPEN, max_size=options.max_message_size, logger=log
        )
        fields = LibraryHeaders([("Sec-WebSocket-Extensions", offer) for offer in offers])
        self.extensions_field, self.extensions = self.process_extensions(fields)
        """The answer to the offers, if any was taken."""
        self.messages: list[Received] = []
        """What came: messages, pings and pongs, in their order."""
        self._text: io.StringIO | None = None  # of a message whose end is to come
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._bytes: bytearray | None = None
        self._level = options.compression_level
        self._compress_from = options.compress_from
        self._fresh_encoder_needed = False

    @property
    def deflate(self) -> PerMessageDeflate | None:
        """The compression that was agreed upon."""
        for extension in self.extensions:
            if isinstance(extension, PerMessageDeflate):
                return extension
        return None

    # ---- receiving -----------------------------------------------------------------------

    def recv_frame(self, frame: Frame) -> None:
        """Make messages of frames; what it raises, the library answers with the code for it."""
        opcode = frame.opcode
        if opcode is _PING:
            self.messages.append(frame)  # answered in its turn, and not before the messages
            return
        if opcode is _CLOSE:
            self.current_size = None  # it may come between two fragments (RFC 6455, 5.4)
        super().recv_frame(frame)
        self.events.clear()
        if opcode is TEXT:
            if frame.fin:
                self.messages.append(str(frame.data, "utf-8"))
            else:
                self._decode = codecs.getincrementaldecoder("utf-8")().decode
                self._text = io.StringIO()
                self._text.write(self._decode(frame.data))
        elif opcode is BINARY:
            if frame.fin:
                self.messages.append(bytes(frame.data))
            else:
                self._bytes = bytearray(frame.data)
        elif opcode is CONT:
            self._continue(frame)
        elif opcode is not _CLOSE:
            self.messages.append(frame)

    def _continue(self, frame: Frame) -> None:
        # Pieces are written into one piece of memory: a list of a million empty ones is not empty.
        if self._text is not None:
            self._text.write(self._decode(frame.data, frame.fin))
            if frame.fin:
                self.messages.append(self._text.getvalue())
                self._text = None
        elif self._bytes is not None:
            self._bytes += frame.data
            if frame.fin:
                self.messages.append(bytes(self._bytes))
                self._bytes = None

    def end(self) -> None:
        """Let go of the parser, which holds on to this object: nothing more will come."""
        self.parser.close()

    # ---- sending -------------------------------------------------------------------------

    def encode(self, opcode: Opcode, data: bytes) -> bytes:
        """A message as the frame that is to be sent."""
        if self.extensions and len(data) >= self._compress_from:
            if self._fresh_encoder_needed:
                self._renew_encoder()
            return Frame(opcode, data).serialize(mask=False, extensions=self.extensions)
        return Frame(opcode, data).serialize(mask=False)

    def shared_bits(self, size: int) -> int:
        """With how many bits of window a shared message of ``size`` is compressed; 0 for not."""
        deflate = self.deflate if size >= self._compress_from else None
        return 0 if deflate is None else deflate.local_max_window_bits

    def skip_shared(self) -> None:
        """A compressed message was sent that the own compressor does not know of.

        The client's has it in its window now, so no distance of the own one would be right any
        more.  A new one refers to nothing that came before it, which is always right.
        """
        self._fresh_encoder_needed = True

    def _renew_encoder(self) -> None:
        self._fresh_encoder_needed = False
        deflate = self.deflate
        if deflate is not None and not deflate.local_no_context_takeover:
            deflate.encoder = zlib.compressobj(
                wbits=-deflate.local_max_window_bits, level=self._level, memLevel=_MEMORY_LEVEL
            )


def encode_shared(opcode: Opcode, data: bytes, bits: int, level: int) -> bytes:
    """A message as a frame for many connections, compressed by itself if ``bits`` is not 0."""
    if not bits:
        return Frame(opcode, data).serialize(mask=False)
    encoder = zlib.compressobj(wbits=-bits, level=level, memLevel=_MEMORY_LEVEL)
    compressed = encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH)
    frame = Frame(opcode, compressed.removesuffix(_NO_MORE))
    plain = frame.serialize(mask=False)  # the library sets RSV1 through an extension alone
    return bytes([plain[0] | 0x40]) + plain[1:]


def _deflate_factory(options: WebSocketOptions) -> ServerPerMessageDeflateFactory:
    return ServerPerMessageDeflateFactory(
        server_no_context_takeover=not options.context_takeover,
        client_no_context_takeover=not options.context_takeover,
        server_max_window_bits=options.window_bits,
        client_max_window_bits=options.window_bits,
        compress_settings={"level": options.compression_level, "memLevel": _MEMORY_LEVEL},
    )
