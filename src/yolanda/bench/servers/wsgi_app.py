"""The pages as a bare WSGI application, without a framework."""

from collections.abc import Callable
from typing import Any

from pages import LARGE, PAGE


def head(size: int) -> list[tuple[str, str]]:
    """Return the fields of a response that has so many bytes."""
    return [("Content-Type", "text/html"), ("Content-Length", str(size))]


HEAD, LARGE_HEAD = head(len(PAGE)), head(len(LARGE))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer by the path."""
    match environ["PATH_INFO"]:
        case "/large":
            start_response("200 OK", LARGE_HEAD)
            return [LARGE]
        case "/upload":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            answer = b"%d" % len(body)
            start_response("200 OK", head(len(answer)))
            return [answer]
        case _:
            start_response("200 OK", HEAD)
            return [PAGE]
