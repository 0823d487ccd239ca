"""What no two readers must understand differently is refused; what is merely odd is served.

After RFC 9112 and 9110, and what is known of request smuggling: everything here has been a hole in
some server.
"""

import random
import string
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from yolanda.http import HttpLimits, HttpRequest, HttpResponse

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
H = b"Host: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

BAD = frozenset({400})
Corpus = list[tuple[bytes, frozenset[int]]]


def get(fields: bytes, host: bytes = H) -> bytes:
    return b"GET / HTTP/1.1\r\n" + host + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n" + H + fields + b"\r\n" + body


def line(text: bytes) -> bytes:
    return text + b"\r\n" + H + b"\r\n"


def corpus() -> Iterator[tuple[bytes, frozenset[int]]]:
    yield from request_lines()
    yield from methods_and_versions()
    yield from targets()
    yield from hosts()
    yield from field_syntax()
    yield from lengths()
    yield from codings()
    yield from chunks()
    yield from other_protocols()


def all_of(*requests: bytes, status: int | tuple[int, ...] = 400) -> Iterator[Any]:
    allowed = frozenset(status if isinstance(status, tuple) else (status,))
    for request in requests:
        yield request, allowed


def request_lines() -> Iterator[Any]:
    yield from all_of(
        line(b"GET"),
        line(b"GET "),
        line(b"GET /"),
        line(b"GET / "),
        line(b"GET  / HTTP/1.1"),
        line(b"GET /  HTTP/1.1"),
        line(b"GET / HTTP/1.1 "),
        line(b"GET / HTTP/1.1  x"),
        line(b"GET / x HTTP/1.1"),
        line(b"GET /a b HTTP/1.1"),
        line(b" GET / HTTP/1.1"),
        line(b"\tGET / HTTP/1.1"),
        line(b"GET\t/\tHTTP/1.1"),
        line(b"GET\t/ HTTP/1.1"),
        line(b"GET /\tHTTP/1.1"),
        line(b"GET\x0b/ HTTP/1.1"),
        line(b"GET\x0c/ HTTP/1.1"),
        line(b"GET /\x0cHTTP/1.1"),
        line(b"GET / HTTP/1.1\t"),
        line(b"GET / HTTP/1.1\x0b"),
        line(b"GET / HTTP/1.1\r"),
        line(b"GET / HTTP/1.1\0"),
        line(b"GET\r/ HTTP/1.1"),
        line(b"GET /\r HTTP/1.1"),
        line(b"GET /\n HTTP/1.1"),
        line(b"GET / HTTP/1.1\rHost: a"),
        line(b"GET /\0 HTTP/1.1"),
        line(b"GET\0 / HTTP/1.1"),
        line(b"GET \0/ HTTP/1.1"),
        line(b"\0GET / HTTP/1.1"),
        line(b"/ HTTP/1.1"),
        line(b"GET HTTP/1.1"),
        line(b"HTTP/1.1 200 OK"),
        line(b"HTTP/1.1"),
        line(b"x"),
        line(b":"),
        b"GET / HTTP/1.1\n" + H + b"\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\r",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\n\rHost: a\n\r\n\r",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\n\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b" \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"garbage\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b" " + H + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"\t" + H + b"\r\n",
        b"GET / HTTP/1.1\r\n \r\n" + H + b"\r\n",
        b"GET / HTTP/1.1\r\n" + H + b" \r\n\r\n",
        # HTTP/0.9
        b"GET /\r\n\r\n",
        b"GET /\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP\r\n\r\n",
    )
    yield line(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), frozenset({414})
    yield line(b"GET /?" + b"a" * 70000 + b" HTTP/1.1"), frozenset({414})
    yield b"G" * 20000, frozenset({400, 414, 501})


def methods_and_versions() -> Iterator[Any]:
    for method in ("get", "Get", "GETT", "GE", "FOO", "G-E-T", "GET1", "BREW2", "X" * 50, "!"):
        yield line(method.encode() + b" / HTTP/1.1"), frozenset({400, 501})
    yield from all_of(
        *(line(method + b" / HTTP/1.1") for method in (
            b"G(T", b"GE\x7fT", b"G\xc9T", b"<GET>", b"GET:", b"GET,", b'"GET"', b"G/T", b"G@T",
            b"{GET}", b"[GET]", b"G=T", b"G\\T", b"G;T", b"G?T", b"\xff\xfe",
        ))
    )  # fmt: skip
    for version in (
        b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/0.0",
        b"HTTP/0.1", b"HTTP/5.1",
    ):  # fmt: skip
        yield line(b"GET / " + version), frozenset({505})
    yield from all_of(
        *(line(b"GET / " + version) for version in (
            b"http/1.1", b"Http/1.1", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/11", b"HTTP/1.10",
            b"HTTP/10.1", b"HTTP/01.1", b"HTTP/1.01", b"HTTP/+1.1", b"HTTP/-1.1", b"HTTP/1.1.1",
            b"HTTP/1,1", b"HTTP/1 .1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP\\1.1", b"HTTPS/1.1",
            b"HTP/1.1", b"XHTTP/1.1", b"HTTP/1.1HTTP/1.1", b"HTTP/a.b", b"HTTP/1.x", b"HTTP//1.1",
            b"1.1", b"FTP/1.1", b"ICE/1.0", b"HTTP/1.1,", b"HTTP/2", b"HTTP/\xb2.\xb9",
            b"HTTP/0x1.1",
        )),
        status=(400, 505),
    )  # fmt: skip
    # RTSP and others that llhttp knows are not ours.
    for other in (b"RTSP/1.0", b"SIP/2.0"):
        yield line(b"GET / " + other), frozenset({400, 505})


def targets() -> Iterator[Any]:
    yield from all_of(
        line(b"GET * HTTP/1.1"),
        line(b"POST * HTTP/1.1"),
        line(b"HEAD * HTTP/1.1"),
        line(b"OPTIONS ** HTTP/1.1"),
        line(b"OPTIONS *a HTTP/1.1"),
        line(b"OPTIONS *?a HTTP/1.1"),
        line(b"OPTIONS /# HTTP/1.1"),
        line(b"GET a HTTP/1.1"),
        line(b"GET a/b HTTP/1.1"),
        line(b"GET ?a HTTP/1.1"),
        line(b"GET # HTTP/1.1"),
        line(b"GET /# HTTP/1.1"),
        line(b"GET /a#b HTTP/1.1"),
        line(b"GET /a?b#c HTTP/1.1"),
        line(b"GET http://a/#b HTTP/1.1"),
        line(b"GET a:80 HTTP/1.1"),
        line(b"GET a.example:443 HTTP/1.1"),
        line(b"GET :80 HTTP/1.1"),
        line(b"GET http:// HTTP/1.1"),
        line(b"GET http:/// HTTP/1.1"),
        line(b"GET http:///path HTTP/1.1"),
        line(b"GET http://?q HTTP/1.1"),
        line(b"GET http:a HTTP/1.1"),
        line(b"GET http:/a HTTP/1.1"),
        line(b"GET http//a/ HTTP/1.1"),
        line(b"GET ://a/ HTTP/1.1"),
        line(b"GET http://:80/ HTTP/1.1"),
        line(b"GET http://user@a/ HTTP/1.1"),
        line(b"GET http://user:secret@a/ HTTP/1.1"),
        line(b"GET http://a:b/ HTTP/1.1"),
        line(b"GET http://a:80:80/ HTTP/1.1"),
        line(b"GET http://[::1/ HTTP/1.1"),
        line(b"GET ftp://a/ HTTP/1.1"),
        line(b"GET file:///etc/passwd HTTP/1.1"),
        line(b"GET mailto:a@b HTTP/1.1"),
        line(b"GET javascript:alert(1) HTTP/1.1"),
        line(b"GET urn:a:b HTTP/1.1"),
        line(b"GET \\ HTTP/1.1"),
        line(b"GET \\\\a\\b HTTP/1.1"),
        line(b"GET .. HTTP/1.1"),
        line(b"GET ~ HTTP/1.1"),
        line(b"GET %2F HTTP/1.1"),
        line(b"GET ;/ HTTP/1.1"),
        line(b"GET =/ HTTP/1.1"),
        line(b"GET /\x01 HTTP/1.1"),
        line(b"GET /\x08 HTTP/1.1"),
        line(b"GET /\x1b[0m HTTP/1.1"),
        line(b"GET /\x7f HTTP/1.1"),
        line(b"GET /a\tb HTTP/1.1"),
        line(b"GET /a\x0bb HTTP/1.1"),
        line(b"GET /a\x0cb HTTP/1.1"),
        line(b"GET /a?b\x0cc HTTP/1.1"),
        line("GET /é HTTP/1.1".encode()),
        line(b"GET /\xe9 HTTP/1.1"),
        line(b"GET /\x80 HTTP/1.1"),
        line(b"GET /\xff HTTP/1.1"),
        line(b"GET /?\xa0 HTTP/1.1"),
        line(b"GET \xa0/ HTTP/1.1"),
        line(b"GET /\xc2\xa0HTTP/1.1"),
        line(b"GET /\r\nX: y HTTP/1.1"),
        line(b"GET <script> HTTP/1.1"),
    )
    yield from all_of(
        line(b"CONNECT a:443 HTTP/1.1"),
        line(b"CONNECT / HTTP/1.1"),
        line(b"CONNECT http://a/ HTTP/1.1"),
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\nabc",
        b"CONNECT a:443 HTTP/1.0\r\n\r\n",
        status=(400, 405, 501),
    )


def hosts() -> Iterator[Any]:
    def with_host(host: bytes) -> bytes:
        return b"GET / HTTP/1.1\r\n" + host + b"\r\n"

    yield from all_of(
        with_host(b""),
        with_host(b"X: y\r\n"),
        with_host(b"X-Host: a\r\n"),
        with_host(b"Hos: a\r\n"),
        with_host(b"X: y, Host: a\r\n"),
        with_host(b"X: Host: a\r\n"),
        with_host(H + H),
        with_host(H + b"Host: b\r\n"),
        with_host(H + b"host: a\r\n"),
        with_host(b"HOST: b\r\n" + H),
        with_host(H + b"X: y\r\n" + H),
        with_host(b"X: y\r\n" + H + b"Z: y\r\nhOST:b\r\n"),
        with_host(H + b"Host:\r\n"),
        with_host(b"Host:\r\n" + H),
        with_host(b"Host:\r\nHost:\r\n"),
        with_host(b"Host: a, b\r\n"),
        with_host(b"Host: a b\r\n"),
        with_host(b"Host: a\tb\r\n"),
        with_host(b"Host: user@a\r\n"),
        with_host(b"Host: user:pass@a\r\n"),
        with_host(b"Host: a@b:80\r\n"),
        with_host(b"Host: http://a\r\n"),
        with_host(b"Host: http://a/\r\n"),
        with_host(b"Host: a/\r\n"),
        with_host(b"Host: a/b\r\n"),
        with_host(b"Host: /\r\n"),
        with_host(b"Host: a?b\r\n"),
        with_host(b"Host: a#b\r\n"),
        with_host(b"Host: a\\b\r\n"),
        with_host(b"Host: a:b\r\n"),
        with_host(b"Host: a:80:80\r\n"),
        with_host(b"Host: a:-80\r\n"),
        with_host(b"Host: a:+80\r\n"),
        with_host(b"Host: a:8 0\r\n"),
        with_host(b"Host: a:80a\r\n"),
        with_host(b"Host: ::1\r\n"),
        with_host(b"Host: [::1\r\n"),
        with_host(b"Host: ::1]\r\n"),
        with_host(b"Host: [::1]a\r\n"),
        with_host(b"Host: a[::1]\r\n"),
        with_host(b"Host: [::1]]\r\n"),
        with_host(b"Host: []\r\n"),
        with_host(b"Host: [a]\r\n"),
        with_host(b"Host: [::g]\r\n"),
        with_host(b"Host: <a>\r\n"),
        with_host(b'Host: "a"\r\n'),
        with_host(b"Host: a|b\r\n"),
        with_host(b"Host: a^b\r\n"),
        with_host(b"Host: a`b\r\n"),
        with_host(b"Host: {a}\r\n"),
        with_host(b"Host: a%\r\n"),
        with_host(b"Host: a%2\r\n"),
        with_host(b"Host: a%zz\r\n"),
        with_host(b"Host: a\0b\r\n"),
        with_host(b"Host: a\0\r\n"),
        with_host(b"Host: \x7f\r\n"),
        with_host(b"Host: \xe9\r\n"),
        with_host("Host: é.example\r\n".encode()),
        with_host(b"Host: a\xc2\xa0\r\n"),
        with_host(b"Host : a\r\n"),
        with_host(b"Host\t: a\r\n"),
        with_host(b" Host: a\r\n"),
        with_host(b"Host a\r\n"),
        with_host(b"Host\r\n"),
        with_host(b"Host: a\r\n b\r\n"),
        with_host(b"Host:\r\n a\r\n"),
        with_host(b"Host: a\rHost: b\r\n"),
        with_host(b"Host: a\nHost: b\r\n"),
        with_host(b"X: y\nHost: a\r\n"),
        with_host(b"X: y\rHost: a\r\n"),
        b"GET http://a/ HTTP/1.1\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
    )


def field_syntax() -> Iterator[Any]:
    names = (
        b"", b" ", b"\t", b"X ", b"X\t", b" X", b"X Y", b"X\tY", b"X\0", b"\0X", b"X\x01", b"X\x1f",
        b"X\x7f", b"X\x80", b"X\xff", "é".encode(), b"X(", b"X)", b"<X>", b"X@", b"X,Y", b"X;Y",
        b"X\\", b'"X"', b"X/Y", b"[X]", b"X?", b"X=Y", b"{X}", b"X\x0b", b"X\x0c", b"X\r", b"X\n",
        b"X\rY",
    )  # fmt: skip
    yield from all_of(*(get(name + b": y\r\n") for name in names))
    yield from all_of(*(get(name + b": y\r\n", b"") for name in (b"", b" ", b"Host ", b"Ho st")))
    values = (
        *(b"a" + bytes([code]) + b"b" for code in (*range(9), *range(10, 32), 127)),
        b"\0", b"\r", b"\n", b"a\r", b"a\n", b"a\r b", b"a\n b", b"a\r\rb", b"a\n\nb", b"a\0",
    )  # fmt: skip
    yield from all_of(*(get(b"X: " + value + b"\r\n") for value in values))
    yield from all_of(
        get(b"X\r\n"),
        get(b"no colon here\r\n"),
        get(b"X y\r\n"),
        get(b"=\r\n"),
        get(b":\r\n"),
        get(b": \r\n"),
        get(b"::\r\n"),
        # obs-fold
        get(b"X: y\r\n z\r\n"),
        get(b"X: y\r\n\tz\r\n"),
        get(b"X:\r\n y\r\n"),
        get(b"X: y\r\n \r\n"),
        get(b"X: y\r\n\t\r\n"),
        get(b"X: y\r\n  Content-Length: 5\r\n"),
        get(b"X: y\r\n Transfer-Encoding: chunked\r\n"),
        get(b" X: y\r\n", b"") + b"",
        get(b"X: y\r\n Z: y\r\n"),
        # bare line ends
        get(b"X: y\nZ: y\r\n"),
        get(b"X: y\rZ: y\r\n"),
        get(b"X: y\n\r\n"),
        get(b"X: y\r\r\n"),
        get(b"X: y\r\n\r"),
        get(b"X: y\n"),
        b"GET / HTTP/1.1\r\n" + H + b"X: y\n\n",
        b"GET / HTTP/1.1\r\n" + H + b"X: y\n\r\n",
        b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n\nGET /smuggled HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + H + b"X: y\r\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + H + b"\r\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n\rX",
    )
    yield get(b"".join(b"X%d: y\r\n" % n for n in range(101))), frozenset({431})
    yield get(b"X: y\r\n" * 10000), frozenset({431})
    yield get(b"X: " + b"y" * 40000 + b"\r\n"), frozenset({431})
    yield get(b"X" * 40000 + b": y\r\n"), frozenset({431})
    yield get(b"X:" + b" " * 40000 + b"\r\n"), frozenset({431})


def lengths() -> Iterator[Any]:
    values = (
        b"", b" ", b"-1", b"+1", b"-0", b"+0", b"1.0", b"1e1", b"0x1", b"0x", b"0b1", b"0o1", b"1a",
        b"a", b"1 1", b"1\t1", b"1,1", b"1, 1", b"1,", b",1", b"1;1", b"1,2", b"'1'", b'"1"',
        b"1_0",
        b"\xb2", "١".encode(), b"\xff", b"1\0", b"\x0b1", b"1\x0c", b"chunked", b"NaN", b"null",
        b"1 chunked", b"(1)", b"1%", b"%31", b"--1", b"++1", b"1-", b"\xc2\xa01",
        b"18446744073709551616", b"18446744073709551617", b"99999999999999999999999",
        b"1" * 1000,
    )  # fmt: skip
    yield from all_of(
        *(post(b"Content-Length: " + value + b"\r\n", b"x") for value in values), status=(400, 413)
    )
    yield from all_of(
        *(
            post(b"Content-Length: " + value + b"\r\n", b"x")
            for value in (b"9223372036854775807", b"9223372036854775808", b"18446744073709551615")
        ),
        post(b"Content-Length: 99999999999\r\n"),
        post(b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n"),
        status=(400, 413),
    )
    yield from all_of(
        post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"x"),
        post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"xy"),
        post(b"Content-Length: 0\r\nContent-Length: 36\r\n"),
        post(b"Content-Length: 36\r\nContent-Length: 0\r\n"),
        post(b"Content-Length: 0\r\nContent-Length: 0\r\n"),
        post(b"content-length: 0\r\nCONTENT-LENGTH: 5\r\n", b"hello"),
        post(b"Content-Length: 0\r\nX: y\r\nContent-Length: 5\r\n", b"hello"),
        post(b"Content-Length:\r\nContent-Length: 5\r\n", b"hello"),
        post(b"Content-Length: 5\r\nContent-Length:\r\n", b"hello"),
        post(b"Content-Length : 5\r\n", b"hello"),
        post(b"Content-Length\t: 5\r\n", b"hello"),
        post(b" Content-Length: 5\r\n", b"hello"),
        post(b"Content-Length\0: 5\r\n", b"hello"),
        post(b"Content-Length\r: 5\r\n", b"hello"),
        post(b"Content-Length\n: 5\r\n", b"hello"),
        post(b"Content-Length:\r\n 5\r\n", b"hello"),
        post(b"Content-Length: 5\r\n 0\r\n", b"hello"),
        post(b"Content-Length: 5\r\n\t\r\n", b"hello"),
        post(b"Content-Length: 5\rX: y\r\n", b"hello"),
        post(b"Content-Length: 5\nX: y\r\n", b"hello"),
        post(b"X: y\rContent-Length: 5\r\n", b"hello"),
        post(b"X: y\nContent-Length: 5\r\n", b"hello"),
        post(b"Content-Length 5\r\n", b"hello"),
        post(b"Content-Length\r\n", b"hello"),
        get(b"Content-Length: -1\r\n"),
        get(b"Content-Length: 0, 0\r\n"),
    )


def codings() -> Iterator[Any]:
    body = b"5\r\nhello\r\n0\r\n\r\n"
    values = (
        b"", b" ", b",", b"chunke", b"chunkedd", b"xchunked", b"x-chunked", b"chunked x",
        b"identity", b"chunked, identity", b"identity, chunked", b"gzip", b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, chunked", b"chunked,", b",chunked", b", chunked", b"chunked;q=1", b"chunked;",
        b'"chunked"', b"'chunked'", b"\x0bchunked", b"\x0cchunked", b"chunked\x0b", b"chunked\0",
        b"\0chunked", b"ch\0unked", b"chunked\xa0", b"\xa0chunked", b"\xc2\xa0chunked",
        b"\xffchunked",
        b"chu nked", b"[chunked]", b"{chunked}", b"chunked\r", b"chunked\n", b"\rchunked",
        b"\nchunked",
        b"cow", b"cow, chunked", b"chunked cow", b"trailers", b"deflate", b"compress",
        b"chunked, cow",
        b"chun\xc5\xb7ed", b"chunk\xc3\xa9d", b"none", b"chunked/1", b"0", b"chunked=1",
        b"chunked:",
        b":chunked", b"chunked-", b"chunked chunked", b"gzip chunked", b"gzip;chunked",
        b"chun\xe2\x84\xaaed",
    )  # fmt: skip
    yield from all_of(
        *(post(b"Transfer-Encoding: " + value + b"\r\n", body) for value in values),
        status=(400, 501),
    )
    names = (
        b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding",
        b"Transfer-Encoding\0",
        b"Transfer-Encoding\r", b"Transfer-Encoding\n", b"\rTransfer-Encoding",
        b"\nTransfer-Encoding", b"Transfer Encoding", b"X: y\rTransfer-Encoding",
        b"X: y\nTransfer-Encoding", b"Transfer-Encoding\x0b", b"\x00Transfer-Encoding",
        b"Transfer\\Encoding", b"Transfer-Encoding\x08",
    )  # fmt: skip
    yield from all_of(*(post(name + b": chunked\r\n", body) for name in names))
    yield from all_of(
        *(post(b"Content-Length: 5\r\n" + name + b": chunked\r\n", body) for name in names)
    )
    # Content-Length beside Transfer-Encoding (RFC 9112, 6.3), in any order
    for length in (b"0", b"3", b"5", b"15", b"15, 15"):
        both = (b"Content-Length: " + length + b"\r\n", CHUNKED)
        yield post(both[0] + both[1], body), BAD
        yield post(both[1] + both[0], body), BAD
        yield post(both[0] + b"X: y\r\n" + both[1], body), BAD
    for coding in (b"gzip", b"identity", b"", b"gzip, chunked", b"Chunked", b"x"):
        fields = b"Transfer-Encoding: " + coding + b"\r\nContent-Length: 5\r\n"
        yield post(fields, b"hello"), frozenset({400, 501})
    yield from all_of(
        post(CHUNKED + CHUNKED, body),
        post(CHUNKED + b"Transfer-Encoding: identity\r\n", body),
        post(b"Transfer-Encoding: identity\r\n" + CHUNKED, body),
        post(CHUNKED + b"Transfer-Encoding: gzip\r\n", body),
        post(b"Transfer-Encoding: gzip\r\n" + CHUNKED, body),
        post(b"Transfer-Encoding: x\r\n" + CHUNKED, body),
        post(CHUNKED + b"Transfer-Encoding:\r\n", body),
        post(b"Transfer-Encoding:\r\n" + CHUNKED, body),
        post(CHUNKED + b"transfer-encoding: x\r\n", body),
        post(b"Transfer-Encoding:\r\n chunked\r\n", body),
        post(b"Transfer-Encoding: chunked\r\n x\r\n", body),
        post(b"Transfer-Encoding: x\r\n chunked\r\n", body),
        post(b"Transfer-Encoding: gzip,\r\n chunked\r\n", body),
        b"POST / HTTP/1.0\r\nHost: a\r\n" + CHUNKED + b"\r\n" + body,
        b"POST / HTTP/1.0\r\n" + CHUNKED + b"Connection: keep-alive\r\n\r\n" + body,
        b"POST / HTTP/1.0\r\n" + CHUNKED + b"Content-Length: 5\r\n\r\n" + body,
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n",
        status=(400, 501),
    )
    yield post(b"Content-Length: 5\r\nExpect: 200-ok\r\n", b"hello"), frozenset({417})
    yield post(b"Content-Length: 5\r\nExpect: 100-continue, x\r\n", b"hello"), frozenset({417})
    yield post(CHUNKED + b"Expect: x\r\n", body), frozenset({417})


def chunks() -> Iterator[Any]:
    def chunked(body: bytes) -> bytes:
        return post(CHUNKED, body)

    sizes = (
        b"", b" ", b"g", b"xyz", b"-1", b"+1", b"-0", b"0x1", b"0X1", b"x1", b"1x", b"1 1", b"1,1",
        b"1.0", b"1_0", b"\xb9", b"\0", b"1\0", b"\x0b1", b"1\x0c", b"'1'", b'"1"', b"0x", b"--1",
        b" 1", b"\t1", b"1h", b"#1", b"%31", b"(1)", b"1-", b"\xff", b"1:",
    )  # fmt: skip
    yield from all_of(*(chunked(size + b"\r\nx\r\n0\r\n\r\n") for size in sizes))
    big = (
        b"10000000000000001", b"FFFFFFFFFFFFFFFF1", b"100000000000000000000000000000001",
        b"1" + b"0" * 30 + b"5", b"ffffffffffffffffff",
    )  # fmt: skip
    yield from all_of(*(chunked(size + b"\r\nx\r\n0\r\n\r\n") for size in big), status=(400, 413))
    yield from all_of(
        # The end of a chunk is no line end, or there is too much or too little
        chunked(b"5\r\nhello0\r\n\r\n"),
        chunked(b"5\r\nhello\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r0\r\n\r\n"),
        chunked(b"5\r\nhelloX\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello!!\r\n0\r\n\r\n"),
        chunked(b"4\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello \r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\n\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\n\n0\r\n\r\n"),
        chunked(b"5\r\nhelloGET /smuggled HTTP/1.1\r\n\r\n"),
        # Line ends after the size
        chunked(b"5\nhello\r\n0\r\n\r\n"),
        chunked(b"5\rhello\r\n0\r\n\r\n"),
        chunked(b"5\r\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5\n\nhello\r\n0\r\n\r\n"),
        chunked(b"5\n\rhello\r\n0\r\n\r\n"),
        chunked(b"5hello\r\n0\r\n\r\n"),
        chunked(b"\r\n5\r\nhello\r\n0\r\n\r\n"),
        chunked(b"\n5\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\n0\n\r\n"),
        chunked(b"5\r\nhello\r\n0\r\n\n"),
        chunked(b"5\r\nhello\r\n0\n\n"),
        chunked(b"5\r\nhello\r\n0\r\r\n"),
        chunked(b"0\n\n"),
        chunked(b"0\r\r\n\r\n"),
        chunked(b"0\r\n\rX"),
        # Extensions
        chunked(b"5;\nhello\r\n0\r\n\r\n"),
        chunked(b"5;a\nhello\r\n0\r\n\r\n"),
        chunked(b"5;a=b\nhello\r\n0\r\n\r\n"),
        chunked(b"5;\rhello\r\n0\r\n\r\n"),
        chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5;a=b\rc\r\nhello\r\n0\r\n\r\n"),
        chunked(b'5;a="\nb"\r\nhello\r\n0\r\n\r\n'),
        chunked(b'5;a="\rb"\r\nhello\r\n0\r\n\r\n'),
        chunked(b"5;\0\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
        chunked(b'5;a="\0"\r\nhello\r\n0\r\n\r\n'),
        chunked(b"5 a\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5,a\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5=a\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5;\x7f\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5;a=b c\r\nhello\r\n0\r\n\r\n"),
        chunked(b'5;a="b\r\nhello\r\n0\r\n\r\n'),
        # Trailers
        chunked(b"0\r\nX\r\n\r\n"),
        chunked(b"0\r\n: y\r\n\r\n"),
        chunked(b"0\r\nX : y\r\n\r\n"),
        chunked(b"0\r\n X: y\r\n\r\n"),
        chunked(b"0\r\nX: y\nZ: y\r\n\r\n"),
        chunked(b"0\r\nX: y\rZ: y\r\n\r\n"),
        chunked(b"0\r\nX: \0\r\n\r\n"),
        chunked(b"0\r\nX: y\r\n z\r\n\r\n"),
        chunked(b"0\r\nX: y\n\n"),
        chunked(b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    )
    yield from all_of(
        chunked(b"1;" + b"e" * 40000 + b"\r\nx\r\n0\r\n\r\n"),
        chunked(b"1;" + b"e=f;" * 20000 + b"\r\nx\r\n0\r\n\r\n"),
        chunked(b"0\r\nX: " + b"y" * 50000 + b"\r\n\r\n"),
        chunked(b"0\r\n" + b"X: y\r\n" * 9000 + b"\r\n"),
        status=(400, 413, 431),
    )
    # Ends that never come: the client half-closes.
    yield from all_of(
        chunked(b""),
        chunked(b"5"),
        chunked(b"5\r\n"),
        chunked(b"5\r\nhel"),
        chunked(b"5\r\nhello"),
        chunked(b"5\r\nhello\r\n"),
        chunked(b"5\r\nhello\r\n0"),
        chunked(b"5\r\nhello\r\n0\r\n"),
        chunked(b"5\r\nhello\r\n0\r\n\r"),
        chunked(b"0\r\nX: y\r\n"),
        post(b"Content-Length: 99999\r\n", b"hel"),
        status=(400, 0),  # 0: what follows is taken for the rest; see CUT_OFF
    )


def other_protocols() -> Iterator[Any]:
    yield from all_of(
        # TLS, SSH, SMTP, RDP, Redis, PROXY, memcached, SOCKS, X11, Java RMI, binary
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"\x80\x2e\x01\x00\x02",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO a.example\r\n",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
        b"*1\r\n$4\r\nPING\r\n",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n" + bytes(16),
        b"stats\r\n",
        b"\x05\x01\x00",
        b"l\x00\x0b\x00\x00\x00",
        b"JRMI\x00\x02K",
        bytes(100),
        b"\xff" * 100,
        b"\r\n\r\n\r\n\xff",
        b"USER anonymous\r\n",
        b"{}\r\n",
        b"<?xml version='1.0'?>\r\n",
        b"help\n",
        status=(400, 501),
    )
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield preface, frozenset({400, 501, 505})
    yield preface + bytes(9), frozenset({400, 501, 505})
    rng = random.Random(20261124)
    for _ in range(30):
        yield bytes(rng.choices(range(256), k=80)) + b"\r\n\r\n", frozenset({400, 501})
    printable = string.printable.encode()
    for _ in range(30):
        yield bytes(rng.choices(printable, k=80)) + b"\r\n\r\n", frozenset({400, 501})


MALFORMED = list(dict(corpus()).items())

H10 = b"GET / HTTP/1.0\r\n"


def valid() -> Iterator[tuple[bytes, list[tuple[str, bytes]]]]:
    """Odd requests, and the paths and bodies that must be seen."""
    one = [("/", b"")]

    def served(*requests: bytes) -> Iterator[Any]:
        for request in requests:
            yield request, one

    yield from served(
        get(b""),
        b"\r\n" + get(b""),
        b"\r\n\r\n\r\n" + get(b""),
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHOST:a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\ta\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:   a   \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \r\n\r\n",
        *(
            b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
            for host in (
                b"a:80",
                b"a:",
                b"a.example.",
                b"127.0.0.1",
                b"127.0.0.1:8080",
                b"[::1]",
                b"[::1]:8080",
                b"[::ffff:127.0.0.1]",
                b"a-b_c.example",
                b"xn--caf-dma.example",
                b"a%20b",
                b"[v1.a:b]",
                b"A.EXAMPLE",
                b"a:65535",
                b"a!$&'()*+,;=b",
            )
        ),
        get(b"X:\r\n"),
        get(b"X: \r\n"),
        get(b"X: \t \r\n"),
        get(b"X:y\r\n"),
        get(b"X: \t y \t \r\n"),
        get(b"X: a\tb\r\n"),
        get(b"X: a:b:c\r\n"),
        get(b"X: \xe9\x80\xff\r\n"),
        get(b'X: "quoted, text" (comment) \\ {}\r\n'),
        get(b"!#$%&'*+-.^_`|~09aZ: y\r\n"),
        get(b"X: y\r\nx: z\r\nX: y\r\n"),
        get(b"".join(b"X%d: y\r\n" % n for n in range(99))),
        get(b"X: " + b"y" * 20000 + b"\r\n"),
        get(b"Cookie: a=b\r\nCookie: c=d\r\n"),
        get(b"X-Forwarded-Host: b\r\n"),
        get(b"Xhost: b\r\nHost-: b\r\n"),
        get(b"X: Host: b\r\n"),
        get(b"Connection: keep-alive\r\n"),
        get(b"Connection: Keep-Alive, TE\r\n"),
        get(b"Connection: , keep-alive,, x\r\n"),
        get(b"Connection:\r\n"),
        get(b"TE: trailers, gzip;q=0.5\r\nConnection: TE\r\n"),
        get(b"Trailer: X\r\n"),
        get(b"Expect: 100-continue\r\n"),
        get(b"Content-Length: 0\r\n"),
        get(b"Content-Length: 000\r\n"),
        get(b"Content-Length:0\r\n"),
        get(b"Content-Length: \t 0 \r\n"),
        get(b"content-LENGTH: 0\r\n"),
        get(b"Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        get(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n"),
        get(b"Connection: upgrade\r\nUPGRADE: h2c, websocket\r\n"),
        get(b"Upgrade: TLS/1.0\r\n"),
        get(b"Connection: Upgrade\r\n"),
        get(b"Range: bytes=0-1\r\nIf-Range: x\r\n"),
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET HTTP://B.example:80/ HTTP/1.1\r\nHost: b.example:80\r\n\r\n",
        b"GET https://[::1]:80/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?a=b&c[]=%00|\"'{}<>\\^` HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        H10 + b"Connection: keep-alive\r\n\r\n",
        H10 + b"Connection: Keep-Alive\r\nHost: a\r\n\r\n",
        H10 + b"Connection: Keep-Alive\r\nHost:\r\n\r\n",
        H10 + b"Connection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        *(
            method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND", b"TRACE")
        ),
        post(b""),
    )
    hello = [("/", b"hello")]
    five = b"5\r\nhello\r\n0\r\n\r\n"
    for body in (
        five,
        b"05\r\nhello\r\n0\r\n\r\n",
        b"0000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n00000\r\n\r\n",
        b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        b"5;a\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b'5;a="b c; d"\r\nhello\r\n0\r\n\r\n',
        b"5;a=b;c=d\r\nhello\r\n0;x=y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        b"5\r\nhello\r\n0\r\nExpires: now\r\n\r\n",
    ):
        yield post(CHUNKED, body), hello
    for coding in (
        b"Transfer-Encoding: Chunked\r\n",
        b"Transfer-Encoding: CHUNKED\r\n",
        b"Transfer-Encoding:chunked\r\n",
        b"transfer-encoding:  chunked\r\n",
        b"TRANSFER-ENCODING:\tchunked\r\n",
        CHUNKED + b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        CHUNKED + b"Connection: keep-alive, x\r\n",
        CHUNKED + b"TE: trailers\r\n",
    ):
        yield post(coding, five), hello
    yield post(CHUNKED, b"0\r\n\r\n"), one
    yield (
        post(CHUNKED, b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        [("/", b"0123456789" * 2)],
    )
    yield post(CHUNKED, b"1F\r\n" + b"x" * 31 + b"\r\n0\r\n\r\n"), [("/", b"x" * 31)]
    yield post(CHUNKED, b"4\r\n\r\n\r\n\r\n0\r\n\r\n"), [("/", b"\r\n\r\n")]
    for fields in (
        b"Content-Length: 5\r\n",
        b"Content-Length: 005\r\n",
        b"Content-Length:5\r\n",
        b"content-length: \t5\t \r\n",
        b"Content-Length: 5\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nX-Content-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Encoding: chunked\r\n",
        b"X-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding-X: chunked\r\n",
    ):
        yield post(fields, b"hello"), hello
        yield get(fields) + b"hello", hello
    yield post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED), [("/", SMUGGLED)]
    framed = b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"
    yield post(CHUNKED, framed), [("/", SMUGGLED)]
    yield get(b"") * 3, one * 3
    yield get(b"") + b"\r\n" + get(b"") + b"\r\n\r\n" + get(b""), one * 3
    yield post(CHUNKED, five) * 2 + get(b""), hello * 2 + one
    yield post(b"Content-Length: 5\r\n", b"hello") * 2 + get(b""), hello * 2 + one
    yield post(b"Content-Length: 5\r\n", b"hello\r\n") + get(b""), hello + one
    upgrade = get(b"Upgrade: websocket\r\nConnection: Upgrade\r\n")
    yield upgrade * 2 + get(b""), one * 3
    yield b"GET /a%20b HTTP/1.1\r\nHost: a\r\n\r\n", [("/a b", b"")]
    yield b"GET //b.example/../c HTTP/1.1\r\nHost: a\r\n\r\n", [("//b.example/../c", b"")]
    yield b"GET http://a/c?d HTTP/1.1\r\nHost: a\r\n\r\n", [("/c", b"")]
    yield b"GET /* HTTP/1.1\r\nHost: a\r\n\r\n", [("/*", b"")]


VALID = list(valid())

LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

# After these, what follows is the rest of a body; the server answers when the client has ended.
CUT_OFF = {request for request, allowed in MALFORMED if 0 in allowed}


class Recorder:
    """Serves everything, and notes what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        self.seen.append((request.path, request.body))
        response.text("served")


@pytest.fixture(scope="module")
def limits() -> HttpLimits:
    return HttpLimits(linger_timeout=0.2)


def pieces_of(data: bytes, how: str) -> list[bytes]:
    if how == "whole":
        return [data]
    if how == "byte by byte" and len(data) <= 400:
        return [data[i : i + 1] for i in range(len(data))]
    rng = random.Random(data)
    ends = sorted({rng.randrange(1, len(data)) for _ in range(8)} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def exchange(served: Any, data: bytes, how: str) -> bytes:
    """What comes back for some bytes, then the client's end."""
    with served.connect() as client:
        try:
            for piece in pieces_of(data, how):
                client.send(piece)
            client.half_close()
        except OSError:
            pass  # it has closed already, which is its right
        return bytes(client.rest())


def batches(items: list[Any], size: int = 40) -> list[Any]:
    return [
        pytest.param(items[i : i + size], id=f"{i}-{min(i + size, len(items)) - 1}")
        for i in range(0, len(items), size)
    ]


def test_the_corpora_are_large() -> None:
    assert len(MALFORMED) >= 250
    assert len(VALID) >= 100


@pytest.mark.parametrize("how", ["whole", "byte by byte", "at random"])
@pytest.mark.parametrize("items", batches(MALFORMED))
def test_malformed(serve: Callable[..., Any], limits: HttpLimits, items: Corpus, how: str) -> None:
    """One error response, then the end; what stands behind is never served."""
    recorder = Recorder()
    served = serve(recorder, limits=limits)
    wrong = []
    for request, allowed in items:
        behind = b"" if request in CUT_OFF else SMUGGLED
        reply = exchange(served, request + behind, how)
        status = int(reply[9:12]) if reply[:9] == b"HTTP/1.1 " else None
        if how != "whole" and allowed & {501, 505}:
            allowed |= BAD  # llhttp refuses it before the line is whole
        if (
            status not in allowed
            or reply.count(b"HTTP/1.1 ") != 1
            or b"Connection: close\r\n" not in reply
            or recorder.seen
        ):
            wrong.append((request[:300], reply[:80], recorder.seen[:]))
        recorder.seen.clear()
    assert not wrong, "\n".join(map(str, wrong))
    assert served.get("/fine").status == 200
    assert recorder.seen == [("/fine", b"")]


@pytest.mark.parametrize("how", ["whole", "byte by byte", "at random"])
@pytest.mark.parametrize("items", batches(VALID))
def test_odd_but_valid(
    serve: Callable[..., Any], limits: HttpLimits, items: list[Any], how: str
) -> None:
    """Each is served, and so is the request behind it."""
    recorder = Recorder()
    served = serve(recorder, limits=limits)
    wrong = []
    for request, expected in items:
        reply = exchange(served, request + LAST, how)
        if recorder.seen != [*expected, ("/last", b"")] or reply.count(b"HTTP/1.1 200 OK") != (
            len(expected) + 1
        ):
            wrong.append((request[:300], reply[:80], recorder.seen[:]))
        recorder.seen.clear()
    assert not wrong, "\n".join(map(str, wrong))


def test_others_are_served_while_one_talks_nonsense(serve: Callable[..., Any]) -> None:
    served = serve(Recorder())
    with served.connect() as good, served.connect() as bad:
        assert good.get("/a").status == 200
        bad.send(b"nonsense\r\n\r\n")
        answer = bad.read()
        assert answer.status == 400
        assert answer.get("Connection") == "close"
        assert answer.get("Content-Type") == "text/plain; charset=utf-8"
        assert answer.text
        assert bad.at_end()
        assert good.get("/b").status == 200


@pytest.mark.parametrize(("request_", "expected"), [
    (H10 + b"\r\n", 200),
    (H10 + b"Host: a\r\n\r\n", 200),
    (H10 + b"Connection: close\r\n\r\n", 200),
    (get(b"Connection: close\r\n"), 200),
    (get(b"Connection: x, CLOSE\r\n"), 200),
    (get(b"Connection: keep-alive\r\nConnection: close\r\n"), 200),
])  # fmt: skip
def test_nothing_is_served_after_the_last_request(
    serve: Callable[..., Any], request_: bytes, expected: int
) -> None:
    recorder = Recorder()
    served = serve(recorder)
    reply = served.exchange(request_ + SMUGGLED)
    assert reply.startswith(b"HTTP/1.1 %d " % expected)
    assert reply.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in reply
    assert recorder.seen == [("/", b"")]


def test_a_good_request_before_a_bad_one_is_answered(serve: Callable[..., Any]) -> None:
    served = serve(Recorder())
    with served.connect() as client:
        client.send(get(b"") + b"bad\r\n\r\n" + SMUGGLED)
        assert client.read().status == 200
        assert client.read().status == 400
        assert client.at_end()
