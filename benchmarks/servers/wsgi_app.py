"""The page as a bare WSGI application, without a framework."""

from collections.abc import Callable
from typing import Any

from page import PAGE

HEADERS = [("Content-Type", "text/html"), ("Content-Length", str(len(PAGE)))]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", HEADERS)
    return [PAGE]
