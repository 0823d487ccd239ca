"""What gateways keep by a request's first line: only what can come again."""

import io
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from yolanda.apps.asgi.scope import ScopeMaker
from yolanda.apps.wsgi.environment import Ends, EnvironmentMaker, Settings
from yolanda.http.codec import RequestDecoder, SharedParsers
from yolanda.http.limits import HttpLimits
from yolanda.http.request import HttpRequest

Make = Callable[[HttpRequest], Any]


def asgi() -> Make:
    return ScopeMaker().http


def wsgi() -> Make:
    maker = EnvironmentMaker(Settings(), io.StringIO())
    ends = Ends("127.0.0.1", "1", "127.0.0.1", "2", None)
    return lambda request: maker.make(request, ends, io.BytesIO())


@pytest.mark.parametrize("gateway", [asgi, wsgi])
@pytest.mark.parametrize("length", [10, 8000])
def test_a_long_line_is_forgotten_with_its_request(
    gateway: Callable[[], Make], length: int
) -> None:
    """Else a client could have thousands of them kept, each several times over."""
    make = gateway()
    shared = SharedParsers(HttpLimits())

    def ask() -> HttpRequest:
        decoder = RequestDecoder(shared)
        decoder.decode_head(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * length), 0)
        request = decoder.request
        assert request is not None
        request.connection = SimpleNamespace(context=(None, None, False))  # type: ignore[assignment]
        return request

    ask()  # what comes once is not kept at all
    request = ask()
    references = sys.getrefcount(request.line)
    make(request)
    kept = sys.getrefcount(request.line) > references
    assert request.line.kept == (length < 100)
    assert request.line.kept or not kept
    assert (ask().line is request.line) == request.line.kept
