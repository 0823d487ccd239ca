"""A bare WSGI application, with what the tests of the served process need."""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BLOCK = b"0123456789abcdef" * 4096
"""What downloads consist of."""


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/count":
        return answer(start_response, b"%d" % count(environ["wsgi.input"]))
    if path == "/download":
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Length", str(size * len(BLOCK)))])
        return (BLOCK for _ in range(size))
    if path == "/memory":  # the most that this process ever had, in KiB
        return answer(start_response, b"%d" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    if path == "/slow":
        print("slow request", file=environ["wsgi.errors"])
        time.sleep(0.5)
    if path == "/never":
        print("endless request", file=environ["wsgi.errors"])
        threading.Event().wait()
    if path == "/endless":
        start_response("200 OK", [])
        return endless(environ["wsgi.errors"])
    if path == "/exit":
        os._exit(7)
    if path == "/scheme":
        return answer(start_response, environ["wsgi.url_scheme"].encode())
    many = b"many" if environ["wsgi.multiprocess"] else b"one"
    return answer(start_response, b"%d %b" % (os.getpid(), many))


def answer(start_response: Callable[..., Any], body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def count(body: Any) -> int:
    return sum(len(piece) for piece in iter(lambda: body.read(65536), b""))


def endless(errors: Any) -> Iterator[bytes]:
    try:
        while True:
            yield BLOCK
    finally:
        print("endless response closed", file=errors, flush=True)


def make_app() -> Callable[..., Iterable[bytes]]:
    return app
