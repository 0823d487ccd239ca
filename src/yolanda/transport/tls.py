"""A connection whose bytes are encrypted on their way.

OpenSSL can read and write a socket itself, or two pieces of memory between which and the socket
somebody else carries the bytes.  Here it is memory, for two reasons.

*Half-close.*  To say that this side has ended (close_notify), Python's ssl calls ``SSL_shutdown``
twice; the second call reads, and if it finds data of the peer's where it expects the peer's end, it
breaks the connection and the data is lost.  On a socket nobody can know what it will find there.
Memory can be emptied before.

*Cost.*  One read from the socket serves many records, and one write takes many.  Measured with
Python 3.11 and OpenSSL 3.0 (server CPU; non-blocking SSLSocket against MemoryBIO): a small request
and its response 10.3 and 9.5 us, a body of 1 MB sent 625 and 540 us, one received 632 and 630 us, a
handshake 430 and 410 us.

The price is that memory given to OpenSSL for a transfer is kept until the connection closes (its
BIO never shrinks), so it is given no more than a record at a time.

(RFC 8446; man 3 SSL_shutdown, BIO_s_mem.)
"""

import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer
from yolanda.transport.output_queue import BYTES_A_TURN, FilePiece, OutputQueue
from yolanda.transport.tcp_connection import ConnectionHook, ConnectionState, TcpConnection
from yolanda.transport.tls_settings import TlsInfo, TlsObject, reason_of

log = logging.getLogger("yolanda.transport")

_RECORD = 16384  # plain bytes in the longest record (RFC 8446, section 5.1)
_SEALED_RECORD = _RECORD + 22  # the same as it travels, in TLS 1.3
_RECORDS_AT_ONCE = 8
_FILE_BYTES_AT_ONCE = _RECORD * _RECORDS_AT_ONCE
_LINGER = 2.0  # seconds for a peer to read why its handshake failed

_PLAIN_HTTP = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}  # what OpenSSL takes a request for
_THIS_PORT_SPEAKS_TLS = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 28\r\n"
    b"Connection: close\r\n\r\n"
    b"this port speaks TLS (https)"
)

_CONNECTING = ConnectionState.CONNECTING
_CONNECTED = ConnectionState.CONNECTED

Wrap = Callable[[ssl.MemoryBIO, ssl.MemoryBIO], TlsObject]


class SealingQueue(OutputQueue):
    """An output queue that encrypts on the way: no more at a time than the kernel may soon take.

    ``size``: the encrypted bytes that the kernel has not taken, and the plain ones behind them.
    """

    __slots__ = ("_outgoing", "_records", "_seal")

    def __init__(self, seal: Callable[[Any], int], outgoing: ssl.MemoryBIO) -> None:
        super().__init__()
        self._seal = seal
        self._outgoing = outgoing
        self._records = OutputQueue()

    def append_sealed(self, data: memoryview) -> None:
        """Add what is encrypted already, before all that is not."""
        self._records.append(data)
        self.size += data.nbytes

    def clear(self) -> None:
        """Drop all that waits."""
        super().clear()
        self._records.clear()

    def write_to(self, sock: socket.socket) -> int:
        """Encrypt and send until all is gone or the kernel takes no more; return the bytes sent."""
        records = self._records
        before = self.size
        while before - self.size < BYTES_A_TURN and self.size:
            if not records.size:
                self._seal_some()
            waiting = records.size
            try:
                records.write_to(sock)
            finally:
                self.size -= waiting - records.size
            if records.size:
                break
        return before - self.size

    def _seal_some(self) -> None:
        for _ in range(_RECORDS_AT_ONCE):
            if not self._pieces:
                break
            plain = self._next_record()
            self._seal(plain)
            self.size -= len(plain)
            self.append_sealed(memoryview(self._outgoing.read()))

    def _next_record(self) -> memoryview | bytes:
        """Take what the next record is made of: a part of a piece, or several small ones."""
        pieces = self._pieces
        first = pieces[0]
        if isinstance(first, FilePiece):
            block = memoryview(first.read(_FILE_BYTES_AT_ONCE))
            if not first.count:
                pieces.popleft()
                first.finish()
            first = block
        else:
            pieces.popleft()
        if first.nbytes > _RECORD:
            pieces.appendleft(first[_RECORD:])
            return first[:_RECORD]
        company = [first]
        size = first.nbytes
        while pieces and isinstance(piece := pieces[0], memoryview):
            size += piece.nbytes
            if size > _RECORD:
                break
            company.append(piece)
            pieces.popleft()
        return first if len(company) == 1 else b"".join(company)


class TlsConnection(TcpConnection):
    """A `TcpConnection` that speaks TLS; a server or a client with ``tls=`` makes it.

    ``on_connection_completed`` is called after the handshake; a connection whose handshake fails,
    or is not over in time, is closed without a hook, like one that was never completed.  From then
    on all is as without TLS: hooks, half-close, water marks, time-outs, files.  What differs:

    - ``error`` is an `ssl.SSLEOFError` when the peer's stream ended without its saying so
      (close_notify): somebody may have cut it;
    - `queued` counts what is encrypted already by its encrypted size.

    Besides what a server or a client gives a `TcpConnection`:

    - ``wrap``: makes OpenSSL's side of the connection;
    - ``handshake_timeout``: seconds.
    """

    __slots__ = (
        "_ended",
        "_goodbye_said",
        "_held",
        "_incoming",
        "_on_completed",
        "_open",
        "_outgoing",
        "_refusal",
        "_seal",
        "_timeout",
        "_timer",
        "_tls",
    )

    encrypted = True

    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        peer: Any = None,
        *,
        wrap: Wrap,
        handshake_timeout: float,
    ) -> None:
        super().__init__(loop, sock, peer)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = wrap(self._incoming, self._outgoing)
        self._open = self._tls.read
        self._seal = self._tls.write
        self._timeout = handshake_timeout
        self._timer: Timer | None = None
        self._on_completed: ConnectionHook | None = None
        self._refusal: ssl.SSLError | None = None  # why the handshake failed
        self._goodbye_said = False  # our close_notify is out, or must not be
        self._ended = False  # the peer's came
        self._held = False  # something came while reading is paused, and the kernel has no more

    @property
    def tls(self) -> TlsInfo | None:
        """What the handshake agreed on; `None` until it is over."""
        if self.state is _CONNECTING:
            return None
        tls = self._tls
        cipher = tls.cipher()
        return TlsInfo(
            version=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn_protocol=tls.selected_alpn_protocol(),
            server_name=tls.requested_name,
            peer_certificate=tls.getpeercert() or None,
            peer_certificate_der=tls.getpeercert(True),
        )

    # ---- the handshake -------------------------------------------------------------------

    def establish(self, on_connection_completed: ConnectionHook | None = None) -> None:
        """Register with the loop and begin the handshake; when it is over, call the hook."""
        self._on_completed = on_connection_completed
        if self._register():
            self._timer = self.loop.call_later(self._timeout, self._handle_handshake_timeout)
            if not self._tls.server_side:
                self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._put(self._outgoing.read())
            return
        except ssl.SSLError as error:
            self._refuse(error)
            return
        self._end_timer()
        self.state = _CONNECTED
        self.last_read = self.last_write = self.loop.now
        hook, self._on_completed = self._on_completed, None
        if hook is not None:
            self.guard(hook, self)
        if self.closed:
            return
        if self._incoming.pending:  # it came with the end of the handshake
            if self._channel.reading:
                self._take(b"")  # its answer and the end of the handshake go together
                return
            self._held = True
        self._put(self._outgoing.read())

    def _refuse(self, error: ssl.SSLError) -> None:
        """Say what is wrong, and let a client read it: to close at once could reset it away."""
        log.info("%s: no TLS: %s", self.peer_address, reason_of(error))
        farewell = self._outgoing.read()  # an alert, if OpenSSL has one
        if error.reason in _PLAIN_HTTP:
            farewell = _THIS_PORT_SPEAKS_TLS
        self._refusal = error
        self._end_timer()
        if self._output is None:
            try:
                self._socket.send(farewell)
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as failure:
                log.debug("%s could not be told: %s", self.name, failure)
            else:
                if self._tls.server_side:
                    self._timer = self.loop.call_later(_LINGER, self._close, error)
                    return
        self._close(error)

    def _handle_handshake_timeout(self) -> None:
        text = f"handshake time-out of {self.name}"
        log.info("%s: no TLS: %s", self.peer_address, text)
        self._abort_in_loop(TimeoutError(errno.ETIMEDOUT, text))

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- reading -------------------------------------------------------------------------

    def _handle_read(self) -> bool:
        if self._held:  # before what the kernel has, which may be the end
            self._take_held()
            return True
        try:
            data = os.read(self._fd, self.read_size)
        except BlockingIOError:
            return False
        except OSError as error:
            self._close(error)
            return False
        if not data:
            self._close(self._refusal or _cut())
            return False
        if self.state is not _CONNECTING:
            self._take(data)
        elif self._refusal is None:
            self._incoming.write(data)
            self._shake_hands()
        return True

    def _take(self, data: bytes) -> None:
        """Decrypt all that came, and pass it on.

        So between two calls nothing is left in OpenSSL but a record that is not whole, and it is
        the kernel alone that tells of more.
        """
        incoming = self._incoming
        pieces: list[bytes] = []
        failure: ssl.SSLError | None = None
        try:
            for start in range(0, len(data) or 1, _SEALED_RECORD):
                incoming.write(data[start : start + _SEALED_RECORD])
                try:
                    while incoming.pending and not self._ended:
                        piece = self._open(_RECORD)
                        if piece:
                            pieces.append(piece)
                        else:
                            self._ended = True
                except ssl.SSLWantReadError:
                    continue  # the last record is not whole yet
        except ssl.SSLZeroReturnError:
            self._ended = True  # the same as an empty piece, when this side has ended as well
        except ssl.SSLError as error:
            failure = error
        if pieces:
            plain = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.last_read = self.loop.now
            self.bytes_in += len(plain)
            self.input.append(plain)
            self.on_message(self, self.input)
        if self._outgoing.pending and not self.closed:  # an alert, an answer to a change of keys
            self._put(self._outgoing.read())
        if failure is not None:
            log.info("%s: TLS failed: %s", self.peer_address, reason_of(failure))
            self._close(failure)
        elif self._ended and not self.closed:
            if self._channel.reading:
                self._handle_end_of_stream()
            else:
                self._held = True

    def _update_reading(self) -> None:
        super()._update_reading()
        if self._held and self._channel.reading:
            self.loop.queue_in_loop(self._take_held)

    def _take_held(self) -> None:
        if self._held and self._channel.reading and not self.closed:
            self._held = False
            self.guard(self._take, b"")

    # ---- sending -------------------------------------------------------------------------

    def send_in_loop(self, data: bytes) -> None:
        """`send` for a protocol that is in the loop's thread and has bytes."""
        if self._output is None and self.state is _CONNECTED and 0 < len(data) <= _RECORD:
            try:
                self._seal(data)
            except ssl.SSLError as error:
                self._close(error)
                return
            self.bytes_out += len(data)
            if self._put(self._outgoing.read()) and self.on_write_completed is not None:
                self._announce_completion()
        elif self.state is _CONNECTED:
            self._enqueue(memoryview(data))
            self._flush_unless_waiting()
        else:
            log.debug("%s is %s: %d bytes dropped", self.name, self.state.value, len(data))

    def _put(self, sealed: bytes) -> bool:
        """Send what is encrypted; whether the kernel took all of it."""
        if not sealed:
            return True
        sent = 0
        if self._output is None:
            try:
                sent = self._socket_send(sealed)
            except BlockingIOError:
                pass
            except OSError as error:
                self._close(error)
                return False
            self.last_write = self.loop.now
            if sent == len(sealed):
                return True
            self._output = SealingQueue(self._seal, self._outgoing)
        assert isinstance(self._output, SealingQueue)
        self._output.append_sealed(memoryview(sealed)[sent:])
        self.bytes_out -= len(sealed) - sent  # counted when it has gone, see _flush
        self._wait_for_room()
        return False

    def _enqueue(self, piece: memoryview | FilePiece) -> None:
        if self._output is None:
            self._output = SealingQueue(self._seal, self._outgoing)
        self._output.append(piece)

    def _announce_completion(self) -> None:
        if self.state is not _CONNECTING:  # the handshake's bytes are nobody's
            super()._announce_completion()

    # ---- ends ----------------------------------------------------------------------------

    def _finish_sending(self) -> None:
        self._say_goodbye()
        if self._output is None:  # else _flush comes back
            super()._finish_sending()

    def _abort_in_loop(self, error: OSError | None) -> None:
        self._goodbye_said = True  # a reset must not look like an end
        super()._abort_in_loop(error)

    def _close(self, error: OSError | None) -> None:
        self._end_timer()
        if error is None and self._output is None and self.state is not _CONNECTING:
            self._say_goodbye()
        super()._close(error)

    def _say_goodbye(self) -> None:
        """Tell the peer that this is the end and nothing was cut off (close_notify)."""
        if self._goodbye_said or self.closed:
            return
        self._goodbye_said = True
        held = self._incoming.read()  # out of the way of SSL_shutdown, see above
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # the peer may end later
        except ssl.SSLError as error:
            log.debug("%s could not say goodbye: %s", self.name, reason_of(error))
        self._incoming.write(held)
        self._put(self._outgoing.read())


def _cut() -> ssl.SSLEOFError:
    return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the stream ended without close_notify")
