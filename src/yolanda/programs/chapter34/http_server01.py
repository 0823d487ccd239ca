"""The HTTP server of the course's last chapters, at http://127.0.0.1:43211/.

Chapter 34 (and 32 and 33 below it): a main reactor accepts, two sub-reactors read and write, and
all that is left to write is `on_request`.  Watch, with ``--trace``, which thread does what.

ADDRESS is written HOST:PORT, [IPV6]:PORT, :PORT for every interface, PORT for this machine only,
unix:PATH, or fd:N for an inherited socket.

\b
    $ yolanda http                          (or: yolanda run http_server01)
    $ curl -v http://127.0.0.1:43211/
    $ curl -v 'http://127.0.0.1:43211/network?the=query does not count'
    $ curl -o photo.png http://127.0.0.1:43211/photo
    $ curl -v http://127.0.0.1:43211/nothing-here
"""

import logging
from importlib import resources
from typing import Literal

import click

from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.programs.blocking import run_program

PAGE = (
    b"<html><head><title>This is network programming</title></head>"
    b"<body><h1>Hello, network programming</h1></body></html>"
)
PHOTO = resources.files("yolanda.programs.chapter34").joinpath("photo.png").read_bytes()


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


class ThreadCount(click.ParamType[int | str]):
    """A number of threads, or ``auto``."""

    name = "N|auto"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["auto"]:
        """Read ``value`` as the option's argument."""
        if value == "auto":
            return "auto"
        try:
            count = int(str(value))
        except ValueError:
            count = -1
        if count < 0:
            self.fail(f"{value!r} is neither a number from 0 on nor 'auto'", param, ctx)
        return count


@click.command(
    "http_server01", help=__doc__, short_help="Run the course's HTTP server (chapter 34)."
)
@click.argument("address", default="127.0.0.1:43211")
@click.option(
    "--threads",
    type=ThreadCount(),
    default="2",
    show_default=True,
    help="Sub-reactors beside the main one; 0: a single reactor; auto: two a processor.",
)
@click.option(
    "--dispatcher",
    type=click.Choice(["auto", "epoll", "epoll-et", "kqueue", "poll", "select"]),
    default="auto",
    show_default=True,
    envvar="YOLANDA_DISPATCHER",
    show_envvar=True,
    help="How a reactor waits for events: auto takes the best that is there, epoll-et is epoll "
    "edge-triggered.",
)
@click.option("--trace", is_flag=True, help="Print what the reactors do, in the course's words.")
def main(address: str, threads: int | Literal["auto"], dispatcher: str, trace: bool) -> None:
    """Serve on ADDRESS."""
    serve(address, threads, dispatcher, trace)


if __name__ == "__main__":
    run_program(main)
