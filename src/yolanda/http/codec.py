"""Bytes to requests, responses to bytes; no socket in sight.

Requests are parsed by llhttp (`httptools`), and llhttp alone says what is well-formed and where a
message ends.  Two facts keep this file short:

- *A message can end in two places only*: at an empty line, or where its Content-Length says.  So
  llhttp is fed up to the next such place, and asked there whether the message is complete; what
  follows belongs to the next request and is not touched before its turn.
- A head that llhttp has accepted can be taken apart with ``split``.  So it is kept as it came, and
  its fields become objects only when somebody asks for them.

What llhttp lets pass although it could be read in two ways is refused here (RFC 9112 throughout).
"""

import math
import re
import time
from email.utils import formatdate

import httptools

from yolanda.http.errors import HttpError, reason_of
from yolanda.http.headers import Headers, check_value
from yolanda.http.limits import HttpLimits
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse

_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n")
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*\r\n")
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*([^\r]*?)[ \t]*\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# uri-host [":" port]: a name, an IPv4 address, or an address in brackets (RFC 3986, 3.2.2).
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]|\[v[0-9a-f]+\.[\w.~!$&'()*+,;=:-]+\]"
    rb"|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?",
    re.ASCII,
)
_ABSOLUTE = re.compile(r"https?://[^/?#]", re.IGNORECASE)

_CONNECTION = {True: b"Connection: Keep-Alive\r\n", False: b"Connection: close\r\n"}
_OWN_FIELDS = {"content-length", "content-type", "connection"}  # written by the encoder itself

_CHUNK_OVERHEAD = 32  # bytes that a chunk may take beside its data: size, extensions, line ends
_KNOWN_HOSTS = 256
_KNOWN_HEADS = 256


class Parser:
    """llhttp, and what it reports.

    It holds nothing between two messages, so the connections of a loop share a few of them and an
    idle connection needs none.
    """

    __slots__ = ("body", "chunks", "complete", "feed", "keep_alive", "should_keep_alive")

    def __init__(self) -> None:
        parser = httptools.HttpRequestParser(self)
        self.feed = parser.feed_data
        self.should_keep_alive = parser.should_keep_alive
        self.reset()

    def reset(self) -> None:
        """Be ready for a message."""
        self.complete = False
        self.keep_alive = False
        self.body: list[bytes] = []
        self.chunks = 0

    # What llhttp calls; a name that is missing here costs nothing a header field.

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
    """What the request decoders of one loop share: the limits, and parsers that are not in use."""

    __slots__ = ("_spare", "known_hosts", "limits")

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self.known_hosts: set[bytes] = set()
        """Values of Host that were found to be right; there are few, and each comes often."""
        self._spare: list[Parser] = []

    def take(self) -> Parser:
        """A parser that is at the start of a message."""
        return self._spare.pop() if self._spare else Parser()

    def give_back(self, parser: Parser) -> None:
        """Keep ``parser`` for another message, unless llhttp expects none after this one."""
        if parser.keep_alive:
            parser.complete = False
            parser.chunks = 0
            self._spare.append(parser)


class RequestDecoder:
    """Decodes the requests of one connection, one after the other.

    `decode_head` gives a request; while `body_expected`, `decode_body` gives the pieces of its
    body.  Both take bytes and a position, and return the position up to which the bytes are used.
    They raise `HttpError` for what is not a request, or too much of one.
    """

    __slots__ = (
        "_fed", "_left", "_overhead", "_parser", "_received", "_shared", "_tail", "body_expected",
        "expects_continue", "request",
    )  # fmt: skip

    def __init__(self, shared: SharedParsers) -> None:
        self._shared = shared
        self._parser: Parser | None = None
        self._fed = 0  # bytes of an incomplete head that llhttp has seen
        self._left: int | None = None  # bytes of the body to come; None: it is chunked
        self._tail = b""  # the last bytes fed of a chunked body
        self._received = 0  # bytes of the body
        self._overhead = 0  # bytes around the chunks
        self.request: HttpRequest | None = None
        """The request whose head came last."""
        self.body_expected = False
        """Whether more of its body is to come."""
        self.expects_continue = False
        """Whether the client waits for a 100 before it sends the body (RFC 9110, 10.1.1)."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun to come and is not whole."""
        return self._fed > 0

    @property
    def body_left(self) -> int | None:
        """How many bytes of the body are to come; `None` when nobody knows."""
        return self._left

    def decode_head(self, data: bytes, position: int) -> int:
        """Look for a head in ``data`` from ``position`` on; `request` is set when it is whole.

        What is left unused must be given again, with more behind it.
        """
        self.request = None
        fed = self._fed
        if not fed:
            # Line ends before a request are passed over (RFC 9112, 2.2).
            while data.startswith(b"\r\n", position):
                position += 2
            if position >= len(data) - 1 and data[position:] in (b"", b"\r"):
                return position
        end = data.find(_END, position + max(0, fed - 3))
        size = (len(data) if end < 0 else end + 4) - position
        if size > self._shared.limits.request_line_size:
            self._check_sizes(data, position, size)
        parser = self._parser
        if parser is None:
            parser = self._parser = self._shared.take()
        start = position + fed
        whole = start == 0 and size == len(data)
        piece = data if whole else data[start : position + size]
        try:
            parser.feed(piece)
        except httptools.HttpParserUpgrade:
            parser = self._read_without_upgrade(data[position : position + size])
        except httptools.HttpParserError as error:
            self._parser = None
            raise _judge(data[position:], error) from error
        if end < 0:
            self._fed = size
            return position
        self._fed = 0
        self._accept(piece if not fed else data[position : position + size], parser)
        return position + size

    def decode_body(self, data: bytes, position: int) -> tuple[bytes, int]:
        """Take what there is of the body in ``data`` from ``position`` on."""
        parser = self._parser
        assert parser is not None
        try:
            if self._left is None:
                end = self._feed_chunks(parser, data, position)
            else:
                end = min(len(data), position + self._left)
                self._left -= end - position
                parser.feed(data[position:end])
        except httptools.HttpParserError as error:
            self._parser = None
            raise HttpError(400, f"in the body: {error}") from error
        body = b"".join(parser.body)
        parser.body.clear()
        self._received += len(body)
        if self._left is None:
            self._overhead += end - position - len(body)
            self._check_chunks(parser)
        if parser.complete:
            self._finish(parser)
        return body, end

    # ---- heads ---------------------------------------------------------------------------

    def _accept(self, head: bytes, parser: Parser) -> None:
        """Make the request of a head that llhttp has accepted, or refuse it after all."""
        line_end = head.find(b"\r\n")
        try:
            method, target, version = head[:line_end].decode("latin-1").split(" ")
        except ValueError:
            raise HttpError(400, "a request line has three words, with one space between") from None
        limit = self._shared.limits.header_count
        if len(head) > 4 * limit and head.count(b"\n") - 2 > limit:
            raise HttpError(431, f"more than {limit} header fields")
        if version != "HTTP/1.1" and version != "HTTP/1.0":
            raise HttpError(505, f"version {version!r}")
        if target[0] != "/" or "#" in target:
            _check_target(method, target)
        lowered = head.lower()
        self._check_host(lowered, line_end, version)
        self.request = request = HttpRequest(method, target, version, head)
        if parser.complete:
            request.keep_alive = parser.keep_alive
            self._finish(parser)
        else:
            request.keep_alive = parser.should_keep_alive()
            self._begin_body(lowered, version)

    def _check_host(self, head: bytes, line_end: int, version: str) -> None:
        """One Host with HTTP/1.1, never two, and always one that can be a host (RFC 9112, 3.2)."""
        found = head.find(b"\r\nhost:", line_end)
        if found < 0:
            if version == "HTTP/1.1":
                raise HttpError(400, "no Host")
            return
        end = head.find(b"\r", found + 7)
        if head.find(b"\r\nhost:", end) >= 0:
            raise HttpError(400, "more than one Host")
        host = head[found + 7 : end]
        known = self._shared.known_hosts
        if host not in known:
            if not _HOST.fullmatch(host.strip(b" \t")):
                raise HttpError(400, f"Host {host.strip()!r}")
            if len(known) >= _KNOWN_HOSTS:
                known.clear()
            known.add(host)

    def _check_sizes(self, data: bytes, position: int, size: int) -> None:
        limits = self._shared.limits
        line_end = data.find(b"\r\n", position, position + size)
        if (size if line_end < 0 else line_end - position) > limits.request_line_size:
            raise HttpError(414, f"a request line of more than {limits.request_line_size} bytes")
        if size > limits.head_size:
            raise HttpError(431, f"a head of more than {limits.head_size} bytes")

    def _read_without_upgrade(self, head: bytes) -> Parser:
        """llhttp stops where another protocol would begin.  None does: the offer is passed over.

        (RFC 9110, 7.8: a server may ignore Upgrade.  What follows the head is then its body.)
        """
        if head.startswith(b"CONNECT"):
            raise HttpError(501, "CONNECT")
        parser = self._parser = Parser()
        try:
            parser.feed(_UPGRADE.sub(b"\r\nx-pgrade:", head))
        except httptools.HttpParserError as error:
            raise HttpError(400, str(error)) from error
        return parser

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

    def _finish(self, parser: Parser) -> None:
        self._parser = None
        self.body_expected = False
        self._shared.give_back(parser)


def _check_target(method: str, target: str) -> None:
    """The forms of a target beside a plain path (RFC 9112, 3.2)."""
    if "#" in target:
        raise HttpError(400, "a fragment in the target")
    if not _ABSOLUTE.match(target) and not (target == "*" and method == "OPTIONS"):
        raise HttpError(400, f"target {target!r}")


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

    A head depends on its status, type and whether the connection stays; only its length changes
    from one response to the next, and once a second its date.
    """

    __slots__ = ("_date", "_fresh_until", "_heads", "_server")

    def __init__(self, server_name: str) -> None:
        check_value("Server", server_name)
        self._server = f"Server: {server_name}\r\n".encode("latin-1") if server_name else b""
        self._date = b""
        self._fresh_until = -math.inf
        self._heads: dict[tuple[int, str | None, bool], tuple[bytes, bytes]] = {}

    def encode(self, response: HttpResponse, keep_alive: bool, now: float, body: bytes) -> bytes:
        """The whole response, with ``body``.  ``now``: by the loop's clock.

        Raises `ValueError` for what cannot stand in a head.
        """
        if response.extra_fields is not None:
            framing = b"Content-Length: %d\r\n" % len(body)
            return self.encode_head(response, keep_alive, now, framing) + body
        if now >= self._fresh_until:
            self._refresh(now)
        key = (response.status, response.content_type, keep_alive)
        around = self._heads.get(key)
        if around is None:
            around = self._make_head(*key)
        return b"%b%d%b%b" % (around[0], len(body), around[1], body)

    def encode_head(
        self, response: HttpResponse, keep_alive: bool, now: float, framing: bytes
    ) -> bytes:
        """The head of a response whose body is framed by ``framing``: a field, or nothing."""
        if now >= self._fresh_until:
            self._refresh(now)
        fields = response.extra_fields or Headers()
        names = {name.lower() for name in fields}
        if "transfer-encoding" in names:
            raise ValueError("Transfer-Encoding is the server's to set")
        content_type = fields.get("content-type") or response.content_type
        lines = [_status_line(response.status), framing, _CONNECTION[keep_alive]]
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
        self, status: int, content_type: str | None, keep_alive: bool
    ) -> tuple[bytes, bytes]:
        """What stands before and after the length."""
        type_line = b"" if content_type is None else _content_type_line(content_type)
        before = _status_line(status) + b"Content-Length: "
        after = b"\r\n%b%b%b%b\r\n" % (
            _CONNECTION[keep_alive],
            self._date,
            self._server,
            type_line,
        )
        if len(self._heads) < _KNOWN_HEADS:
            self._heads[status, content_type, keep_alive] = before, after
        return before, after


def _status_line(status: int) -> bytes:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"the status of a response is from 200 to 599, not {status!r}")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason_of(status).encode())


def _content_type_line(content_type: str) -> bytes:
    return f"Content-Type: {check_value('Content-Type', content_type)}\r\n".encode("latin-1")
