"""The codec alone: the same requests come out however the bytes are cut."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolanda.http.codec import RequestDecoder, ResponseEncoder, SharedParsers
from yolanda.http.errors import HttpError
from yolanda.http.headers import Headers
from yolanda.http.limits import HttpLimits
from yolanda.http.request import HttpRequest, RequestLine
from yolanda.http.response import HttpResponse

Seen = tuple[str, str, str, list[tuple[str, str]], bytes, bool]


class Feed:
    """Gives pieces to a decoder as a connection does, and notes what comes out."""

    def __init__(self, limits: HttpLimits | None = None, shared: SharedParsers | None = None):
        self.shared = shared or SharedParsers(limits or HttpLimits())
        self.decoder = RequestDecoder(self.shared)
        self.requests: list[Seen] = []
        self.error: int | None = None
        self._current: HttpRequest | None = None
        self._body: list[bytes] = []
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        data = self._rest + piece
        position = 0
        try:
            while position < len(data):
                if self._current is None:
                    position = self.decoder.decode_head(data, position)
                    if self.decoder.request is None:
                        break
                    self._current = self.decoder.request
                else:
                    body, position = self.decoder.decode_body(data, position)
                    self._body.append(body)
                if not self.decoder.body_expected:
                    self._note(self._current)
        except HttpError as error:
            self.error = error.status
            return
        self._rest = data[position:]

    def _note(self, request: HttpRequest) -> None:
        body = b"".join(self._body)
        self._body = []
        self._current = None
        self.requests.append(
            (
                request.method,
                request.target,
                request.version,
                request.headers.items(),
                body,
                request.keep_alive,
            )
        )

    def feed_cut(self, stream: bytes, places: list[int]) -> "Feed":
        ends = sorted({place % (len(stream) + 1) for place in places} | {len(stream)})
        for start, end in zip([0, *ends], ends, strict=False):
            if end > start and self.error is None:
                self.feed(stream[start:end])
        return self


def read_all(stream: bytes, places: list[int] | None = None) -> Feed:
    return Feed().feed_cut(stream, places or [])


@dataclass
class Made:
    """A request that was made up, and what is to be seen of it."""

    data: bytes
    seen: Seen


TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
TARGET = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-._~!$&'()*+,;=:@/%?"
field_names = st.text(TOKEN, min_size=1, max_size=10).map(lambda name: "X-" + name)
field_values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20
)
spaces = st.sampled_from(["", " ", "\t", "  ", " \t "])
bodies = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\r", b"x"]),
        max_size=12,
    ).map(b"".join),
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """The body in chunks of any size, with extensions and trailers."""
    parts = []
    position = 0
    while position < len(body):
        size = draw(st.integers(1, len(body) - position))
        number = draw(st.sampled_from(["%x", "%X", "%04x"])) % size
        extension = draw(st.sampled_from(["", ";a", ";a=b", ';a="b c"', ";a=b;c=d"]))
        parts.append(f"{number}{extension}\r\n".encode())
        parts.append(body[position : position + size] + b"\r\n")
        position += size
    parts.append(draw(st.sampled_from([b"0\r\n", b"000\r\n", b"0;last\r\n"])))
    parts += [f"{name}: trailer\r\n".encode() for name in draw(st.lists(field_names, max_size=2))]
    parts.append(b"\r\n")
    return b"".join(parts)


@st.composite
def requests(draw: st.DrawFn) -> Made:
    """A valid HTTP/1.1 request, odd as it may be."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]))
    target = "/" + draw(st.text(TARGET, max_size=20))
    fields = [("Host", draw(st.sampled_from(["a", "a:80", "[::1]:8080", ""])))]
    fields += draw(st.lists(st.tuples(field_names, field_values), max_size=4))
    body = b""
    framed = b""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "length":
        body = framed = draw(bodies)
        fields.append(("Content-Length", str(len(body))))
    elif kind == "chunked":
        body = draw(bodies)
        framed = draw(chunked(body))
        fields.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
    fields = draw(st.permutations(fields))
    lines = [f"{method} {target} HTTP/1.1\r\n"]
    for name, value in fields:
        # llhttp does not take white space after "chunked", and need not.
        end = "" if name == "Transfer-Encoding" else draw(spaces)
        lines.append(f"{name}:{draw(spaces)}{value}{end}\r\n")
    head = draw(st.sampled_from(["", "\r\n", "\r\n\r\n"])) + "".join(lines) + "\r\n"
    expected = [(n, v.strip(" \t")) for n, v in fields]
    return Made(
        head.encode("latin-1") + framed,
        (method, target, "HTTP/1.1", expected, body, True),
    )


@settings(max_examples=300)
@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
def test_requests_do_not_depend_on_the_pieces(made: list[Made], places: list[int]) -> None:
    stream = b"".join(each.data for each in made)
    feed = read_all(stream, places)
    assert feed.error is None
    assert feed.requests == [each.seen for each in made]
    assert not feed.decoder.body_expected


@settings(max_examples=40)
@given(st.lists(requests(), min_size=1, max_size=2))
def test_byte_by_byte(made: list[Made]) -> None:
    stream = b"".join(each.data for each in made)
    feed = Feed().feed_cut(stream, list(range(len(stream))))
    assert feed.error is None
    assert feed.requests == [each.seen for each in made]


@settings(max_examples=15)
@given(requests(), requests())
def test_every_cut(first: Made, second: Made) -> None:
    stream = first.data + second.data
    shared = SharedParsers(HttpLimits())
    for place in range(len(stream)):
        feed = Feed(shared=shared).feed_cut(stream, [place])
        assert feed.error is None, place
        assert feed.requests == [first.seen, second.seen], place


@settings(max_examples=60)
@given(st.lists(requests(), min_size=2, max_size=4), st.data())
def test_connections_that_share_a_parser_do_not_mix(made: list[Made], data: st.DataObject) -> None:
    shared = SharedParsers(HttpLimits())
    feeds = [Feed(shared=shared) for _ in made]
    left = [[each.data[i : i + 7] for i in range(0, len(each.data), 7)] for each in made]
    while any(left):
        index = data.draw(st.sampled_from([i for i, pieces in enumerate(left) if pieces]))
        feeds[index].feed(left[index].pop(0))
    for feed, each in zip(feeds, made, strict=True):
        assert feed.requests == [each.seen]


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=4))
def test_garbage_is_refused_or_waits(garbage: bytes, places: list[int]) -> None:
    feed = read_all(garbage, places)
    assert feed.error in (None, 400, 414, 431, 501, 505)
    # hypothesis tries what it finds in the sources, too, and so makes a request now and then.
    assert feed.requests == [] or b" HTTP/1." in garbage


@settings(max_examples=200)
@given(requests(), st.integers(0, 10_000), st.integers(0, 255), st.lists(st.integers(0, 10_000)))
def test_a_damaged_request_gives_the_same_in_pieces(
    made: Made, place: int, byte: int, places: list[int]
) -> None:
    damaged = bytearray(made.data)
    damaged[place % len(damaged)] = byte
    whole = read_all(bytes(damaged))
    pieces = read_all(bytes(damaged), places)
    assert pieces.requests == whole.requests
    assert (pieces.error is None) == (whole.error is None)


# ---- bodies ----------------------------------------------------------------------------------

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def post(fields: bytes, body: bytes) -> bytes:
    return HEAD + fields + b"\r\n" + body


@pytest.mark.parametrize(
    ("framed", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"8\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"3\r\n\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"1\r\n\r\r\n1\r\n\n\r\n1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"00000001\r\nx\r\n0000\r\n\r\n", b"x"),
        (b"1\r\nx\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n", b"x"),
        (b'1;a="b\\"c"\r\nx\r\n0\r\n\r\n', b"x"),
        (b"10000\r\n" + b"z" * 65536 + b"\r\n0\r\n\r\n", b"z" * 65536),
    ],
)
def test_chunked_bodies(framed: bytes, body: bytes) -> None:
    stream = post(b"Transfer-Encoding: chunked\r\n", framed) + NEXT
    cuts = range(len(stream)) if len(stream) < 500 else range(200)
    for place in cuts:
        feed = read_all(stream, [place])
        assert feed.error is None
        assert [seen[1] for seen in feed.requests] == ["/", "/next"]
        assert feed.requests[0][4] == body


def test_a_terminator_that_comes_byte_by_byte() -> None:
    stream = post(b"Transfer-Encoding: chunked\r\n", b"4\r\n\r\n\r\n\r\n0\r\nX: y\r\n\r\n")
    feed = Feed().feed_cut(stream + NEXT, list(range(len(stream) + len(NEXT))))
    assert [seen[4] for seen in feed.requests] == [b"\r\n\r\n", b""]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000])
def test_a_body_of_empty_lines(size: int) -> None:
    body = b"\r\n\r\n" * size
    feed = read_all(post(b"Content-Length: %d\r\n" % len(body), body) + NEXT)
    assert feed.requests[0][4] == body
    assert feed.requests[1][1] == "/next"


def test_what_follows_a_body_is_not_touched_before_its_turn() -> None:
    decoder = RequestDecoder(SharedParsers(HttpLimits()))
    data = post(b"Content-Length: 3\r\n", b"abc") + b"\0garbage"
    position = decoder.decode_head(data, 0)
    assert decoder.body_expected
    assert decoder.body_left == 3
    body, position = decoder.decode_body(data, position)
    assert body == b"abc"
    assert data[position:] == b"\0garbage"
    assert not decoder.body_expected


def test_the_length_of_a_chunked_body_is_unknown() -> None:
    decoder = RequestDecoder(SharedParsers(HttpLimits()))
    decoder.decode_head(post(b"Transfer-Encoding: chunked\r\n", b""), 0)
    assert decoder.body_left is None


# ---- limits ----------------------------------------------------------------------------------

SMALL = HttpLimits(request_line_size=50, head_size=200, header_count=5, body_size=10)


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"GET /" + b"a" * 36 + b" HTTP/1.1\r\nHost: a\r\n\r\n", None),  # 50 bytes
        (b"GET /" + b"a" * 37 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 1000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 300 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 300, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 300 + b": x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 4 + b"\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 5 + b"\r\n", 431),
        (post(b"Content-Length: 10\r\n", b"0123456789"), None),
        (post(b"Content-Length: 11\r\n", b""), 413),
        (post(b"Content-Length: 99999999999999999\r\n", b""), 413),
        (post(b"Transfer-Encoding: chunked\r\n", b"a\r\n0123456789\r\n0\r\n\r\n"), None),
        (post(b"Transfer-Encoding: chunked\r\n", b"b\r\n0123456789a\r\n0\r\n\r\n"), 413),
        (post(b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n" * 11), 413),
        (post(b"Transfer-Encoding: chunked\r\n", b"1;" + b"e" * 1000 + b"\r\nx\r\n"), 431),
        (
            post(b"Transfer-Encoding: chunked\r\n", b"0\r\nX: " + b"t" * 1000 + b"\r\n\r\n"),
            431,
        ),
    ],
)
def test_limits(stream: bytes, status: int | None) -> None:
    assert Feed(SMALL).feed_cut(stream, []).error == status
    assert Feed(SMALL).feed_cut(stream, list(range(len(stream)))).error == status


@pytest.mark.parametrize("name", ["request_line_size", "body_timeout", "drain_grace"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_are_more_than_nothing(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is more than 0, not {value}"):
        HttpLimits(**{name: value})  # type: ignore[arg-type]


# ---- what the decoder remembers ---------------------------------------------------------------


def test_many_different_lines_and_hosts_do_not_pile_up() -> None:
    shared = SharedParsers(HttpLimits())
    for number in range(5000):
        feed = Feed(shared=shared)
        feed.feed(b"GET /%d HTTP/1.1\r\nHost: h%d\r\n\r\n" % (number, number))
        assert feed.error is None
        assert feed.requests[0][1] == f"/{number}"
    assert len(shared.request_lines) <= 1024
    assert len(shared.field_blocks) <= 1024
    assert len(shared.host_fields) <= 1024


def test_what_comes_once_is_not_kept_and_drives_out_nothing() -> None:
    shared = SharedParsers(HttpLimits())
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(2):
        Feed(shared=shared).feed(head)
    lines, blocks = dict(shared.request_lines), dict(shared.field_blocks)
    assert len(lines) == len(blocks) == 1
    for number in range(5000):
        Feed(shared=shared).feed(b"GET /%d HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % (number, number))
    assert shared.request_lines == lines
    assert shared.field_blocks == blocks


LINES = [
    b"GET / HTTP/1.1",
    b"GET /two?q HTTP/1.1",
    b"GET / HTTP/1.0",
    b"POST /three HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"GET http://b/ HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET / HTTP/1.2",
    b"GET / HTTP/1.1\r\nX: y",
    b"",
]
BLOCKS = [
    b"Host: a\r\n\r\n",
    b"Host: a\r\nX: y\r\n\r\n",
    b"Host: a\r\nConnection: close\r\n\r\n",
    b"Host: a\r\nConnection: keep-alive\r\n\r\n",
    b"Host: a\r\nContent-Length: 4\r\n\r\nbody",
    b"Host: a\r\nContent-Length: 0\r\n\r\n",
    b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    b"Host: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"Host: a\r\nHost: a\r\n\r\n",
    b"X: y\r\n\r\n",
    b"Host: a\r\nX : y\r\n\r\n",
    b"Host: a\nX: y\r\n\r\n",
    b"\r\n",
]


def test_what_is_known_changes_no_answer() -> None:
    """Every line with every block, alone and in company, for a decoder that has met them all."""
    heads = [line + b"\r\n" + block for line in LINES for block in BLOCKS]
    shared = SharedParsers(HttpLimits())
    for head in [*heads, *heads]:
        Feed(shared=shared).feed(head)
    assert shared.field_blocks
    for head in heads:
        for stream in (head, head + head, b"\r\n" + head, heads[0] + head, head + heads[0]):
            fresh = Feed()
            fresh.feed(stream)
            knowing = Feed(shared=shared)
            knowing.feed(stream)
            assert (knowing.requests, knowing.error) == (fresh.requests, fresh.error), stream


@given(
    stream=st.lists(st.sampled_from(LINES + BLOCKS), min_size=2, max_size=8).map(b"\r\n".join),
    cuts=st.lists(st.integers(0, 200), max_size=4),
)
def test_what_is_known_changes_no_answer_however_it_comes(stream: bytes, cuts: list[int]) -> None:
    shared = SharedParsers(HttpLimits())
    for line in LINES:
        for block in BLOCKS:
            Feed(shared=shared).feed(line + b"\r\n" + block)
    fresh = Feed().feed_cut(stream, cuts)
    knowing = Feed(shared=shared).feed_cut(stream, cuts)
    assert (knowing.requests, knowing.error) == (fresh.requests, fresh.error)


WORDS = st.sampled_from(
    b"GET,POST,HEAD,get,CONNECT,PRI,OPTIONS,M-SEARCH,QUERY,/,/x,*,/#f,http://a/,http://b/,a:1,//,"
    b"/%zz,/\xe9,/\0,HTTP/1.1,HTTP/1.0,HTTP/2.0,HTTP/1.1\n,HTTP/1.1\nX: y,\n,\r,".split(b",")
)


@given(
    line=st.lists(WORDS, max_size=5).map(b" ".join)
    | st.builds(b" ".join, st.tuples(WORDS, st.binary(max_size=20), WORDS))
    | st.binary(max_size=20),
    block=st.sampled_from(BLOCKS),
)
def test_a_new_line_with_a_known_block_is_judged_as_ever(line: bytes, block: bytes) -> None:
    shared = SharedParsers(HttpLimits())
    for method in (b"GET", b"POST", b"GET"):
        Feed(shared=shared).feed(method + b" / HTTP/1.1\r\n" + block)
    head = line + b"\r\n" + block
    for stream in (head, head + head):
        fresh = Feed()
        fresh.feed(stream)
        for _ in range(2):  # what it leaves behind must not harm the next one
            knowing = Feed(shared=shared)
            knowing.feed(stream)
            assert (knowing.requests, knowing.error) == (fresh.requests, fresh.error)


def test_a_new_line_with_a_known_block_is_within_the_limits() -> None:
    shared = SharedParsers(HttpLimits(request_line_size=40))
    for size in (1, 1, 1, *range(10, 300)):
        feed = Feed(shared=shared)
        feed.feed(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * size))
        assert feed.error == (414 if size + 14 > 40 else None)


def test_a_known_block_is_within_the_limits_with_any_known_line() -> None:
    limits = HttpLimits(head_size=600)
    shared = SharedParsers(limits)
    short, long = b"GET / HTTP/1.1", b"GET /" + b"l" * 230 + b" HTTP/1.1"
    for size in range(200, 600):
        block = b"Host: a\r\nX: %b\r\n\r\n" % (b"x" * (size - 16))
        for line in (short, long, short, long):
            feed = Feed(shared=shared)
            feed.feed(line + b"\r\n" + block)
            assert feed.error == (431 if len(line) + 2 + len(block) > 600 else None)


def test_a_known_host_does_not_hide_a_second_one() -> None:
    shared = SharedParsers(HttpLimits())
    good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for bad in (
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        for stream, error in ((good, None), (bad, 400), (good, None)):
            feed = Feed(shared=shared)
            feed.feed(stream)
            assert feed.error == error, stream


# ---- responses -------------------------------------------------------------------------------


def make_response(**attributes: object) -> HttpResponse:
    request = HttpRequest()
    request.line = RequestLine("GET", "/", "HTTP/1.1")
    response = HttpResponse()
    response.request = request
    for name, value in attributes.items():
        setattr(response, name, value)
    return response


def names_of(head: bytes) -> list[str]:
    return [line.partition(b":")[0].decode() for line in head.split(b"\r\n")[1:-2]]


def test_the_order_of_the_fields_is_the_courses() -> None:
    head = ResponseEncoder("Yolanda").encode(200, "text/html", True, b"x" * 116, 0.0)
    head = head.removesuffix(b"x" * 116)
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 116\r\nConnection: Keep-Alive\r\n")
    assert head.endswith(b"\r\nServer: Yolanda\r\nContent-Type: text/html\r\n\r\n")
    assert names_of(head) == ["Content-Length", "Connection", "Date", "Server", "Content-Type"]
    response = make_response(content_type="text/html")
    framing = b"Content-Length: 116\r\n"
    assert ResponseEncoder("Yolanda").encode_head(response, True, 0.0, framing) in (
        head,
        ResponseEncoder("Yolanda").encode(200, "text/html", True, b"x" * 116, 0.0)[:-116],
    )


def test_no_server_field_without_a_name() -> None:
    head = ResponseEncoder("").encode(200, None, False, b"", 0.0)
    assert names_of(head) == ["Content-Length", "Connection", "Date"]


@pytest.mark.parametrize("name", ["a\r\nb", "a\0", "\u0100"])
def test_the_servers_name_is_checked(name: str) -> None:
    with pytest.raises(ValueError, match="Server"):
        ResponseEncoder(name)


def test_an_application_may_set_date_and_server() -> None:
    response = make_response(_headers=Headers([("date", "now"), ("SERVER", "mine")]))
    head = ResponseEncoder("Yolanda").encode_head(response, True, 0.0, b"")
    assert names_of(head) == ["Connection", "date", "SERVER"]


@pytest.mark.parametrize("status", [100, 101, 199, 600, 999, 0, -1, "200", None, 200.5])
def test_a_status_that_is_none(status: object) -> None:
    with pytest.raises(ValueError, match="from 200 to 599"):
        ResponseEncoder("").encode(status, None, True, b"", 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("content_type", ["a\r\nX: y", "a\n", "a\0", "\u0394"])
def test_a_content_type_cannot_split_the_response(content_type: str) -> None:
    encoder = ResponseEncoder("")
    for _ in range(2):
        with pytest.raises(ValueError, match="Content-Type"):
            encoder.encode(200, content_type, True, b"", 0.0)


def test_the_date_changes_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = [784111777.25]
    monkeypatch.setattr("yolanda.http.codec.time.time", lambda: wall[0])
    encoder = ResponseEncoder("")
    assert b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in encoder.encode(200, None, True, b"", 5.0)
    wall[0] += 0.7
    assert b"08:49:37" in encoder.encode(200, None, True, b"", 5.7)
    wall[0] += 0.1
    assert b"08:49:38" in encoder.encode(200, None, True, b"", 5.8)


def test_many_different_heads_do_not_pile_up() -> None:
    encoder = ResponseEncoder("")
    for length in range(3000):
        assert b"Content-Length: %d\r\n" % length in encoder.encode(
            200, None, True, b"x" * length, 0.0
        )
    assert len(encoder._heads) <= 1024


# ---- requests --------------------------------------------------------------------------------


def seen_request(head: bytes) -> HttpRequest:
    decoder = RequestDecoder(SharedParsers(HttpLimits()))
    decoder.decode_head(head, 0)
    assert decoder.request is not None
    return decoder.request


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", "/", ""),
        ("/a?b=c?d", "/a", "/a", "b=c?d"),
        ("/a%20b?x=%20", "/a b", "/a%20b", "x=%20"),
        ("/%C3%A9", "/é", "/%C3%A9", ""),
        ("/a%2Fb", "/a/b", "/a%2Fb", ""),
        ("//a//b", "//a//b", "//a//b", ""),
        ("/a?", "/a", "/a", ""),
        ("/?http://b/c", "/", "/", "http://b/c"),
        ("/a://b", "/a://b", "/a://b", ""),
        ("http://h/a/b?c", "/a/b", "/a/b", "c"),
        ("http://h", "/", "/", ""),
        ("http://h?q", "/", "/", "q"),
        ("HTTPS://H/x", "/x", "/x", ""),
        ("http://h/a?b=http://c/d", "/a", "/a", "b=http://c/d"),
    ],
)
def test_targets(target: str, path: str, raw_path: str, query: str) -> None:
    request = seen_request(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert request.target == target
    assert request.path == path
    assert request.raw_path == raw_path
    assert request.query == query


def test_a_target_with_a_port() -> None:
    request = seen_request(b"GET http://h:1/x HTTP/1.1\r\nHost: h:1\r\n\r\n")
    assert request.raw_path == "/x"


@pytest.mark.parametrize(
    ("target", "host"),
    [("http://a/", "b"), ("http://a:1/", "a"), ("http://a/", "a:80"), ("http://a/", "")],
)
def test_a_target_and_a_host_that_differ(target: str, host: str) -> None:
    """Also if each was seen before, beside its like."""
    shared = SharedParsers(HttpLimits())
    for line, field in [(target, target.split("/")[2]), ("/", host), (target, host)]:
        decoder = RequestDecoder(shared)
        data = f"GET {line} HTTP/1.1\r\nHost: {field}\r\n\r\n".encode()
        if (line, field) == (target, host):
            with pytest.raises(HttpError, match=r"400 .*target .* and Host"):
                decoder.decode_head(data, 0)
        else:
            assert decoder.decode_head(data, 0) == len(data)


def test_query_items() -> None:
    request = seen_request(b"GET /?a=1&b=&a=%20+x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert request.query_items() == [("a", "1"), ("b", ""), ("a", "  x")]
    assert request.summary in repr(request)


def feeder(status: int) -> Callable[[bytes], bool]:
    return lambda stream: read_all(stream).error == status


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close ,y\r\n\r\n", False),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
            False,
        ),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n", False),
    ],
)
def test_keep_alive(head: bytes, keep_alive: bool) -> None:
    assert seen_request(head).keep_alive is keep_alive
    assert read_all(head, list(range(len(head)))).requests[0][5] is keep_alive


@pytest.mark.parametrize(
    ("fields", "body", "expects"),
    [
        (b"Content-Length: 1\r\nExpect: 100-continue\r\n", b"", True),
        (b"Content-Length: 1\r\nexpect: 100-Continue\r\n", b"", True),
        (b"Transfer-Encoding: chunked\r\nExpect:100-continue\r\n", b"", True),
        (b"Content-Length: 1\r\n", b"", False),
    ],
)
def test_expectations(fields: bytes, body: bytes, expects: bool) -> None:
    decoder = RequestDecoder(SharedParsers(HttpLimits()))
    decoder.decode_head(post(fields, body), 0)
    assert decoder.expects_continue is expects
