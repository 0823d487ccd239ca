"""The HTTP server of the course's last chapters, at http://127.0.0.1:43211/.

Chapter 34 (and 32 and 33 below it): a main reactor accepts, two sub-reactors read and write, and
all that is left to write is `on_request`.  Watch, with ``--trace``, which thread does what.

    $ yolanda http
    $ curl -v http://127.0.0.1:43211/
    $ curl -v 'http://127.0.0.1:43211/network?the=query does not count'
    $ curl -v http://127.0.0.1:43211/nothing-here
"""

import logging
from importlib import resources
from typing import Literal

from yolanda.http import HttpRequest, HttpResponse, HttpServer

PAGE = (
    b"<html><head><title>This is network programming</title></head>"
    b"<body><h1>Hello, network programming</h1></body></html>"
)
PHOTO = resources.files("yolanda.programs").joinpath("photo.png").read_bytes()


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    """Answer by the path alone."""
    match request.path:
        case "/":
            response.body = PAGE
            response.content_type = "text/html"
        case "/network":
            response.body = b"hello, network programming"
            response.content_type = "text/plain"
        case "/photo":  # the chapter's exercise
            response.body = PHOTO
            response.content_type = "image/png"
        case path:
            response.status = 404
            response.close = True
            response.text(f"404 Not Found: there is nothing at {path}\n")


def serve(
    address: str = "127.0.0.1:43211",
    threads: int | Literal["auto"] = 2,
    dispatcher: str = "auto",
    trace: bool = False,
) -> None:
    """Run the server until SIGINT or SIGTERM, then let every request have its response.

    - ``address``: where to listen;
    - ``threads``: sub-reactors, or ``"auto"`` for two a processor;
    - ``dispatcher``: the name of one;
    - ``trace``: print what the reactors do, in the course's words, on the standard error.

    Raises `OSError` when it cannot listen and `ValueError` for what makes no sense.
    """
    logging.basicConfig(
        format="[msg] %(message)s" if trace else "%(levelname)s %(name)s: %(message)s",
        level=logging.DEBUG if trace else logging.INFO,
    )
    server = HttpServer(address, on_request, threads=threads, dispatcher=dispatcher)
    server.run(
        on_started=lambda: print(f"serving http://{server.address}/ (Ctrl+C stops it)", flush=True)
    )
