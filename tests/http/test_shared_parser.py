"""The connections of a loop share a parser; what one does to it must not reach another."""

import contextlib

import pytest

from yolanda.http.codec import RequestDecoder, SharedParsers
from yolanda.http.errors import HttpError
from yolanda.http.limits import HttpLimits

GET = b"GET /mine HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED_AFTER_THE_HEAD = [
    b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1000\r\n\r\n",
    b"POST  / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    b"POST / HTTP/2.0\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    b"POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1000\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nbroken",
]


@pytest.mark.parametrize("before", REFUSED_AFTER_THE_HEAD)
def test_a_refused_request_leaves_nothing_in_the_parser(before: bytes) -> None:
    shared = SharedParsers(HttpLimits(body_size=5000))
    with contextlib.suppress(HttpError):
        RequestDecoder(shared).decode_head(before, 0)
    other = RequestDecoder(shared)
    assert other.decode_head(GET, 0) == len(GET)
    assert other.request is not None
    assert other.request.path == "/mine"
    assert not other.body_expected
