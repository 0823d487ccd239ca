"""A WebSocket: messages in, messages out, and the hooks through which an application lives."""

import enum
import errno
import logging
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN

from yolanda.address import Address
from yolanda.buffer import Buffer
from yolanda.http.request import HttpRequest
from yolanda.reactor.deadline import Deadline
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.websocket.codec import BINARY, TEXT, Message, MessageProtocol, Received
from yolanda.websocket.options import WebSocketOptions

log = logging.getLogger("yolanda.websocket")

MessageHook = Callable[["WebSocket", Message], object]
ClosedHook = Callable[["WebSocket", int, str], object]
Hook = Callable[["WebSocket"], object]

GOING_AWAY = 1001
NO_CODE = 1005
ABNORMAL = 1006
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011

_PING = Opcode.PING
_LONGEST_REASON = 123  # bytes: a control frame has 125, and the code takes 2 (RFC 6455, 5.5)
_LONGEST_PING = 125
_LARGE = 16384  # bytes to send that need no company to be worth a system call


class WebSocketState(enum.Enum):
    """Where a WebSocket stands.  A transition is only ever made downwards."""

    CONNECTING = "connecting"
    """Accepted, and the answer that says so is not sent yet."""
    OPEN = "open"
    """Both sides may send."""
    CLOSING = "closing"
    """One side has said that it closes, or something was wrong."""
    CLOSED = "closed"
    """``on_closed`` was called."""


_CONNECTING = WebSocketState.CONNECTING
_OPEN = WebSocketState.OPEN
_CLOSING = WebSocketState.CLOSING
_CLOSED = WebSocketState.CLOSED


class WebSocket:
    """A connection on which messages come and go; `accept_websocket` makes it.  (RFC 6455.)

    Hooks, all called in the loop's thread, all of which may be replaced at any time:

    - ``on_open(websocket)``: the client has been told that it is accepted;
    - ``on_message(websocket, message)``: `str` for a text message, `bytes` for a binary one;
    - ``on_closed(websocket, code, reason)``: exactly once, and always the last.  The code and the
      reason are what the client has closed with, or what it was failed with for an error (1002,
      1007, 1009, 1011).  1005: it gave no code.  1006: the connection was lost;
    - ``on_high_water(websocket, queued)``, ``on_low_water(websocket)``: the client takes less than
      it is sent, see `WebSocketOptions`;
    - ``on_pong(websocket, data)``: an answer to `ping`.

    A hook that raises is logged, and ends this WebSocket alone, in 1011.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_batched",
        "_choked",
        "_close_by",
        "_connection",
        "_deadline",
        "_held",
        "_muted",
        "_options",
        "_outcome",
        "_paused",
        "_pinged",
        "_protocol",
        "_waiting",
        "context",
        "loop",
        "on_closed",
        "on_high_water",
        "on_low_water",
        "on_message",
        "on_open",
        "on_pong",
        "request",
        "state",
        "subprotocol",
    )

    def __init__(
        self,
        request: HttpRequest,
        protocol: MessageProtocol,
        options: WebSocketOptions,
        subprotocol: str | None,
    ) -> None:
        """For a handshake, which calls `take_over` when the answer is sent."""
        self.request = request
        """The request that it began with."""
        self.subprotocol = subprotocol
        """What was agreed upon, if anything."""
        self.loop: EventLoop = request.connection.loop
        self.state = _CONNECTING
        self.context: Any = None
        """A place for whatever the application keeps for this WebSocket."""
        self.on_open: Hook | None = None
        self.on_message: MessageHook | None = None
        self.on_closed: ClosedHook | None = None
        self.on_high_water: Callable[[WebSocket, int], object] | None = None
        self.on_low_water: Hook | None = None
        self.on_pong: Callable[[WebSocket, bytes], object] | None = None
        self._connection = request.connection
        self._protocol = protocol
        self._options = options
        self._waiting: list[tuple[Callable[..., object], tuple[Any, ...]]] = []  # until it is open
        self._batch: list[bytes] | None = None  # what is sent while messages are being delivered
        self._batched = 0
        self._held: deque[Received] = deque()  # received, and not to be delivered yet, because ...
        self._paused = False  # the application wants it so
        self._choked = False  # the client takes less than it has asked for
        self._muted = False  # no message is delivered any more
        self._outcome: tuple[int, str] | None = None  # to be told after what is held
        self._deadline: Deadline | None = None
        self._pinged: float | None = None  # when a ping was sent that had no answer yet
        self._close_by = 0.0

    def __repr__(self) -> str:
        return f"<WebSocket {self.request.path} {self.peer_address} {self.state.value}>"

    # ---- what it is ----------------------------------------------------------------------

    @property
    def peer_address(self) -> Address:
        """The other end."""
        return self._connection.peer_address

    @property
    def connection(self) -> TcpConnection:
        """What it runs on; sending or reading on it is not yours."""
        return self._connection

    @property
    def compressed(self) -> bool:
        """Whether compression was agreed upon."""
        return self._protocol.deflate is not None

    @property
    def open(self) -> bool:
        """Whether both sides may send."""
        return self.state is _OPEN

    @property
    def queued(self) -> int:
        """Bytes that were sent by the application and not yet taken by the kernel.  Any thread."""
        return self._connection.queued + self._batched

    # ---- sending -------------------------------------------------------------------------

    def send(self, message: Message | bytearray | memoryview) -> None:
        """Send text (`str`) or bytes as one message.  Any thread.

        Before it is open, messages wait; when it is closing they are dropped, since the client may
        always have been faster.  Raises `TypeError` for what is neither, and `UnicodeEncodeError`
        for text that UTF-8 cannot express.
        """
        opcode, data = to_payload(message)
        if get_ident() == self.loop.thread_id:
            self._send_in_loop(opcode, data)
        else:
            self._hand_over(self._send_in_loop, opcode, data)

    def ping(self, data: bytes = b"") -> None:
        """Ask the client for a sign of life, with up to 125 bytes to be sent back.  Any thread.

        A client that is silent for some time is asked without this, see `WebSocketOptions`.
        """
        if len(data) > _LONGEST_PING:
            raise ValueError(f"a ping holds at most {_LONGEST_PING} bytes, not {len(data)}")
        self._in_loop(self._ping_in_loop, bytes(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say to the client that this is the end, after all that was sent before.  Any thread.

        No message is delivered any more.  ``on_closed`` follows when the client has answered, or is
        gone, or has done neither for `WebSocketOptions.close_timeout`.  Raises `ValueError` for a
        code that may not be sent or a reason of more than 123 bytes.  Harmless when repeated.
        """
        check_close(code, reason)
        self._in_loop(self._close_in_loop, code, reason)

    def abort(self) -> None:
        """Reset the connection; ``on_closed`` follows, with 1006.  Any thread."""
        self._in_loop(self._abort_in_loop, None)

    # ---- reading -------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Deliver no message for now, and slow the client down.  In the loop's thread.

        What was received already is kept.  While reading is paused nothing is heard of the client,
        so it is not pinged either; an end that it announces is told after what is kept.
        """
        self._paused = True
        if self.state is _OPEN:
            self._connection.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`; what was kept is delivered first.  In the loop's thread."""
        if not self._paused:
            return
        self._paused = False
        if self._held or self._outcome is not None:
            self.loop.queue_in_loop(self._deliver_held)
        elif self.state is _OPEN:
            self._connection.resume_reading()

    # ---- life, in the loop ---------------------------------------------------------------

    def take_over(self, connection: TcpConnection) -> None:
        """The client has been told: HTTP has let go of ``connection``."""
        options = self._options
        self.state = _OPEN
        connection.protocol = self
        connection.on_message = self._handle_data
        connection.on_end_of_stream = self._handle_end_of_stream
        connection.on_connection_closed = self._handle_closed
        connection.on_high_water = self._handle_high_water
        connection.on_low_water = self._handle_low_water
        connection.set_water_marks(options.high_water, options.low_water, pause_reading=True)
        connection.set_timeouts(write=options.write_timeout)
        self._deadline = Deadline(self.loop, self._check_time)
        if options.ping_interval is not None:
            self._deadline.at(self.loop.now + options.ping_interval)
        if self._paused:
            connection.pause_reading()
        if self.on_open is not None:
            self._call(self.on_open)
        waiting, self._waiting = self._waiting, []
        for callback, args in waiting:
            callback(*args)

    def opened_or_lost(self) -> None:
        """The answer is sent, or could not be: then the client is gone, or HTTP had no use for it.

        (A handler may have raised after it accepted, and the client has its 500.)
        """
        if self.state is _CONNECTING:
            self._waiting.clear()
            self._protocol.end()
            self._lose("the client was not told that it is accepted")

    def sharing(self, size: int) -> tuple[int, int]:
        """How a message of ``size`` bytes is made that it shares with others; any thread."""
        return self._protocol.shared_bits(size), self._options.compression_level

    def drain(self) -> None:
        """The server stops."""
        self._close_in_loop(GOING_AWAY, "the server stops")

    def send_shared(self, frame: bytes, compressed: bool, slow: str) -> None:
        """Send a ``frame`` that was made for many; see `broadcast`."""
        if self.state is _CONNECTING:
            self._waiting.append((self.send_shared, (frame, compressed, slow)))
        elif self.state is _OPEN:
            if slow != "queue" and self._connection.queued > self._options.high_water:
                if slow == "close":
                    self._close_in_loop(POLICY_VIOLATION, "too slow")
                return
            if compressed:
                self._protocol.skip_shared()
            self._write(frame)

    def _send_in_loop(self, opcode: Opcode, data: bytes) -> None:
        if self.state is _OPEN:
            self._write(self._protocol.encode(opcode, data))
        elif self.state is _CONNECTING:
            self._waiting.append((self._send_in_loop, (opcode, data)))
        else:
            log.debug("%r: a message of %d bytes dropped", self, len(data))

    def _ping_in_loop(self, data: bytes) -> None:
        if self.state is _OPEN:
            self._write(Frame(Opcode.PING, data).serialize(mask=False))
        elif self.state is _CONNECTING:
            self._waiting.append((self._ping_in_loop, (data,)))

    def _close_in_loop(self, code: int, reason: str) -> None:
        if self.state is _CONNECTING:
            self._waiting.append((self._close_in_loop, (code, reason)))
        elif self.state is _OPEN:
            self._mute()
            if self._protocol.state is OPEN:  # else the client closes, in what is being delivered
                self._protocol.send_close(code, reason)
                self._flush()
                self._await_end()
        elif self._outcome is not None:  # nobody wants any more what is held before it
            self.loop.queue_in_loop(self._tell_closed, *self._outcome)

    def _write(self, data: bytes) -> None:
        batch = self._batch
        if batch is not None:
            batch.append(data)
            self._batched += len(data)
            if self._batched > _LARGE:
                self._send_batch()
            return
        connection = self._connection
        if connection.queued > self._options.max_queued:
            self._give_up()
        else:
            connection.send_in_loop(data)

    def _send_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch:
            self._batched = 0
            self._write(batch[0] if len(batch) == 1 else b"".join(batch))
            batch.clear()
        self._batch = batch

    def _give_up(self) -> None:
        reason = f"{self._connection.queued} bytes queued, more than max_queued"
        log.warning("gave up %r: %s", self, reason)
        self._abort_in_loop(OSError(errno.ENOBUFS, reason))

    def _abort_in_loop(self, error: OSError | None) -> None:
        connection = self._connection
        if self.state is not _CLOSED:
            self.state = _CLOSING
            self._mute()
        if not connection.closed:
            connection.abort()
            connection.error = error

    def _flush(self) -> None:
        """Send what the protocol wants to be sent; an empty piece stands for the end."""
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)
            else:
                self._send_batch()
                self._connection.shutdown()

    # ---- receiving -----------------------------------------------------------------------

    def _handle_data(self, connection: TcpConnection, buffer: Buffer) -> None:
        data = buffer.retrieve_all()
        protocol = self._protocol
        protocol.receive_data(data)
        messages = protocol.messages
        if messages:
            protocol.messages = []
            self._batch = []
            try:
                self._deliver(messages)
                self._send_batch()
            finally:
                self._batch = None
                self._batched = 0
        if protocol.state is not OPEN and not (self._choked and self._held):
            self._handle_end()

    def _deliver(self, messages: list[Received]) -> None:
        for message in messages:
            if isinstance(message, Frame) and message.opcode is _PING:
                if self.state is _OPEN:
                    self._write(Frame(Opcode.PONG, message.data).serialize(mask=False))
            elif self._muted:
                return
            elif self._paused or self._choked or self._chokes():
                self._held.append(message)
            else:
                self._hand_out(message)

    def _chokes(self) -> bool:
        """Whether the client must first take what it has asked for; see `_handle_low_water`.

        Reading is paused then anyway, but this may be in the middle of what was read.
        """
        self._choked = self._connection.queued > self._options.high_water
        return self._choked

    def _hand_out(self, message: Received) -> None:
        if isinstance(message, Frame):
            if message.opcode is Opcode.PONG and self.on_pong is not None:
                self._call(self.on_pong, bytes(message.data))
        elif self.on_message is not None:
            # `_call`, written out where it is called for each message.
            try:
                self.on_message(self, message)
            except Exception as error:
                self._fail_for_hook(error)

    def _deliver_held(self) -> None:
        while self._held and not (self._paused or self._muted or self._chokes()):
            self._hand_out(self._held.popleft())
        if self._choked:
            return
        if self._protocol.state is not OPEN and self.state is _OPEN:
            self._handle_end()
        if self._paused:
            return
        if self._outcome is not None:
            self._tell_closed(*self._outcome)
        elif self.state is _OPEN:
            self._connection.resume_reading()

    # ---- ends ----------------------------------------------------------------------------

    def _handle_end(self) -> None:
        """The protocol is no longer open: one side has closed, or something was wrong.

        What the application has answered to earlier messages goes before the answer to a Close.
        """
        self._flush()
        if self.state is _CLOSED:
            return
        protocol = self._protocol
        error = protocol.parser_exc
        if error is not None and self.state is _OPEN and not isinstance(error, EOFError):
            assert protocol.close_sent is not None
            log.info("%s: %s", self.peer_address, protocol.close_sent)
            self._await_end()
            self._conclude(protocol.close_sent.code, protocol.close_sent.reason)
        elif error is None and protocol.close_rcvd is not None:
            self._await_end()
            self._conclude(protocol.close_rcvd.code, protocol.close_rcvd.reason)
        elif error is not None:
            self._await_end()
            self._lose(str(error))

    def _await_end(self) -> None:
        """Give the client some time to close, too; nothing else is expected of it."""
        if self.state is not _CLOSED:
            self.state = _CLOSING
        connection = self._connection
        if connection.closed:
            return
        if not connection.reading:
            connection.resume_reading()
        if not self._close_by:
            self._close_by = self.loop.now + self._options.close_timeout
            if self._deadline is not None:
                self._deadline.at(self._close_by)

    def _mute(self) -> None:
        self._muted = True
        self._held.clear()

    def _fail(self, code: int, reason: str) -> None:
        """End it for an error of our own finding."""
        if self.state is not _OPEN:
            return
        self._mute()
        if self._protocol.state is OPEN:
            self._protocol.fail(code, reason)
            self._flush()
        self._await_end()
        self._tell_closed(code, reason)

    def _fail_for_hook(self, error: Exception) -> None:
        log.error("a hook of %r raised", self, exc_info=error)
        self._fail(INTERNAL_ERROR, "")

    def _conclude(self, code: int, reason: str) -> None:
        """Tell the application of an orderly end, after the messages that came before it."""
        if self._held and not self._muted:
            self._outcome = (code, reason)
        else:
            self._tell_closed(code, reason)

    def _lose(self, reason: str) -> None:
        self._mute()
        self._tell_closed(ABNORMAL, reason)

    def _tell_closed(self, code: int, reason: str) -> None:
        if self.state is _CLOSED:
            return
        self._mute()
        self.state = _CLOSED
        self._outcome = None
        hook = self.on_closed
        self.on_open = self.on_message = self.on_closed = self.on_pong = None
        self.on_high_water = self.on_low_water = None
        if hook is not None:
            try:
                hook(self, code, reason)
            except Exception:
                log.exception("on_closed of %r raised", self)

    def _handle_end_of_stream(self, connection: TcpConnection) -> None:
        self._protocol.receive_eof()
        self._handle_end()

    def _handle_closed(self, connection: TcpConnection) -> None:
        if self._deadline is not None:
            self._deadline.end()
        self._protocol.end()
        self._choked = False
        if self._outcome is None:
            self._lose("" if connection.error is None else str(connection.error))
        elif not self._paused:
            self._deliver_held()

    # ---- time ----------------------------------------------------------------------------

    def _check_time(self) -> None:
        connection = self._connection
        options = self._options
        deadline = self._deadline
        if connection.closed or deadline is None:
            return
        now = self.loop.now
        if self._close_by:
            if now < self._close_by:
                deadline.at(self._close_by)
            elif connection.queued and options.write_timeout is not None:
                deadline.at(now + options.close_timeout)  # the write time-out watches over this
            else:
                connection.abort()
            return
        if options.ping_interval is None:
            return
        if not connection.reading or connection.queued:
            # Nothing is heard of it, or a ping would have to wait; the write time-out watches.
            self._pinged = None
            deadline.at(now + options.ping_interval)
        elif self._pinged is None or connection.last_read > self._pinged:
            self._pinged = None
            due = connection.last_read + options.ping_interval
            if now >= due:
                self._ping_in_loop(b"")
                self._pinged = now
                due = now + (options.ping_timeout or options.ping_interval)
            deadline.at(due)
        elif options.ping_timeout is None:
            self._pinged = None
            deadline.at(now + options.ping_interval)
        elif now >= self._pinged + options.ping_timeout:
            self._fail(INTERNAL_ERROR, "no answer to a ping")
        else:
            deadline.at(self._pinged + options.ping_timeout)

    # ---- back-pressure and threads -------------------------------------------------------

    def _handle_high_water(self, connection: TcpConnection, queued: int) -> None:
        if self.on_high_water is not None:
            self._call(self.on_high_water, queued)

    def _handle_low_water(self, connection: TcpConnection) -> None:
        if self._choked:
            self._choked = False
            self._deliver_held()
        if self.on_low_water is not None:
            self._call(self.on_low_water)

    def _call(self, hook: Callable[..., object], *args: object) -> None:
        try:
            hook(self, *args)
        except Exception as error:
            self._fail_for_hook(error)

    def _in_loop(self, callback: Callable[..., object], *args: object) -> None:
        if get_ident() == self.loop.thread_id:
            callback(*args)
        else:
            self._hand_over(callback, *args)

    def _hand_over(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self.loop.queue_in_loop(callback, *args)
        except RuntimeError:
            log.debug("%r: its loop is closed", self)


def to_payload(message: object) -> tuple[Opcode, bytes]:
    """How a message is sent: as text or as bytes, which nobody can change while they wait."""
    if isinstance(message, str):
        return TEXT, message.encode()
    if isinstance(message, bytes | bytearray | memoryview):
        return BINARY, bytes(message)
    raise TypeError(f"a message is str or bytes, not {type(message).__name__}")


def check_close(code: int, reason: str) -> None:
    """`ValueError` unless both may stand in a Close (RFC 6455, 7.4)."""
    try:
        Close(code, reason).check()
    except ProtocolError:
        raise ValueError(f"a WebSocket cannot be closed with the code {code!r}") from None
    size = len(reason.encode())
    if size > _LONGEST_REASON:
        raise ValueError(f"a reason has at most {_LONGEST_REASON} bytes, not {size}")
