"""Serve the files of a folder over HTTP.

DIR is the folder, by default the one you are in.  ADDRESS is written HOST:PORT, [IPV6]:PORT, :PORT
for every interface, PORT for this machine only, unix:PATH, or fd:N for an inherited socket.

\b
    $ yolanda static
    $ yolanda static public 8000 --listing
    $ yolanda static dist :80 --single-page-app --cache-control 'max-age=60'
    $ curl -r 0-99 http://127.0.0.1:43211/film.mp4

Links are not followed and names that begin with a dot are not served, unless asked for.
"""

import logging
from typing import Literal

import click

from yolanda.http import HttpServer, StaticFiles
from yolanda.programs.chapter34.http_server01 import ThreadCount


def serve(
    files: StaticFiles, address: str, threads: int | Literal["auto"], dispatcher: str
) -> None:
    """Serve ``files`` until SIGINT or SIGTERM, then let every request have its response.

    Raises `OSError` when it cannot listen and `ValueError` for what makes no sense.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO)
    server = HttpServer(address, files, threads=threads, dispatcher=dispatcher)
    where = server.address if server.address.is_local else f"http://{server.address}/"
    server.run(
        on_started=lambda: click.echo(
            f"serving {files.directory} at {where} (Ctrl+C stops it)",
        )
    )


@click.command("static", help=__doc__, short_help="Serve the files of a folder.")
@click.argument("directory", default=".", metavar="[DIR]")
@click.argument("address", default="127.0.0.1:43211")
@click.option("--listing", is_flag=True, help="List a folder that has no index.")
@click.option(
    "--index",
    default="index.html",
    show_default=True,
    metavar="NAME",
    help="The file that is sent for a folder; '' for none.",
)
@click.option(
    "--single-page-app",
    is_flag=True,
    help="Send the index for a path that is not there and whose last name has no ending.",
)
@click.option(
    "--cache-control",
    default="no-cache",
    show_default=True,
    metavar="VALUE",
    help="The field Cache-Control of files; '' for none.",
)
@click.option("--follow-links", is_flag=True, help="Follow symbolic links, wherever they lead.")
@click.option("--hidden", is_flag=True, help="Serve names that begin with a dot.")
@click.option(
    "--precompressed/--no-precompressed",
    default=True,
    show_default=True,
    help="Send a.js.br, .zst or .gz in place of a.js to who accepts it.",
)
@click.option(
    "--threads",
    type=ThreadCount(),
    default="0",
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
    help="How a reactor waits for events.",
)
def main(
    directory: str,
    address: str,
    listing: bool,
    index: str,
    single_page_app: bool,
    cache_control: str,
    follow_links: bool,
    hidden: bool,
    precompressed: bool,
    threads: int | Literal["auto"],
    dispatcher: str,
) -> None:
    """Serve DIR on ADDRESS."""
    if single_page_app and not index:
        raise click.UsageError("--single-page-app needs an index to send")
    files = StaticFiles(
        directory,
        index=index,
        listing=listing,
        precompressed=precompressed,
        cache_control=cache_control or None,
        follow_links=follow_links,
        hidden=hidden,
        fallback=index if single_page_app else "",
    )
    serve(files, address, threads, dispatcher)
