"""A connection: bytes in, bytes out, and the four hooks through which an application lives.

The thread rule stands in the names: a public method may be called from any thread where its
docstring says so, and then hands over to its twin in ``_in_loop``.
"""

import enum
import errno
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import get_ident
from typing import Any, BinaryIO

from yolanda.address import Address
from yolanda.buffer import READ_SIZE, Buffer, BytesLike
from yolanda.reactor.channel import Callback, Channel
from yolanda.reactor.deadline import Deadline
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.output_queue import BYTES_A_TURN, FilePiece, OutputQueue
from yolanda.transport.proxy_protocol import ProxyHeader
from yolanda.transport.tls_settings import TlsInfo

log = logging.getLogger("yolanda.transport")

Sendable = BytesLike | Buffer
ConnectionHook = Callable[["TcpConnection"], object]
MessageHook = Callable[["TcpConnection", Buffer], object]

HIGH_WATER = 1 << 20
"""Queued bytes at which a connection tells its application that the peer reads too slowly."""
LOW_WATER = HIGH_WATER // 4
"""Queued bytes down to which it must have come before it tells that the peer reads again."""

_READS_AN_EDGE = 16  # reads after one edge before other connections get their turn
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: close() sends a RST


class ConnectionState(enum.Enum):
    """Where a connection stands.  A transition is only ever made downwards."""

    CONNECTING = "connecting"
    """Made, and not yet known to its loop."""
    CONNECTED = "connected"
    """Both sides may send."""
    DISCONNECTING = "disconnecting"
    """This side sends what is queued and then no more; the other may still send."""
    DISCONNECTED = "disconnected"
    """The descriptor is closed."""


_CONNECTED = ConnectionState.CONNECTED  # once, and not through the enumeration each time


class TcpConnection:
    """A stream connection that belongs to one loop; a server or a client makes it.

    Hooks, all called in the loop's thread, all of which may be replaced at any time:

    - ``on_message(connection, buffer)``: bytes came; what is not retrieved stays in the buffer;
    - ``on_write_completed(connection)``: all that was sent so far is in the kernel's hands;
    - ``on_connection_closed(connection)``: exactly once, and always the last;
    - ``on_end_of_stream(connection)``: the peer has sent all that it will (it half-closed).  By
      default the connection sends what is queued and closes.  With a hook of its own an
      application may go on sending, and ends with `shutdown` or `close`;
    - ``on_high_water(connection, queued)``, ``on_low_water(connection)``: see `set_water_marks`;
    - ``on_timeout(connection, kind)``: see `set_timeouts`.

    (Course, chapters 32 to 35; chapters 11 and 17 for the ways in which a connection ends.)
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_completion_announced",
        "_deadline",
        "_ends_with_jobs",
        "_fd",
        "_high_water",
        "_idle_timeout",
        "_is_high",
        "_low_water",
        "_output",
        "_pauses_when_high",
        "_peer_done",
        "_read_timeout",
        "_reading_held",
        "_reading_wanted",
        "_sockaddr",
        "_socket",
        "_socket_send",
        "_write_timeout",
        "bytes_in",
        "bytes_out",
        "context",
        "error",
        "input",
        "jobs",
        "last_read",
        "last_write",
        "loop",
        "on_connection_closed",
        "on_end_of_stream",
        "on_high_water",
        "on_low_water",
        "on_message",
        "on_released",
        "on_timeout",
        "on_write_completed",
        "owner",
        "protocol",
        "proxy_header",
        "read_size",
        "state",
    )

    encrypted = False
    """Whether it speaks TLS."""

    def __init__(self, loop: EventLoop, sock: socket.socket, peer: Any = None) -> None:
        """For servers and clients: ``sock`` is connected and non-blocking, ``peer`` its sockaddr.

        Any thread may make it; `establish` in the loop's thread brings it to life.
        """
        self.loop = loop
        self._socket = sock
        self._socket_send = sock.send  # looked up once, not once a message
        self._fd = sock.fileno()
        self._sockaddr = peer
        self._channel = Channel(
            self._fd,
            self._handle_edge if loop.edge_triggered else self._handle_read,
            on_hangup=self._handle_hangup,
            on_exception=self._handle_exception,
        )
        self._output: OutputQueue | None = None  # there while something waits
        self._deadline: Deadline | None = None
        self._idle_timeout: float | None = None
        self._read_timeout: float | None = None
        self._write_timeout: float | None = None
        self._high_water = HIGH_WATER
        self._low_water = LOW_WATER
        self._pauses_when_high = False
        self._is_high = False
        self._completion_announced = False
        self._peer_done = False
        self._ends_with_jobs = False
        self._reading_wanted = True
        self._reading_held = False
        self.input = Buffer()
        """What was received and not yet retrieved."""
        self.state = ConnectionState.CONNECTING
        self.context: Any = None
        """A place for whatever the application keeps for this connection."""
        self.owner: Any = None
        """The server or client that made it."""
        self.error: OSError | None = None
        """Why it closed, when it was not by agreement of both sides."""
        self.protocol: Any = None
        """The object that speaks this connection's protocol, such as an `HttpConnection`."""
        self.proxy_header: ProxyHeader | None = None
        """What a proxy said before the stream, if the server asks for it."""
        self.jobs: deque[Any] | None = None
        """What a `WorkerPool` computes for this connection, in order; the pool's own."""
        self.read_size = READ_SIZE
        """Bytes that are asked of the kernel in a turn; a protocol may ask for more while it knows
        that they come."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.last_read = self.last_write = loop.now
        """When something was last received, or taken by the kernel, by the loop's clock."""
        self.on_message: MessageHook = _discard
        self.on_write_completed: ConnectionHook | None = None
        self.on_connection_closed: ConnectionHook | None = None
        self.on_end_of_stream: ConnectionHook | None = None
        self.on_high_water: Callable[[TcpConnection, int], object] | None = None
        self.on_low_water: ConnectionHook | None = None
        self.on_timeout: Callable[[TcpConnection, str], object] | None = None
        self.on_released: ConnectionHook | None = None
        """The owner's own hook: called after the application's last one, completed or not."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.peer_address} {self.state.value}>"

    # ---- what it is ----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """``connection-`` and the descriptor's number, as in the course."""
        return f"connection-{self._fd}"

    @property
    def peer_address(self) -> Address:
        """The other end; behind a proxy that speaks the PROXY protocol, the proxy's client."""
        sockaddr = self._sockaddr
        if isinstance(sockaddr, Address):
            return sockaddr
        if sockaddr is None:
            sockaddr = self._socket.getpeername()
        address = self._sockaddr = Address.from_sockaddr(self._socket.family, sockaddr)
        return address

    @peer_address.setter
    def peer_address(self, address: Address) -> None:
        self._sockaddr = address

    @property
    def local_address(self) -> Address:
        """This end.  Raises `OSError` once the connection is closed."""
        return Address.from_sockaddr(self._socket.family, self._socket.getsockname())

    @property
    def socket(self) -> socket.socket:
        """The socket, for options that have no method here; reading or writing it is ours."""
        return self._socket

    @property
    def connected(self) -> bool:
        """Whether both sides may still send."""
        return self.state is ConnectionState.CONNECTED

    @property
    def closed(self) -> bool:
        """Whether it is over: the descriptor is closed."""
        return self.state is ConnectionState.DISCONNECTED

    @property
    def tls(self) -> TlsInfo | None:
        """What the handshake of TLS has agreed on; `None` where there is none."""
        return None

    @property
    def queued(self) -> int:
        """Bytes that were sent by the application and not yet taken by the kernel."""
        return 0 if self._output is None else self._output.size

    # ---- sending -------------------------------------------------------------------------

    def send(self, data: Sendable | Sequence[Sendable]) -> None:
        """Send ``data``, or several pieces of it that then go together.  Any thread.

        It goes to the kernel at once if nothing waits; what the kernel does not take is queued, and
        the loop sends it when there is room.  A `Buffer` is emptied.  On a connection that is
        closed or shut down the data is dropped, since the peer may always have been faster.
        """
        if get_ident() == self.loop.thread_id:
            if type(data) is bytes:
                self.send_in_loop(data)
            else:
                self._send_frozen_in_loop(_freeze(data))
        else:
            self._hand_over(self._send_frozen_in_loop, _freeze(data))

    def send_file(
        self, file: BinaryIO, offset: int = 0, count: int | None = None, close: bool = False
    ) -> None:
        """Send ``count`` bytes (default: the rest) of ``file`` from ``offset``.  Any thread.

        The kernel copies them from the file to the socket where it can (man 2 sendfile).  The file
        must stay open until ``on_write_completed`` or ``on_connection_closed``; with ``close`` the
        connection closes it, when it is sent or cannot be.
        """
        if count is None:
            count = max(0, os.fstat(file.fileno()).st_size - offset)
        if offset < 0 or count < 0:
            raise ValueError(f"cannot send {count} bytes from offset {offset} of a file")
        piece = FilePiece(file, offset, count, close)
        if get_ident() == self.loop.thread_id:
            self.send_pieces_in_loop([piece])
        else:
            self._hand_over(self.send_pieces_in_loop, [piece], otherwise=piece.finish)

    def shutdown(self) -> None:
        """Send what is queued, then half-close: the peer reads the end of the stream.  Any thread.

        The connection is closed when the peer has done the same.
        """
        if get_ident() == self.loop.thread_id:
            self._shutdown_in_loop()
        else:
            self._hand_over(self._shutdown_in_loop)

    def shutdown_after_jobs(self) -> None:
        """`shutdown` as soon as a `WorkerPool` owes it no more results.  In the loop's thread."""
        if self.jobs:
            self._ends_with_jobs = True
        else:
            self._shutdown_in_loop()

    def close(self) -> None:
        """Close at once; what is still queued is dropped.  Any thread.

        ``on_connection_closed`` follows in the same turn of the loop, after whatever hook runs now.
        """
        if get_ident() == self.loop.thread_id:
            self._close(None)
        else:
            self._hand_over(self._close, None)

    def abort(self) -> None:
        """Reset the connection: the peer sees ECONNRESET instead of an end.  Any thread.

        (Course, chapter 11: SO_LINGER with a time of 0.)
        """
        if get_ident() == self.loop.thread_id:
            self._abort_in_loop(None)
        else:
            self._hand_over(self._abort_in_loop, None)

    # ---- reading -------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Take nothing more from the kernel for now, so that the peer is slowed down.

        In the loop's thread, like all methods from here on.
        """
        self._reading_wanted = False
        self._channel.disable_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`.  What is in ``input`` already is not announced again."""
        self._reading_wanted = True
        self.last_read = self.loop.now
        self._update_reading()

    def hold_reading(self, on: bool) -> None:
        """Pause reading beside `pause_reading`, which stays the application's; for `WorkerPool`."""
        self._reading_held = on
        self._update_reading()

    @property
    def reading(self) -> bool:
        """Whether bytes are being taken from the kernel."""
        return self._channel.reading

    # ---- settings ------------------------------------------------------------------------

    def set_water_marks(self, high: int, low: int, pause_reading: bool = False) -> None:
        """Say when output piles up: more than ``high`` bytes queued, until not more than ``low``.

        At the first ``on_high_water(connection, queued)`` is called, at the second
        ``on_low_water(connection)``.  With ``pause_reading`` nothing is read in between, so a peer
        that asks much and reads little is held back by TCP itself.
        """
        if not 0 <= low < high:
            raise ValueError(f"water marks need 0 <= low < high, not low {low} and high {high}")
        self._high_water = high
        self._low_water = low
        self._pauses_when_high = pause_reading

    def set_timeouts(
        self, idle: float | None = None, read: float | None = None, write: float | None = None
    ) -> None:
        """End the connection when nothing happens for some seconds (`None`: never).

        - ``idle``: nothing was received nor sent;
        - ``read``: nothing was received although reading is on;
        - ``write``: something is queued and the kernel took none of it.

        ``on_timeout(connection, kind)`` is called if there is one, with ``"idle"``, ``"read"`` or
        ``"write"``; else the connection is aborted, with a `TimeoutError` as its ``error``.
        """
        for name, seconds in (("idle", idle), ("read", read), ("write", write)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"the {name} time-out is more than 0 seconds, not {seconds}")
        self._idle_timeout = idle
        self._read_timeout = read
        self._write_timeout = write
        self._watch_time()

    def set_no_delay(self, on: bool = True) -> None:
        """Turn Nagle's algorithm off: small messages go at once.  (Course, chapter 13.)"""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, on)

    def set_keep_alive(self, idle: int | None = 7200, interval: int = 75, count: int = 9) -> None:
        """Have the kernel probe a silent peer: after ``idle`` s, each ``interval`` s, ``count`` x.

        ``idle=None`` turns it off.  (Course, chapter 12; man 7 tcp.)
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, idle is not None)
        if idle is not None:
            option = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
            if option is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, option, idle)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)

    # ---- life, in the loop ---------------------------------------------------------------

    def establish(self, on_connection_completed: ConnectionHook | None = None) -> None:
        """Register with the loop, then call ``on_connection_completed``; in the loop's thread.

        (In the course the hook runs in the acceptor's thread and before the registration.)
        """
        if self._register():
            self.state = ConnectionState.CONNECTED
            if on_connection_completed is not None:
                self.guard(on_connection_completed, self)

    def read_before_stream(self, on_read: Callback) -> bool:
        """Register with the loop and have ``on_read`` called for what comes; then `establish`.

        For what stands before the stream and is not a part of it.  `False` if it cannot be watched,
        and is closed.
        """
        self._channel.on_read = on_read
        return self._register()

    def _register(self) -> bool:
        self.last_read = self.last_write = self.loop.now
        channel = self._channel
        try:
            if channel.loop is not None:  # something was read before the stream
                self.loop.remove_channel(channel)
                channel.on_read = (
                    self._handle_edge if self.loop.edge_triggered else self._handle_read
                )
            self.loop.add_channel(channel)
        except (OSError, ValueError) as error:
            log.error("cannot watch %s: %s", self.name, error)
            self._close(error if isinstance(error, OSError) else None)
            return False
        return True

    def guard(self, callback: Callable[..., object], *args: object) -> None:
        """Call ``callback(*args)``; what it raises is logged and closes this connection alone."""
        try:
            callback(*args)
        except Exception as error:
            log.exception("a hook of %s raised", self.name)
            self._handle_exception(error)

    def _handle_read(self) -> bool:
        """Take what is there, once; whether there may be more."""
        buffer = self.input
        try:
            count = buffer.read_from(self._fd, self.read_size)
        except BlockingIOError:
            return False
        except OSError as error:
            self._close(error)
            return False
        if not count:
            self._handle_end_of_stream()
            return False
        self.last_read = self.loop.now
        self.bytes_in += count
        on_message = self.on_message  # in CPython 3.11 a call by a local name costs less
        on_message(self, buffer)
        return True

    def _handle_edge(self) -> None:
        """With edge-triggered epoll: read until nothing is left, or ask to be told again."""
        for _ in range(_READS_AN_EDGE):
            if not self._handle_read() or self._channel.loop is None or not self._channel.reading:
                return  # to resume reading arms the edge as well
        self._channel.rearm()

    def _handle_end_of_stream(self) -> None:
        self._peer_done = True
        self._channel.disable_reading()
        if self.state is ConnectionState.DISCONNECTING:
            if self._output is None:
                self._close(None)
        elif self.on_end_of_stream is not None:
            self.on_end_of_stream(self)
        elif not self.jobs:
            self._shutdown_in_loop()

    def finish_jobs(self) -> None:
        """The worker pool has delivered all results; the peer may have waited for them."""
        if self._ends_with_jobs or (self._peer_done and self.on_end_of_stream is None):
            self._shutdown_in_loop()

    def _handle_hangup(self) -> None:
        """Neither reading nor writing is on, and the kernel reports an error or a hang-up."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._close(OSError(code, os.strerror(code)))
        elif self._peer_done:
            self._close(None)
        else:
            # Both directions are shut, but what came before has not been read: reading is paused.
            # Unwatched until it is resumed, or the loop would spin on this event.
            self.loop.remove_channel(self._channel)

    def _handle_exception(self, error: Exception) -> None:
        self._abort_in_loop(error if isinstance(error, OSError) else None)

    def send_in_loop(self, data: bytes) -> None:
        """`send` for a protocol that is in the loop's thread and has bytes."""
        if self._output is None and self.state is _CONNECTED:
            socket_send = self._socket_send
            try:
                sent = socket_send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._close(error)
                return
            self.bytes_out += sent
            self.last_write = self.loop.now
            if sent == len(data):
                if self.on_write_completed is not None:
                    self._announce_completion()
                return
            self._queue(memoryview(data)[sent:])
        elif self.state is ConnectionState.CONNECTED:
            self._queue(memoryview(data))
        else:
            log.debug("%s is %s: %d bytes dropped", self.name, self.state.value, len(data))

    def send_pieces_in_loop(self, pieces: Sequence[bytes | FilePiece]) -> None:
        """Send memory and parts of files together, for a protocol that is in the loop's thread."""
        if self.state is ConnectionState.CONNECTED:
            for piece in pieces:
                self._enqueue(piece if isinstance(piece, FilePiece) else memoryview(piece))
            self._flush_unless_waiting()
        else:
            for piece in pieces:
                if isinstance(piece, FilePiece):
                    piece.finish()

    def _send_frozen_in_loop(self, pieces: list[bytes]) -> None:
        if len(pieces) == 1:
            self.send_in_loop(pieces[0])
        else:
            self.send_pieces_in_loop(pieces)

    def _enqueue(self, piece: memoryview | FilePiece) -> None:
        if self._output is None:
            self._output = OutputQueue()
        self._output.append(piece)

    def _flush_unless_waiting(self) -> None:
        if not self._channel.writing:
            self._flush()
        if self._output is not None:
            self._wait_for_room()

    def _queue(self, piece: memoryview | FilePiece) -> None:
        self._enqueue(piece)
        self._wait_for_room()

    def _wait_for_room(self) -> None:
        assert self._output is not None
        if not self._channel.writing:
            self._channel.on_write = self._flush  # only now, for most connections never wait
            self._channel.enable_writing()
            self.last_write = self.loop.now
            self._watch_time()
        if self._output.size > self._high_water and not self._is_high:
            self._is_high = True
            self._update_reading()
            if self.on_high_water is not None:
                self.loop.queue_in_loop(self._tell_high_water)

    def _flush(self) -> None:
        output = self._output
        if output is None:
            return
        before = output.size
        error: OSError | None = None
        try:
            output.write_to(self._socket)
        except OSError as failure:
            error = failure
        sent = before - output.size
        self.bytes_out += sent
        if sent:
            self.last_write = self.loop.now
        if error is not None:
            # Reset: the peer must not take a file that became too short for a whole one.
            self._abort_in_loop(error)
            return
        if not output.size:
            self._output = None
            self._channel.disable_writing()
        elif sent >= BYTES_A_TURN and self.loop.edge_triggered:
            self._channel.rearm()  # the edge was not used up
        if self._is_high and output.size <= self._low_water:
            self._is_high = False
            self._update_reading()
            if self.on_low_water is not None:
                self.loop.queue_in_loop(self._tell_low_water)
        if self._output is None:
            if self.on_write_completed is not None:
                self._announce_completion()
            if self.state is ConnectionState.DISCONNECTING:
                self._finish_sending()

    def _announce_completion(self) -> None:
        if not self._completion_announced:  # once a turn, however much was sent in it
            self._completion_announced = True
            self.loop.queue_in_loop(self._tell_completion)

    def _tell_completion(self) -> None:
        self._completion_announced = False
        hook = self.on_write_completed
        if hook is not None and not self.closed and self._output is None:
            self.guard(hook, self)

    def _tell_high_water(self) -> None:
        if self.on_high_water is not None and self._is_high:
            self.guard(self.on_high_water, self, self.queued)

    def _tell_low_water(self) -> None:
        if self.on_low_water is not None and not self.closed and not self._is_high:
            self.guard(self.on_low_water, self)

    def _update_reading(self) -> None:
        wanted = self._reading_wanted and not (self._reading_held or self._peer_done)
        if self.closed:
            return
        if wanted and not (self._is_high and self._pauses_when_high):
            self._channel.enable_reading()
            if self._channel.loop is None and self.state is not ConnectionState.CONNECTING:
                self.loop.add_channel(self._channel)  # see _handle_hangup
            self._watch_time()
        else:
            self._channel.disable_reading()

    def _shutdown_in_loop(self) -> None:
        if self.state is ConnectionState.CONNECTED:
            self.state = ConnectionState.DISCONNECTING
            if self._output is None:
                self._finish_sending()

    def _finish_sending(self) -> None:
        if self._peer_done:
            self._close(None)
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._close(error if error.errno != errno.ENOTCONN else None)

    def _abort_in_loop(self, error: OSError | None) -> None:
        if not self.closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._close(error)

    def _close(self, error: OSError | None) -> None:
        if self.closed:
            return
        if self.state is ConnectionState.CONNECTING:
            self.on_connection_closed = None  # closed comes only after completed
        self.state = ConnectionState.DISCONNECTED
        if error is not None:
            self.error = error.with_traceback(None)  # which refers to this connection
        if self._channel.loop is not None:
            self.loop.remove_channel(self._channel)
        if self._deadline is not None:
            self._deadline.end()
        if self._output is not None:
            self._output.clear()
            self._output = None
        if self._sockaddr is None:
            self._remember_peer()
        self._socket.close()
        if self.loop.closed:
            self._tell_closed()
        else:  # queued, so that it comes after the hook that may be running now: always the last
            self.loop.queue_in_loop(self._tell_closed)

    def _remember_peer(self) -> None:
        try:
            self._sockaddr = self._socket.getpeername()
        except OSError:
            self._sockaddr = ("?", 0) if self._socket.family != socket.AF_UNIX else ""

    def _tell_closed(self) -> None:
        hook = self.on_connection_closed
        if hook is not None:
            self.guard(hook, self)
        # What refers to this connection and is referred to by it is let go, so that all of it is
        # freed now, and not when the garbage collector comes by.
        self._channel.end()
        self.protocol = None
        self.on_message = _discard
        self.on_write_completed = self.on_connection_closed = self.on_end_of_stream = None
        self.on_low_water = self.on_high_water = self.on_timeout = None
        if self.on_released is not None:
            self.on_released(self)

    # ---- time ----------------------------------------------------------------------------

    def _watch_time(self) -> None:
        due = self._next_timeout()
        if due is not None:
            if self._deadline is None:
                self._deadline = Deadline(self.loop, self._check_time)
            self._deadline.at(due[0])

    def _next_timeout(self) -> tuple[float, str] | None:
        """When the first time-out is due, as things stand, and which one it is."""
        idle, read, write = self._idle_timeout, self._read_timeout, self._write_timeout
        candidates = []
        if idle is not None:
            candidates.append((max(self.last_read, self.last_write) + idle, "idle"))
        if read is not None and self._channel.reading:
            candidates.append((self.last_read + read, "read"))
        if write is not None and self._output is not None:
            candidates.append((self.last_write + write, "write"))
        return min(candidates, default=None)

    def _check_time(self) -> None:
        due = self._next_timeout()
        if due is None or self.closed:
            return
        when, kind = due
        if when > self.loop.now:
            self._watch_time()
        elif self.on_timeout is not None:
            self.guard(self.on_timeout, self, kind)
            if not self.closed:
                self.last_read = self.last_write = self.loop.now  # a new period, not a busy loop
                self._watch_time()
        else:
            self._abort_in_loop(TimeoutError(errno.ETIMEDOUT, f"{kind} time-out of {self.name}"))

    def _hand_over(
        self,
        callback: Callable[..., object],
        *args: object,
        otherwise: Callable[[], object] | None = None,
    ) -> None:
        try:
            self.loop.queue_in_loop(callback, *args)
        except RuntimeError:
            log.debug("%s: its loop is closed", self.name)
            if otherwise is not None:
                otherwise()


def _discard(connection: TcpConnection, buffer: Buffer) -> None:
    """The message hook of a connection that has none."""
    buffer.retrieve_all()


def _freeze(data: Sendable | Sequence[Sendable]) -> list[bytes]:
    """The pieces of ``data`` as bytes that nobody can change while they wait."""
    if isinstance(data, bytes):
        return [data]
    if isinstance(data, Buffer):
        return [data.retrieve_all()]
    if isinstance(data, bytearray | memoryview):
        return [bytes(data)]
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise TypeError(f"bytes can be sent, or a sequence of them, not {type(data).__name__}")
    return [piece for part in data for piece in _freeze(part)]
