"""HTTP on one connection: requests in, responses out, in their order and in time."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from yolanda.buffer import READ_SIZE, Buffer
from yolanda.http.codec import RequestDecoder, ResponseEncoder, SharedParsers
from yolanda.http.errors import HttpError, reason_of
from yolanda.http.exchange_recorder import ExchangeObserver, ExchangeRecorder
from yolanda.http.limits import HttpLimits
from yolanda.http.request import FieldBlock, HttpRequest, RequestLine
from yolanda.http.response import NO_CONTENT, FileBody, HttpResponse, TakeOver
from yolanda.reactor.deadline import Deadline
from yolanda.transport.tcp_connection import (
    HIGH_WATER,
    LOW_WATER,
    ConnectionState,
    TcpConnection,
)

log = logging.getLogger("yolanda.http")

HttpHandler = Callable[[HttpRequest, HttpResponse], object]

_LARGE = 16384  # bytes of a response that need no company to be worth a system call
_MANY = 64  # responses that are enough of a company
_HIGH_WATER = 262144  # bytes that a client has not taken, and no more is done for it
_LOW_WATER = 65536
_BULK = READ_SIZE * 3 // 4  # bytes of a body in one read that announce more of the kind
_BULK_READ_SIZE = 262144
_PUMP_SIZE = 262144  # bytes of an iterable that are produced before others get their turn
_PUMP_PIECES = 4096  # the same for an iterable of empty or tiny pieces
_DISCONNECTED = ConnectionState.DISCONNECTED  # not through the enumeration each time
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@dataclass(slots=True)
class HttpContext:
    """What the HTTP connections of one loop share; used in that loop's thread only."""

    handler: HttpHandler
    limits: HttpLimits
    streaming: bool
    parsers: SharedParsers
    encoder: ResponseEncoder
    on_exchange: ExchangeObserver | None = None
    response_class: type[HttpResponse] = HttpResponse


class HttpConnection:
    """Serves the requests of one connection, one after the other.

    - ``connection``: on which they come;
    - ``context``: what it shares with the others of its loop.

    The server makes it, and all of it happens in the connection's loop; other threads reach it
    through `HttpResponse`.
    """

    __slots__ = (
        "_batch",
        "_behind",
        "_body",
        "_closing",
        "_deadline",
        "_decoder",
        "_discarding",
        "_draining",
        "_encoder",
        "_handler",
        "_iterator",
        "_kept",
        "_limits",
        "_noticed",
        "_objection",
        "_peer_done",
        "_processing",
        "_ready",
        "_recorder",
        "_request",
        "_response",
        "_response_class",
        "_since",
        "_streaming",
        "_upgraded",
        "connection",
    )

    def __init__(self, connection: TcpConnection, context: HttpContext) -> None:
        self.connection = connection
        self._handler = context.handler
        self._response_class = context.response_class
        self._limits = context.limits
        self._streaming = context.streaming
        self._encoder = context.encoder
        self._decoder = RequestDecoder(context.parsers)
        # An exchange that is over when its handler returns leaves no trace in these two.
        self._request: HttpRequest | None = None  # its body or its response is not complete
        self._response: HttpResponse | None = None  # it is deferred
        self._body: list[bytes] | None = None  # pieces of what the handler is to get as a whole
        self._iterator: Iterator[bytes | str] | None = None  # produces the response's body
        self._batch: list[bytes] = []  # responses that have not been sent yet
        self._noticed = False  # something has come, and will be looked at in this turn
        self._ready: HttpRequest | None = None  # its head has been decoded, and it is not served
        self._objection: HttpError | None = None  # to what would have been one
        self._behind = False  # there is more than what is ready
        self._kept = False  # the batch will be flushed
        self._processing = False
        self._discarding = False  # nobody wants the rest of the request's body
        self._peer_done = False
        self._draining = False
        self._closing = False
        self._upgraded = False  # the connection is another protocol's; `_closing` is set as well
        self._since = 0.0  # when the head began to come, or draining
        self._recorder: ExchangeRecorder | None = None  # there if somebody observes
        connection.protocol = self
        if context.on_exchange is not None:
            self._recorder = ExchangeRecorder(connection, context.on_exchange)
        connection.on_message = self.on_message
        connection.on_end_of_stream = _handle_end_of_stream
        connection.on_connection_closed = _handle_closed
        connection.on_low_water = _handle_low_water
        connection.set_water_marks(_HIGH_WATER, _LOW_WATER, pause_reading=True)
        connection.set_timeouts(write=context.limits.write_timeout)
        self._deadline = Deadline(connection.loop, self._check_time)
        self._deadline.at(connection.loop.now + context.limits.keep_alive_timeout)

    @property
    def body_coming(self) -> bool:
        """Whether a part of the request's body is still to come."""
        return self._decoder.body_expected

    @property
    def serving(self) -> bool:
        """Whether a request is being served: its body or its response is not complete."""
        return self._request is not None

    # ---- requests ------------------------------------------------------------------------

    def on_message(self, connection: TcpConnection, buffer: Buffer) -> None:
        """Something has come: look at it when the loop has read all that there is to read."""
        inbox = connection.loop.inbox
        if inbox is None:
            self.receive()
        elif self._noticed:
            self._behind = True  # what was noticed before is still there after an interrupt
        else:
            self._noticed = True
            inbox.append(self)

    def decode(self) -> None:
        """Decode the head of what has come, if it begins with one.  `serve` follows."""
        decoder = self._decoder
        if self._request is not None or decoder.fed or self._ready is not None or self._closing:
            return
        connection = self.connection
        data = connection.input.retrieve_all()
        if not data:
            return  # the end of the stream has come as well
        try:
            position = decoder.decode_head(data, 0)
        except HttpError as error:
            self._objection = error
            return
        self._ready = request = decoder.request
        if request is not None:
            request.connection = connection
            decoder.request = None
        if position < len(data):
            self._behind = True
            self._put_back(data, position)
        elif decoder.body_expected:
            self._behind = True

    def serve(self) -> None:
        """Serve what was decoded, and decode and serve what stands behind it.  `flush` follows."""
        request = self._ready
        if request is None or self._behind or self.connection.state is _DISCONNECTED:
            self._serve_all()
            return
        self._ready = None
        self._noticed = False
        self._processing = True
        try:
            self._serve(request)
        finally:
            self._processing = False
        if self._upgraded:
            self._hand_on()

    def receive(self) -> None:
        """Serve what has come, as far as it can be served now."""
        self._serve_all()
        if self._batch or self._recorder is not None:
            self._keep()

    def _serve_all(self) -> None:
        self._noticed = self._behind = False
        connection = self.connection
        buffer = connection.input
        decoder = self._decoder
        if self._request is not None or self._closing or connection.state is _DISCONNECTED:
            if self._closing:
                if not self._upgraded:  # else it is another protocol's
                    buffer.retrieve_all()
                return
            if connection.closed:
                return
            if not decoder.body_expected:
                if len(buffer) >= self._limits.pipeline_size:
                    connection.pause_reading()  # the client is far ahead of its response
                return
        request, self._ready = self._ready, None
        objection, self._objection = self._objection, None
        data = buffer.retrieve_all()
        size = len(data)
        position = 0
        head_had_begun = decoder.fed
        if size == head_had_begun and request is None and objection is None:
            buffer.append(data)  # nothing has come since the head was looked at
            return
        some_served = request is not None
        self._processing = True
        try:
            if objection is not None:
                raise objection
            while True:
                if request is not None:
                    if decoder.body_expected:
                        self._await_body(request, size - position)
                    else:
                        self._serve(request)
                if self._closing or position >= size:
                    break
                if some_served and connection.queued > _HIGH_WATER:
                    break  # the client asks more than it takes; see handle_low_water
                some_served = True
                if len(self._batch) >= _MANY:
                    self._send_batch()
                if self._request is None:
                    position = decoder.decode_head(data, position)
                    request = decoder.request
                    if request is None:
                        break
                    request.connection = connection
                elif decoder.body_expected:
                    piece, position = decoder.decode_body(data, position)
                    self._take_body(piece)
                    request = None
                else:
                    break  # its response comes first
        except HttpError as error:
            self._refuse(error)
        finally:
            self._processing = False
        decoder.request = None  # or an idle connection would keep what it was last asked
        if self._upgraded:
            buffer.append(data[position:])
            self._hand_on()
        elif position < size and not self._closing:
            if head_had_begun and not position:
                buffer.append(data)
            else:
                self._put_back(data, position)
        if self._peer_done and self._request is None and not self._closing:
            self._end_with_peer()

    def _put_back(self, data: bytes, position: int) -> None:
        """Leave in the buffer what was not used, which may be the beginning of a head."""
        connection = self.connection
        connection.input.append(data[position:] if position else data)
        if self._decoder.fed:
            self._since = connection.loop.now
            self._deadline.at(self._since + self._limits.header_timeout)

    def _await_body(self, request: HttpRequest, here: int) -> None:
        """The head has come, and ``here`` bytes of what follows it."""
        self._request = request
        if self._recorder is not None:
            self._recorder.begin(request)
        self._discarding = False
        self._deadline.at(self.connection.loop.now + self._limits.body_timeout)
        decoder = self._decoder
        if here:
            decoder.expects_continue = False
        left = decoder.body_left
        if not self._streaming or (left is not None and left <= here):
            self._body = []
        else:
            self._body = None
            request.body_coming = True
            request.expects_continue = decoder.expects_continue
            self._serve(request)
        if decoder.expects_continue and not request.holds_continue:
            self.send_continue(request)

    def send_continue(self, request: HttpRequest) -> None:
        """Ask for the body of ``request``, if its client waits for that, and there is use in it."""
        decoder = self._decoder
        response = self._response
        if (
            request is self._request
            and decoder.expects_continue
            and not (self._discarding or self._closing)
            and not (response is not None and response.started)
        ):
            decoder.expects_continue = False
            self._emit(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_body(self, piece: bytes) -> None:
        request = self._request
        assert request is not None
        complete = not self._decoder.body_expected
        # Who fills one read goes on, and each piece is a way through server and application.
        self.connection.read_size = (
            _BULK_READ_SIZE if len(piece) >= _BULK and not complete else READ_SIZE
        )
        if self._discarding:
            if complete:
                self._request = None
        elif self._body is not None:
            self._body.append(piece)
            if complete:
                request.body = b"".join(self._body)
                self._body = None
                self._request = None
                self._serve(request)
        else:
            if piece:
                self._hand_body(request, piece)
            if complete and self._request is request:
                if self._response is None:
                    self._request = None
                self._hand_body(request, b"")

    def _hand_body(self, request: HttpRequest, piece: bytes) -> None:
        if request.on_body is None:
            return
        try:
            request.on_body(piece)
        except Exception:
            log.exception("on_body raised for %s", request.summary)
            if self._response is not None:
                self._fail(self._response)

    def _serve(self, request: HttpRequest) -> None:
        """Call the handler, and send its response unless it wants to finish it later."""
        response_class = self._response_class
        response = response_class()
        response.http_connection = self
        response.request = request
        # The class says the same; but what an instance has is found several times faster.
        response.status = 200
        response.plain = True
        response.field_lines = None
        try:
            line = request.line
            if line.ordinary or line.target != "*":
                handler = self._handler  # in CPython 3.11 a call by a local name costs less
                handler(request, response)
            else:
                response.headers["Allow"] = _METHODS
            body = response.body
            status = response.status
            if (
                type(body) is bytes
                and response.plain
                and line.ordinary
                and self._request is None
                and (status == 200 or status not in NO_CONTENT)
            ):
                # What nearly every response is; `finish` would come to the same.
                keep_alive = request.fields.keep_alive and not self._draining
                self._batch.append(
                    self._encoder.encode(
                        status,
                        response.field_lines or response.content_type,
                        keep_alive,
                        body,
                        self.connection.loop.now,
                    )
                )
                response.finished = True
                if self._recorder is not None:
                    self._recorder.position += len(self._batch[-1])
                    self._recorder.end(response, len(body))
                if not keep_alive:
                    self._close_gracefully()
                elif len(body) > _LARGE:
                    self._send_batch()
                return
        except Exception:
            log.exception("the handler raised for %s", request.summary)
            self._fail(response)
            return
        if response.deferred:
            if not response.finished:
                self._request = request
                self._response = response
                if self._recorder is not None:
                    self._recorder.begin(request)
                if self._streaming and not self._decoder.body_expected:
                    if request.body:
                        self._hand_body(request, request.body)
                    self._hand_body(request, b"")
        else:
            self.finish(response)

    def _respond_to(self, request: HttpRequest) -> HttpResponse:
        """A response of the server's own."""
        response = HttpResponse()
        response.http_connection = self
        response.request = request
        return response

    def _fail(self, response: HttpResponse) -> None:
        """Answer 500 in place of ``response``, or end what has begun as something else."""
        _close_file(response.file_body)
        if response.started:
            if self._recorder is not None:  # or its end would not be seen to be missing
                self._recorder.begin_response(response)
            self.connection.abort()
        elif not response.finished:
            response.finished = True  # whoever has deferred it comes too late
            if response is self._response:
                self._response = None
            failure = self._respond_to(response.request)
            failure.status = 500
            self.finish(failure)

    def _refuse(self, error: HttpError) -> None:
        """Answer what is no request, and close: what follows may not be what it seems."""
        log.info("%s: %s", self.connection.peer_address, error)
        if self._response is not None and self._response.started:
            self.connection.abort()
            return
        request = self._request or error.request or _no_request()
        request.connection = self.connection
        refusal = self._respond_to(request)
        waiting = self._response is not None
        refusal.status = error.status
        refusal.text(f"{error}\n")
        refusal.close = True
        self.finish(refusal)
        if waiting and request.on_disconnect is not None:  # its handler waits for more
            self.connection.guard(request.on_disconnect)

    # ---- responses -----------------------------------------------------------------------

    def finish(self, response: HttpResponse) -> None:
        """Send what of ``response`` is not sent yet, and turn to the next request."""
        if response.finished:
            _close_file(response.file_body)
            return
        keep_alive = self._keeps(response)
        try:
            if response.started:
                self._end_body(response)
            elif response.upgrade_to is not None:
                self._switch(response, *response.upgrade_to)
                return
            elif response.file_body is not None:
                self._send_file(response, keep_alive, response.file_body)
            elif not self._send_whole(response, keep_alive):
                self._send_iterable(response)
                return  # its end comes when all is produced
        except Exception:
            log.exception("no response can be made for %s", response.request.summary)
            self._fail(response)
            return
        self._end_exchange(response, keep_alive)

    def write(self, response: HttpResponse, data: bytes) -> None:
        """Send a piece of the body of ``response``, after its head."""
        if response.finished:
            return
        if not response.started:
            try:
                self._start(response)
            except Exception:
                log.exception("no response can be made for %s", response.request.summary)
                self._fail(response)
                return
        self._write_piece(response, data)

    def hand_over(self, callback: Callable[..., object], *args: object) -> None:
        """Have the loop call ``callback(*args)``.  Any thread."""
        try:
            self.connection.loop.queue_in_loop(callback, *args)
        except RuntimeError:
            log.debug("%s: its loop is closed", self.connection.name)

    def _keeps(self, response: HttpResponse) -> bool:
        """Whether the connection can be used again after ``response``."""
        if response.close or self._draining or not response.request.keep_alive:
            return False
        fields = response.extra_fields
        if fields is not None and (fields.get("connection") or "").lower() == "close":
            return False
        if self._decoder.body_expected:
            left = self._decoder.body_left
            if self._decoder.expects_continue:
                return False  # without a 100 the body may come, or may not
            return left is not None and left <= self._limits.discard_size
        return True

    def _send_whole(self, response: HttpResponse, keep_alive: bool) -> bool:
        """Send ``response`` if its body is there as a whole."""
        body = response.body
        if type(body) is not bytes:
            if isinstance(body, str):
                body = body.encode()
            elif body is None:
                body = b""
                if response.status >= 400:
                    body = f"{response.status} {reason_of(response.status)}\n".encode()
                    response.content_type = response.content_type or "text/plain; charset=utf-8"
            elif isinstance(body, bytearray | memoryview):
                body = bytes(body)
            else:
                return False
        now = self.connection.loop.now
        if response.extra_fields is None and not response.has_no_body:
            fields = response.field_lines or response.content_type
            response.body_sent = len(body)
            self._emit(self._encoder.encode(response.status, fields, keep_alive, body, now))
            return True
        length = len(body)
        if response.has_no_body and (announced := response.announced_length) is not None:
            length = announced  # a HEAD that knows without making it
        framing = b"" if response.status in NO_CONTENT else b"Content-Length: %d\r\n" % length
        head = self._encoder.encode_head(response, keep_alive, now, framing)
        if response.has_no_body:
            self._emit(head)
        else:
            response.body_sent = length
            self._emit(head + body)
        return True

    def _send_file(self, response: HttpResponse, keep_alive: bool, body: FileBody) -> None:
        now = self.connection.loop.now
        framing = b"" if response.status == 204 else b"Content-Length: %d\r\n" % body.size
        head = self._encoder.encode_head(response, keep_alive, now, framing)
        if response.has_no_body:
            self._emit(head)
            body.file.close()
            return
        response.body_sent = body.size
        if self._recorder is not None:
            self._recorder.position += len(head) + body.size
        self._batch.append(head)
        lead = _joined(self._batch)
        self.connection.send_pieces_in_loop([lead, *body.pieces_to_send()])

    def _send_iterable(self, response: HttpResponse) -> None:
        """Produce the body piece by piece, no faster than the client takes it."""
        self._request = response.request
        self._response = response
        if self._recorder is not None:
            self._recorder.begin(response.request)
        response.deferred = True
        iterator: Iterator[bytes | str] = iter(response.body)  # type: ignore[arg-type]
        try:
            first = next(iterator, None)  # before the head: what fails here can still be a 500
            data = b"" if first is None else _as_bytes(first)
        except Exception:
            log.exception("the body raised for %s", response.request.summary)
            self._fail(response)
            return
        self._start(response)
        self._iterator = iterator
        if first is None or response.has_no_body:
            self._end_iterator(response)
        else:
            self._write_piece(response, data)
            if not self._processing:
                self._pump()

    def _pump(self) -> None:
        response = self._response
        iterator = self._iterator
        produced = pieces = 0
        while response is not None and iterator is not None and not self.connection.queued:
            if produced >= _PUMP_SIZE or pieces >= _PUMP_PIECES:
                if not produced:  # else on_write_completed comes in the next turn
                    self.connection.loop.queue_in_loop(self._pump)
                return
            try:
                piece = next(iterator, None)
                if piece is None:
                    self._end_iterator(response)
                    return
                data = _as_bytes(piece)
            except Exception:
                log.exception("the body raised for %s", response.request.summary)
                self.connection.abort()  # the client must not take what it has for the whole
                return
            produced += len(data)
            pieces += 1
            self._write_piece(response, data)

    def _end_iterator(self, response: HttpResponse) -> None:
        self._close_iterator()
        self.finish(response)

    def _switch(self, response: HttpResponse, protocol: str, take_over: TakeOver) -> None:
        """Send the 101, and let go of the connection."""
        if self._decoder.body_expected:
            raise ValueError("an upgrade has to wait for the request's body")
        connection = self.connection
        now = connection.loop.now
        self._emit(self._encoder.encode_upgrade(response, protocol, now))
        self._send_batch()
        response.finished = True
        self._request = self._response = None
        self._closing = self._upgraded = True
        self._deadline.end()
        connection.protocol = None
        connection.on_message = _leave_in_buffer
        connection.on_write_completed = connection.on_connection_closed = None
        connection.on_end_of_stream = connection.on_low_water = None
        connection.set_water_marks(HIGH_WATER, LOW_WATER)
        connection.set_timeouts()
        if self._recorder is not None:
            self._recorder.follow_upgrade(response)
        if not connection.reading:
            connection.resume_reading()
        connection.guard(take_over, connection)
        if not self._processing:  # else `on_message` does it
            self._hand_on()

    def _hand_on(self) -> None:
        """Tell the protocol that has taken over what came before it did."""
        connection = self.connection
        if connection.input and not connection.closed:
            connection.guard(connection.on_message, connection, connection.input)
        if self._peer_done and not connection.closed:
            connection.guard(connection.on_end_of_stream or TcpConnection.shutdown, connection)
        if self._draining and not connection.closed:
            connection.guard(connection.owner.drain, connection)

    def _start(self, response: HttpResponse) -> None:
        """Send the head of a response whose body comes in pieces."""
        length = response.announced_length
        keep_alive = self._keeps(response)
        framing = b""
        if response.status in NO_CONTENT:
            pass  # neither length nor coding stands for a body that cannot be (RFC 9110, 8.6)
        elif length is not None:
            response.bytes_left = length
            framing = b"Content-Length: %d\r\n" % response.bytes_left
        elif response.has_no_body:
            pass
        elif response.request.version == "HTTP/1.1":
            response.chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            response.close = True  # HTTP/1.0 knows no other end
            keep_alive = False
        now = self.connection.loop.now
        self._emit(self._encoder.encode_head(response, keep_alive, now, framing))
        if self._recorder is not None:
            self._recorder.begin_response(response)
        response.started = True
        response.announced_close = not keep_alive
        self.connection.on_write_completed = self._handle_write_completed

    def _write_piece(self, response: HttpResponse, data: bytes) -> None:
        if not data or response.has_no_body:
            return
        response.body_sent += len(data)
        if response.chunked:
            self._emit(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if response.bytes_left is not None:
            if len(data) > response.bytes_left:
                response.body_sent -= len(data)
                log.error("a body longer than its Content-Length for %s", response.request.summary)
                self.connection.abort()
                return
            response.bytes_left -= len(data)
        self._emit(data)

    def _end_body(self, response: HttpResponse) -> None:
        if response.chunked:
            self._emit(b"0\r\n%b\r\n" % response.trailers)
        elif response.bytes_left and not response.has_no_body:
            log.error("a body shorter than its Content-Length for %s", response.request.summary)
            self.connection.abort()

    def _end_exchange(self, response: HttpResponse, keep_alive: bool) -> None:
        response.finished = True
        if response is self._response:
            self._response = None
            self.connection.on_write_completed = None
        if self._recorder is not None:
            if self.connection.closed:
                self._recorder.begin_response(response)  # whose end will not be seen
            else:
                self._recorder.end(response, response.body_sent)
                if not self._processing and not self._kept:
                    self._settle()
        if not keep_alive or response.announced_close:
            self._close_gracefully()
        elif self._decoder.body_expected:
            self._discarding = True  # the next request stands behind this body
            self.connection.resume_reading()
        else:
            self._request = None
            if not self._processing:
                self._go_on()
            elif self._streaming:
                self.connection.resume_reading()  # its handler may have paused

    def _go_on(self) -> None:
        """A deferred response is out: look at what came meanwhile."""
        connection = self.connection
        if connection.input:
            self.receive()
        elif self._peer_done:
            self._end_with_peer()
        if self._response is None and not connection.reading:
            connection.resume_reading()

    def _emit(self, data: bytes) -> None:
        """Send ``data`` now, or with what else this batch of requests brings about."""
        if self._recorder is not None:
            self._recorder.position += len(data)
        self._batch.append(data)
        if len(data) > _LARGE or len(self._batch) >= _MANY:
            self._send_batch()
        elif not self._processing:
            self._keep()

    def _keep(self) -> None:
        """Send the batch when the loop has handled all that is ready, or now if it is at rest."""
        outbox = self.connection.loop.outbox
        if outbox is None:
            self.flush()
        elif not self._kept:
            self._kept = True
            outbox.append(self)
            if len(outbox) >= _MANY:
                self.connection.loop.flush()

    def flush(self) -> None:
        """Send what was kept."""
        self._kept = False
        batch = self._batch
        if batch:
            self.connection.send_in_loop(batch.pop() if len(batch) == 1 else _joined(batch))
        if self._recorder is not None and not self._upgraded:
            self._settle()

    def fail(self, error: Exception) -> None:
        """Something else than a handler has raised, and nobody knows how things stand."""
        self.connection.abort()

    def _send_batch(self) -> None:
        if self._batch:
            self.connection.send_in_loop(_joined(self._batch))

    def handle_low_water(self) -> None:
        """The client has taken most of what it had asked for."""
        if self._request is None and not self._closing:
            self._go_on()

    def _handle_write_completed(self, connection: TcpConnection) -> None:
        self._settle()
        if self._iterator is not None:
            self._pump()
        elif self._response is not None and self._response.on_drain is not None:
            self._response.on_drain()

    def _settle(self) -> None:
        """Tell the observer, if there is one, of the responses that the kernel has taken."""
        recorder = self._recorder
        if recorder is None:
            return
        if not recorder.settle():
            self.connection.on_write_completed = self._handle_write_completed
        elif self._response is None:
            self.connection.on_write_completed = None

    # ---- ends ----------------------------------------------------------------------------

    def drain(self) -> None:
        """The server stops: answer what is here or on its way, then close."""
        self._draining = True
        if self._request is None:
            self._since = self.connection.loop.now
            self._deadline.at(self._since + self._limits.drain_grace)

    def _end_with_peer(self) -> None:
        """The client sends no more and has all its answers."""
        if self._decoder.fed:
            self._refuse(HttpError(400, "the request ends in its head"))
        else:
            self._close_gracefully()

    def _close_gracefully(self) -> None:
        """Half-close and wait a little for the client to do so too.

        To close at once would reset the connection if the client has sent more meanwhile, and a
        reset can overtake the response (RFC 9112, 9.6).
        """
        self._closing = True
        if self._response is not None:
            self._response.finished = True  # whoever has deferred it comes too late
        self._request = self._response = None
        self._close_iterator()
        self._send_batch()
        self.connection.input.retrieve_all()
        if not self.connection.reading:
            self.connection.resume_reading()
        self.connection.shutdown()
        self._deadline.at(self.connection.loop.now + self._limits.linger_timeout)

    def handle_end_of_stream(self) -> None:
        """The client sends no more."""
        self._peer_done = True
        if self._noticed:
            self.receive()
            if self._closing or self.connection.closed:
                return
        if self._decoder.body_expected and not self._discarding:
            self._refuse(HttpError(400, "the request ends in its body"))
        elif self._response is None:
            self._end_with_peer()
        elif self._response.request.on_half_close is not None:
            self.connection.guard(self._response.request.on_half_close)

    def handle_closed(self) -> None:
        """The connection is gone."""
        self._deadline.end()
        if self._recorder is not None:
            self._recorder.close()
        request, response = self._request, self._response
        self._request = self._response = None
        self._batch = []
        self._body = None
        self._close_iterator()
        if response is not None:
            response.finished = True
            _close_file(response.file_body)
        if request is not None and request.on_disconnect is not None:
            self.connection.guard(request.on_disconnect)

    def _close_iterator(self) -> None:
        iterator, self._iterator = self._iterator, None
        close = getattr(iterator, "close", None)
        if close is not None:
            self.connection.guard(close)

    def _check_time(self) -> None:
        """Some time-out may be over; see which one would count now."""
        connection = self.connection
        if connection.closed:
            return
        limits = self._limits
        now = connection.loop.now
        heard = max(connection.last_read, connection.last_write)
        late: HttpError | None = None
        if self._closing:
            due = connection.last_write + limits.linger_timeout
            if connection.queued:
                due = now + limits.linger_timeout  # the write time-out watches over this
        elif self._decoder.body_expected and connection.reading:
            due = connection.last_read + limits.body_timeout
            if not self._discarding:  # else it has its response
                late = HttpError(408, "the body did not come")
        elif self._request is not None:
            due = now + limits.keep_alive_timeout  # the application takes its time
        elif self._decoder.fed:
            due = self._since + limits.header_timeout
            late = HttpError(408, "the head did not come")
        else:
            idle = limits.drain_grace if self._draining else limits.keep_alive_timeout
            due = max(self._since, heard) if self._draining else heard
            due = (now if connection.queued else due) + idle  # not idle while it still sends
        if due > now:
            self._deadline.at(due)
        elif late is not None:
            self._refuse(late)
        else:
            connection.close()


# The hooks of every connection that speaks HTTP: one function for all, where a method would have
# to be bound for each, for what happens once in a connection's life or never.


def _handle_low_water(connection: TcpConnection) -> None:
    connection.protocol.handle_low_water()


def _handle_end_of_stream(connection: TcpConnection) -> None:
    connection.protocol.handle_end_of_stream()


def _handle_closed(connection: TcpConnection) -> None:
    connection.protocol.handle_closed()


def _joined(batch: list[bytes]) -> bytes:
    """Empty ``batch``, and return what was in it."""
    data = b"".join(batch)
    batch.clear()
    return data


def _leave_in_buffer(connection: TcpConnection, buffer: Buffer) -> None:
    """The message hook of a connection whose new protocol has not set its own yet."""


def _no_request() -> HttpRequest:
    """What stands for a request that was refused."""
    request = HttpRequest()
    request.head = b""
    request.line = RequestLine("-", "-", "HTTP/1.1")
    request.fields = FieldBlock(b"\r\n", [], keep_alive=False, ordinary=True)
    request.path = "-"
    return request


def _as_bytes(piece: bytes | str) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, int):  # bytes() would make so many zeros of it
        raise TypeError(f"a piece of a body is bytes or text, not {piece!r}")
    return bytes(piece)


def _close_file(body: FileBody | None) -> None:
    if body is not None:
        body.file.close()
