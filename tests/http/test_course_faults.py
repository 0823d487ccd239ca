"""The faults of the course's own HTTP server, each with the test that keeps it out.

(The list stands at the end of what the project takes from other codebases.)
"""

from collections.abc import Callable
from typing import Any

import pytest

from yolanda.http import HttpRequest, HttpResponse

GET = b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n"


def handler(request: HttpRequest, response: HttpResponse) -> None:
    response.text(f"{request.path} {len(request.headers)} {request.body.decode()}")
    response.close = request.path == "/close"


def test_a_partial_request_is_waited_for(serve: Callable[..., Any]) -> None:
    """parse_http_request loops for ever on one."""
    served = serve(handler)
    with served.connect() as client, served.connect() as other:
        client.send(GET[:10])
        assert other.get("/other").status == 200
        client.send(GET[10:])
        assert client.read().text == "/path 1 "


@pytest.mark.parametrize("separator", [":", ": ", ":\t", ":  "])
def test_a_colon_alone_separates(serve: Callable[..., Any], separator: str) -> None:
    """It takes only a colon and a space."""
    assert serve(handler).get("/path", f"X-Name{separator}value").text == "/path 2 "


@pytest.mark.parametrize("count", [127, 128, 129, 1000])
def test_many_header_fields(serve: Callable[..., Any], count: int) -> None:
    """More than 128 run over the end of their array."""
    served = serve(handler)
    fields = [f"X-{number}: y" for number in range(count)]
    assert served.get("/path", *fields).status == 431
    assert served.get("/path", *fields[:50]).text == "/path 51 "


def test_the_second_request_is_parsed_like_the_first(serve: Callable[..., Any]) -> None:
    """The parser stays in the state DONE."""
    served = serve(handler)
    with served.connect() as client:
        client.send(GET * 2)
        assert client.read().text == client.read().text == client.get("/path").text == "/path 1 "


def test_a_refusal_is_sent_whole(serve: Callable[..., Any]) -> None:
    """It is as long as a pointer: 8 bytes."""
    served = serve(handler)
    with served.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        answer = client.read()
        assert answer.status == 400
        assert answer.clean
        assert int(str(answer.get("Content-Length"))) == len(answer.body) > 8
        assert client.at_end()


def test_connection_says_what_is_done(serve: Callable[..., Any]) -> None:
    """keep_connected means its opposite; a body that closes has no length."""
    served = serve(handler)
    with served.connect() as client:
        assert client.get("/path").get("Connection") == "Keep-Alive"
        answer = client.get("/close")
        assert answer.get("Connection") == "close"
        assert int(str(answer.get("Content-Length"))) == len(answer.body)
        assert client.at_end()


def test_head_1_0_and_chunked_are_known(serve: Callable[..., Any]) -> None:
    """They are not."""
    served = serve(handler)
    with served.connect() as client:
        assert client.get("/path", method="HEAD").status == 200
        client.send(
            b"POST /path HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\nbody\r\n0\r\n\r\n"
        )
        assert client.read().text == "/path 2 body"
        client.send(b"GET /path HTTP/1.0\r\n\r\n")
        assert client.read().text == "/path 0 "
        assert client.at_end()


def test_a_path_is_its_own(serve: Callable[..., Any]) -> None:
    """It is copied without its end mark, into what was there before."""
    served = serve(handler)
    with served.connect() as client:
        for path in ("/a/long/path/to/somewhere", "/b", "/c/d"):
            assert client.get(path).text == f"{path} 1 "


def test_a_half_closed_client_gets_its_unread_requests_answered(serve: Callable[..., Any]) -> None:
    """A hang-up is treated as an error that loses unread data."""
    served = serve(handler)
    reply = served.exchange(GET * 1000)
    assert reply.count(b"HTTP/1.1 200 OK\r\n") == 1000
