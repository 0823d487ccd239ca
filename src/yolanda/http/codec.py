"""Bytes to requests, responses to bytes; no socket in sight.

Requests are parsed by llhttp (`httptools`), and llhttp alone says what is well-formed and where a
message ends.  Two facts keep this file short:

- *A message can end in two places only*: at an empty line, or where its Content-Length says.  So
  llhttp is fed up to the next empty line, and asked there whether the message is complete; what
  follows belongs to the next request and is not touched before its turn.  Bytes that a
  Content-Length has announced need no parser at all.
- A head that llhttp has accepted can be taken apart with ``split``.  So it is kept as it came, and
  its fields become objects only when somebody asks for them.

And one makes it fast: *a head is a line and a block of fields, and neither changes what the other
means* (where there is no body and no upgrade).  Clients repeat both, so those that llhttp has
accepted are remembered.  A head made of two that are known is accepted unread; and where a client
asks for something else with the fields of before, only the line is read.

What llhttp lets pass although it could be read in two ways is refused here (RFC 9112 throughout).
"""

import math
import re
import time
from email.utils import formatdate

import httptools

from yolanda.http.errors import HttpError, reason_of
from yolanda.http.field_lines import FieldLines
from yolanda.http.headers import Headers, check_value
from yolanda.http.limits import HttpLimits
from yolanda.http.request import FieldBlock, HttpRequest, RequestLine
from yolanda.http.response import HttpResponse

_END = b"\r\n\r\n"
_PLAIN_BLOCK = b"\r\nHost: a\r\n\r\n"  # what follows a line that is looked at alone
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n")
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*\r\n")
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*([^\r]*?)[ \t]*\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# uri-host [":" port]: a name, an IPv4 address, or an address in brackets (RFC 3986, 3.2.2).
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%25[\w.~-]+)?\]|\[v[0-9a-f]+\.[\w.~!$&'()*+,;=:-]+\]"
    rb"|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?",
    re.ASCII,
)
_HOST_FIELD = re.compile(rb"\n(host:[^\r]*)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)

_CONNECTION = {True: b"Connection: Keep-Alive\r\n", False: b"Connection: close\r\n"}
_OWN_FIELDS = {"content-length", "content-type", "connection"}  # written by the encoder itself

_CHUNK_OVERHEAD = 32  # bytes that a chunk may take beside its data: size, extensions, line ends
_KNOWN_LINES = 1024
_LONGEST_KNOWN = 256  # bytes of a line
_LONGEST_KNOWN_BLOCK = 2048
_LONGEST_KNOWN_HEAD = _LONGEST_KNOWN + 2 + _LONGEST_KNOWN_BLOCK
_KNOWN_HEADS = 1024
_MARKS = 2048  # of lines and blocks that have come once


class Parser:
    """llhttp, and what it reports."""

    __slots__ = ("body", "chunks", "complete", "feed", "keep_alive", "should_keep_alive")

    def __init__(self) -> None:
        parser = httptools.HttpRequestParser(self)
        self.feed = parser.feed_data
        self.should_keep_alive = parser.should_keep_alive
        self.complete = False
        self.keep_alive = False
        self.body: list[bytes] = []
        self.chunks = 0

    # What llhttp calls.  It looks for more names than these; one that is missing costs nothing.

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self.body.append(data)

    def on_chunk_header(self) -> None:
        """The size of a chunk."""
        self.chunks += 1

    def on_message_complete(self) -> None:
        """The end of the message."""
        self.complete = True
        self.keep_alive = self.should_keep_alive()


class SharedParsers:
    """What the request decoders of one loop share: limits, a parser, and what they have seen.

    A parser holds nothing between two messages, so one serves all connections whose requests come
    in one piece, and an idle connection needs none.  The same few request lines, blocks of fields
    and Host fields come again and again; those that were found to be right are kept.
    """

    __slots__ = (
        "_marks", "field_blocks", "host_fields", "limits", "longest_block", "longest_line",
        "parser", "request_lines", "size_to_check", "smallest_size",
    )  # fmt: skip

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self.size_to_check = min(
            limits.request_line_size, limits.head_size, 4 * limits.header_count
        )
        """A head of at most so many bytes is within all limits: a field takes 4 bytes or more."""
        self.smallest_size = min(limits.request_line_size, limits.head_size)
        """The same for a head whose fields are not too many."""
        self.longest_block = min(
            _LONGEST_KNOWN_BLOCK, limits.head_size - _LONGEST_KNOWN - len(b"\r\n")
        )
        """Bytes of a block that is within the limits with whatever line that is kept."""
        self.longest_line = min(_LONGEST_KNOWN, limits.request_line_size)
        """Bytes of a line that is within the limits with whatever block that is kept."""
        self.parser = Parser()
        self.request_lines: dict[bytes, RequestLine] = {}
        self.field_blocks: dict[bytes, FieldBlock] = {}
        """Of requests of HTTP/1.1 that have no body and offer no upgrade."""
        self.host_fields: set[bytes] = set()
        self._marks = [0] * _MARKS

    def has_met(self, piece: bytes) -> bool:
        """Whether ``piece`` has come before, not long ago; from now on it has.

        What comes once is not worth keeping, and would drive out what comes again.
        """
        mark = hash(piece)
        place = mark % _MARKS
        if self._marks[place] == mark:
            return True
        self._marks[place] = mark
        return False


class RequestDecoder:
    """Decodes the requests of one connection, one after the other.

    `decode_head` gives a request; while `body_expected`, `decode_body` gives the pieces of its
    body.  Both take bytes and a position, and return the position up to which the bytes are used.
    They raise `HttpError` for what is not a request, or too much of one.
    """

    __slots__ = (
        "_left", "_overhead", "_parser", "_received", "_shared", "_tail", "body_expected",
        "expects_continue", "fed", "request",
    )  # fmt: skip

    def __init__(self, shared: SharedParsers) -> None:
        self._shared = shared
        self._parser: Parser | None = None  # its own, for a message that comes in pieces
        self.fed = 0
        """Bytes of an incomplete head that llhttp has seen."""
        self._left: int | None = None  # bytes of the body to come; None: it is chunked
        self._tail = b""  # the last bytes fed of a chunked body
        self._received = 0  # bytes of the body
        self._overhead = 0  # bytes around the chunks
        self.request: HttpRequest | None = None
        """The request whose head came last; `None` while a head is incomplete."""
        self.body_expected = False
        """Whether more of its body is to come."""
        self.expects_continue = False
        """Whether the client waits for a 100 before it sends the body (RFC 9110, 10.1.1)."""

    @property
    def body_left(self) -> int | None:
        """How many bytes of the body are to come; `None` when nobody knows."""
        return self._left

    def decode_head(self, data: bytes, position: int) -> int:
        """Look for a head in ``data`` from ``position`` on; `request` is set when it is whole.

        What is left unused must be given again, with more behind it.
        """
        shared = self._shared
        fed = self.fed
        lines: list[bytes] | None = None
        if not fed:
            head = data if not position else data[position : data.find(_END, position) + 4]
            if len(head) <= _LONGEST_KNOWN_HEAD:
                first, _, rest = head.partition(b"\r\n")
                fields = shared.field_blocks.get(rest)
                if fields is not None:
                    line = shared.request_lines.get(first) or self._read_line_alone(first, head)
                    if line is not None and line.persistent:
                        self.request = request = HttpRequest()
                        request.line = line
                        request.path = line.path
                        request.head = head
                        request.fields = fields
                        return position + len(head)
                found = rest.split(b"\r\n")
                if first and not found[-1] and found.index(b"") == len(found) - 2:
                    lines = found  # a head and nothing else
            if data[position] <= 13:
                # Empty lines before a request are passed over (RFC 9112, 2.2).
                while data.startswith(b"\r\n", position):
                    position += 2
                if data[position:] in (b"", b"\r"):
                    self.request = None
                    return position
                if data[position] in b"\r\n":  # llhttp passes over these too
                    raise HttpError(400, "half a line end before the request line")
        if lines is None:
            end = data.find(_END, position + fed - 3 if fed > 3 else position)
            stop = end + 4 if end >= 0 else len(data)
            if stop - position > shared.size_to_check:
                self._check_sizes(data, position, stop)
            start = position + fed
            piece = data if stop - start == len(data) else data[start:stop]
        else:
            piece = head
            stop = position + len(head)
            end = stop - 4
            if len(head) > shared.smallest_size or len(lines) - 2 > shared.limits.header_count:
                self._check_sizes(data, position, stop)
        parser = self._parser or shared.parser
        upgrade_offered = False
        try:
            parser.feed(piece)
        except httptools.HttpParserUpgrade:
            self._drop_parser()
            parser = _read_without_upgrade(data[position:stop])
            upgrade_offered = True
        except httptools.HttpParserError as error:
            self._drop_parser()
            raise _judge(data[position:], error) from error
        if end < 0:
            self._keep_parser(parser)
            self.fed = stop - position
            self.request = None
            return position
        if fed:
            piece = data[position:stop]
            self.fed = 0

        # Settled before anything can be refused: a parser that is in the middle of a message must
        # never meet the request of another connection.
        complete = parser.complete
        if not complete:
            self._keep_parser(parser)
            keep_alive = parser.should_keep_alive()
        else:
            parser.complete = False
            keep_alive = parser.keep_alive
            if parser is self._parser or not keep_alive:
                self._drop_parser()

        # llhttp has accepted the head; now for what it lets pass.
        if lines is None:
            first, _, rest = piece.partition(b"\r\n")
            lines = rest.split(b"\r\n")
        line = shared.request_lines.get(first) or self._read_request_line(first, piece)
        if lines[0] not in shared.host_fields or (
            len(lines) > 3 and _HOST_FIELD.search(rest, len(lines[0]))
        ):
            self._check_hosts(piece, line)
        del lines[-2:]
        ordinary = complete and not upgrade_offered
        fields = FieldBlock(rest, lines, keep_alive, ordinary)
        if (
            ordinary
            and line.persistent
            and len(rest) <= shared.longest_block
            and shared.has_met(rest)
        ):
            if len(shared.field_blocks) >= _KNOWN_LINES:
                shared.field_blocks.clear()
            shared.field_blocks[rest] = fields
        self.request = request = HttpRequest()
        request.line = line
        request.path = line.path
        request.head = piece
        request.fields = fields
        if upgrade_offered:
            request.upgrade_offered = True
        if not complete:
            try:
                self._begin_body(piece.lower(), line.version)
            except HttpError as error:
                error.request = request
                raise
        return stop

    def decode_body(self, data: bytes, position: int) -> tuple[bytes, int]:
        """Take what there is of the body in ``data`` from ``position`` on."""
        left = self._left
        if left is not None:
            # It ends where its length says, and there is nothing in it that llhttp could object to.
            end = position + min(len(data) - position, left)
            self._left = left = left - (end - position)
            if not left:
                self.body_expected = False
            return data[position:end], end
        parser = self._parser
        assert parser is not None
        try:
            end = self._feed_chunks(parser, data, position)
        except httptools.HttpParserError as error:
            self._drop_parser()
            raise HttpError(400, f"in the body: {error}") from error
        body = b"".join(parser.body)
        parser.body.clear()
        self._received += len(body)
        self._overhead += end - position - len(body)
        self._check_chunks(parser)
        if parser.complete:
            self._parser = None
            self.body_expected = False
        return body, end

    # ---- heads ---------------------------------------------------------------------------

    def _read_line_alone(self, text: bytes, head: bytes) -> RequestLine | None:
        """Understand the line of a ``head`` whose fields are known; None if llhttp has to see all.

        It does where there is something to be objected, so that this is said in the usual way.
        """
        shared = self._shared
        if self._parser is not None or len(text) > shared.longest_line:
            return None
        parser = shared.parser
        try:
            parser.feed(text + _PLAIN_BLOCK)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            parser.complete = False
        if not (parser.complete and parser.keep_alive):
            shared.parser = Parser()
            return None
        parser.complete = False
        return self._read_request_line(text, head)

    def _read_request_line(self, text: bytes, head: bytes) -> RequestLine:
        """Understand the request line of ``head``, for the first time."""
        try:
            method, target, version = text.decode("latin-1").split(" ")
        except ValueError:
            raise HttpError(400, "a request line has three words, with one space between") from None
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise HttpError(505, f"version {version!r}")
        if target[0] != "/" or "#" in target:
            _check_target(method, target, head)
        line = RequestLine(method, target, version)
        shared = self._shared
        if (
            target[0] == "/"  # others are compared with their Host
            and len(text) <= _LONGEST_KNOWN
            and shared.has_met(text)
        ):
            if len(shared.request_lines) >= _KNOWN_LINES:
                shared.request_lines.clear()
            shared.request_lines[text] = line
            line.kept = True
        return line

    def _check_hosts(self, head: bytes, line: RequestLine) -> None:
        """There is one Host in HTTP/1.1, never two, and it can be a host (RFC 9112, 3.2)."""
        found = _HOST_FIELD.search(head)
        if found is None:
            if line.version == "HTTP/1.1":
                raise HttpError(400, "no Host")
            return
        if _HOST_FIELD.search(head, found.end()):
            raise HttpError(400, "more than one Host")
        field = found[1]
        known = self._shared.host_fields
        if field not in known:
            if not _HOST.fullmatch(field[5:].strip(b" \t")):
                raise HttpError(400, f"Host {field[5:].strip()!r}")
            if len(field) <= _LONGEST_KNOWN:
                if len(known) >= _KNOWN_LINES:
                    known.clear()
                known.add(field)

    def _check_sizes(self, data: bytes, position: int, stop: int) -> None:
        limits = self._shared.limits
        line_end = data.find(b"\r", position, stop)
        if (stop if line_end < 0 else line_end) - position > limits.request_line_size:
            raise HttpError(414, f"a request line of more than {limits.request_line_size} bytes")
        if stop - position > limits.head_size:
            raise HttpError(431, f"a head of more than {limits.head_size} bytes")
        if data.count(b"\n", position, stop) - 2 > limits.header_count:
            raise HttpError(431, f"more than {limits.header_count} header fields")

    def _keep_parser(self, parser: Parser) -> None:
        """Make ``parser`` this connection's own until the message is complete."""
        if parser is self._shared.parser:
            self._shared.parser = Parser()
        self._parser = parser

    def _drop_parser(self) -> None:
        """The parser can take no other message, or need not."""
        if self._parser is None:
            self._shared.parser = Parser()
        self._parser = None

    # ---- bodies --------------------------------------------------------------------------

    def _begin_body(self, head: bytes, version: str) -> None:
        self._received = self._overhead = 0
        self.body_expected = True
        coding = _TRANSFER_ENCODING.search(head)
        length = _CONTENT_LENGTH.search(head)
        if coding is not None:
            if version == "HTTP/1.0":
                raise HttpError(400, "Transfer-Encoding in HTTP/1.0")  # RFC 9112, 6.1
            if coding[1] != b"chunked":
                raise HttpError(501, f"Transfer-Encoding {coding[1]!r}")
            self._left = None
            self._tail = b""
        elif length is not None:
            self._left = int(length[1])
            if self._left > self._shared.limits.body_size:
                raise HttpError(413, f"a body of {self._left} bytes")
            self._parser = None  # it is in the middle of a message, and of no use for another
        else:
            raise HttpError(400, "a body of unknown length")
        expectation = _EXPECT.search(head)
        self.expects_continue = False
        if expectation is not None and version == "HTTP/1.1":
            if expectation[1] != b"100-continue":
                raise HttpError(417, f"Expect {expectation[1]!r}")
            self.expects_continue = True

    def _feed_chunks(self, parser: Parser, data: bytes, position: int) -> int:
        """Feed as far as each empty line, since one of them ends the message."""
        while position < len(data) and not parser.complete:
            # The empty line may have begun in what came before.
            found = (self._tail + data[position : position + 3]).find(_END)
            if found >= 0:
                end = position + found + 4 - len(self._tail)
            else:
                found = data.find(_END, position)
                end = found + 4 if found >= 0 else len(data)
            piece = data[position:end]
            parser.feed(piece)
            self._tail = (self._tail + piece[-3:])[-3:]
            position = end
        return position

    def _check_chunks(self, parser: Parser) -> None:
        limits = self._shared.limits
        if self._received > limits.body_size:
            raise HttpError(413, f"a body of more than {limits.body_size} bytes")
        if self._overhead > limits.head_size + _CHUNK_OVERHEAD * parser.chunks:
            raise HttpError(431, "chunk extensions or trailers of a chunked body")


def _read_without_upgrade(head: bytes) -> Parser:
    """llhttp stops where another protocol would begin.  Read on as if none was offered.

    (RFC 9110, 7.8: a server may ignore Upgrade, and what follows the head is then its body.  If the
    handler takes the offer, `HttpConnection` looks at no further byte.)
    """
    if head.startswith(b"CONNECT"):
        raise HttpError(501, "CONNECT")
    parser = Parser()
    try:
        parser.feed(_UPGRADE.sub(b"\r\nx-pgrade:", head))
    except httptools.HttpParserError as error:
        raise HttpError(400, str(error)) from error
    return parser


def _check_target(method: str, target: str, head: bytes) -> None:
    """The forms of a target beside a plain path (RFC 9112, 3.2).

    A target with a host counts more than Host, which has to say the same.  Who says two things is
    up to something: applications look at the one, and what stands in front perhaps at the other.
    """
    if "#" in target:
        raise HttpError(400, "a fragment in the target")
    if target == "*" and method == "OPTIONS":
        return
    absolute = _ABSOLUTE.match(target)
    authority = absolute[1].encode("latin-1").lower() if absolute else b":"
    if authority[:1] == b":" or not _HOST.fullmatch(authority):
        raise HttpError(400, f"target {target!r}")
    field = _HOST_FIELD.search(head)
    host = authority if field is None else field[1][5:].strip(b" \t").lower()
    if host != authority:
        raise HttpError(400, f"target {target!r} and Host {host!r}")


def _judge(data: bytes, error: httptools.HttpParserError) -> HttpError:
    """The status for what llhttp does not accept."""
    line = data[: max(0, data.find(b"\r\n"))]
    words = line.split(b" ")
    if len(words) == 3 and _TOKEN.fullmatch(words[0]):
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            if _VERSION.fullmatch(words[2]):
                return HttpError(501, f"method {words[0].decode()}")
        elif _VERSION.fullmatch(words[2]) and words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            return HttpError(505, f"version {words[2].decode()}")
    return HttpError(400, str(error))


class ResponseEncoder:
    """Writes the heads of one loop's responses, and keeps those that it will need again.

    A head depends on its status, type, length and whether the connection stays; and, once a
    second, on the date, when all are forgotten.
    """

    __slots__ = ("_date", "_fresh_until", "_heads", "_server")

    def __init__(self, server_name: str) -> None:
        check_value("Server", server_name)
        self._server = f"Server: {server_name}\r\n".encode("latin-1") if server_name else b""
        self._date = b""
        self._fresh_until = -math.inf
        self._heads: dict[tuple[int, str | FieldLines | None, bool, int], bytes] = {}

    def encode(
        self,
        status: int,
        fields: str | FieldLines | None,
        keep_alive: bool,
        body: bytes,
        now: float,
    ) -> bytes:
        """A whole response.  ``fields``: its content type, or all that it has.

        - ``now``: by the loop's clock.

        Raises `ValueError` for what cannot stand in a head.
        """
        if now >= self._fresh_until:
            self._refresh(now)
        key = (status, fields, keep_alive, len(body))
        head = self._heads.get(key)
        if head is None:
            head = self._make_head(*key)
        return head + body

    def encode_head(
        self, response: HttpResponse, keep_alive: bool, now: float, framing: bytes
    ) -> bytes:
        """The head of a response whose body is framed by ``framing``: a field, or nothing."""
        opening = _status_line(response.status) + framing + _CONNECTION[keep_alive]
        return self._add_fields(opening, response, now)

    def encode_upgrade(self, response: HttpResponse, protocol: str, now: float) -> bytes:
        """The head that ends HTTP on a connection, and begins ``protocol`` (RFC 9110, 15.2.2)."""
        opening = (
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Connection: Upgrade\r\n"
            b"Upgrade: %b\r\n" % check_value("Upgrade", protocol).encode("latin-1")
        )
        return self._add_fields(opening, response, now)

    def _add_fields(self, opening: bytes, response: HttpResponse, now: float) -> bytes:
        if now >= self._fresh_until:
            self._refresh(now)
        known = response.field_lines
        if known is not None:
            return self._join_head(opening, known)
        fields = response.extra_fields or Headers()
        names = {name.lower() for name in fields}
        if "transfer-encoding" in names:
            raise ValueError("Transfer-Encoding is the server's to set")
        content_type = fields.get("content-type") or response.content_type
        lines = [opening]
        if "date" not in names:
            lines.append(self._date)
        if "server" not in names:
            lines.append(self._server)
        if content_type is not None:
            lines.append(_content_type_line(content_type))
        lines += [
            f"{name}: {value}\r\n".encode("latin-1")
            for name, value in fields.items()
            if name.lower() not in _OWN_FIELDS
        ]
        lines.append(b"\r\n")
        return b"".join(lines)

    def _refresh(self, now: float) -> None:
        wall = time.time()
        self._fresh_until = now + 1.0 - wall % 1.0
        self._date = f"Date: {formatdate(wall, usegmt=True)}\r\n".encode()
        self._heads.clear()

    def _make_head(
        self, status: int, fields: str | FieldLines | None, keep_alive: bool, length: int
    ) -> bytes:
        opening = b"%bContent-Length: %d\r\n%b" % (
            _status_line(status),
            length,
            _CONNECTION[keep_alive],
        )
        if isinstance(fields, FieldLines):
            head = self._join_head(opening, fields)
        else:
            content_type = b"" if fields is None else _content_type_line(fields)
            head = b"%b%b%b%b\r\n" % (opening, self._date, self._server, content_type)
        if len(self._heads) < _KNOWN_HEADS:
            self._heads[status, fields, keep_alive, length] = head
        return head

    def _join_head(self, opening: bytes, fields: FieldLines) -> bytes:
        date = b"" if fields.date else self._date
        server = b"" if fields.server else self._server
        return b"%b%b%b%b\r\n" % (opening, date, server, fields.lines)


def _status_line(status: int) -> bytes:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"the status of a response is from 200 to 599, not {status!r}")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason_of(status).encode())


def _content_type_line(content_type: str) -> bytes:
    return f"Content-Type: {check_value('Content-Type', content_type)}\r\n".encode("latin-1")
