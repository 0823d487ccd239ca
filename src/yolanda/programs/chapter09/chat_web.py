"""The chat room with a web page, and with rooms elsewhere: guests by browser and by telnet.

Chapter 9, after chat, whose room and whose door for telnet it has.  A browser loads one page, opens
a WebSocket, sends lines as one types them for telnet, and hears events as JSON.  With --broker the
rooms of several processes, on as many machines as you like, become one through a NATS server.

\b
$ yolanda run chat-web --telnet 43211       (and open http://127.0.0.1:43212/)
$ telnet 127.0.0.1 43211                    (in another terminal)
$ nats-server -a 127.0.0.1                  (and with a broker:)
$ yolanda run chat-web --broker nats://127.0.0.1:4222
$ yolanda run chat-web --broker nats://127.0.0.1:4222 --port 43213
"""

import asyncio
import base64
import hashlib
import importlib.resources
import logging
import re
import signal
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from yolanda import Address, EventLoop, TcpServer
from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.programs.blocking import run_program
from yolanda.programs.chapter09.chat import TelnetDoor
from yolanda.programs.chat.broker import Broker, check_url
from yolanda.programs.chat.room import (
    FAREWELL,
    LONGEST_LINE,
    MOST_SENT,
    MOST_UNREAD,
    Event,
    Guest,
    Room,
    say,
)

if TYPE_CHECKING:
    from yolanda.websocket import WebSocket

SHOWN_OUT = 1008
"""The code of RFC 6455 for a guest who breaks the rules of the house."""

TOO_LONG = 1009
"""And for one whose message is too long."""


class WebGuest(Guest):
    """A guest in a browser, who sends lines and reads JSON."""

    def __init__(self, websocket: "WebSocket") -> None:
        super().__init__(websocket.peer_address, websocket.loop.time)
        self.websocket = websocket

    def hear(self, event: Event) -> None:
        """Send an event as one message."""
        if self.websocket.queued <= MOST_UNREAD:
            self.websocket.send(event.message)

    def end(self) -> None:
        """Close the WebSocket when what was sent is out."""
        self.websocket.close(SHOWN_OUT if self.reason else 1000, self.reason)


class WebDoor:
    """Where guests come in who have a browser: a page, and the WebSockets that it opens.

    - ``room``: where they go;
    - ``origins``: whose pages may come in, ``https://HOST``; none for this server's own.

    Raises `ImportError` if the library websockets is missing.
    """

    def __init__(self, room: Room, origins: Sequence[str] = ()) -> None:
        import yolanda.websocket as websocket

        self.room = room
        self.origins = origins
        self.page = (importlib.resources.files(__package__) / "chat_web.html").read_bytes()
        self.policy = content_security_policy(self.page)
        self.accept_websocket = websocket.accept_websocket
        self.origin_is_own = websocket.origin_is_own
        self.options = websocket.WebSocketOptions(
            max_message_size=LONGEST_LINE,
            high_water=MOST_UNREAD,
            close_timeout=FAREWELL,
            compression=False,  # lines are short, and each guest would have its own state
        )

    def open(self, loop: EventLoop, address: Address) -> HttpServer:
        """Return a server for them, which is bound to ``address`` and not started."""
        return HttpServer(address, self.on_request, loop=loop)

    # ---- the page ------------------------------------------------------------------------

    def on_request(self, request: HttpRequest, response: HttpResponse) -> None:
        """Answer a browser."""
        if request.path == "/chat":
            self.let_in(request, response)
        elif request.path != "/":
            response.status = 404
        elif request.method not in ("GET", "HEAD"):
            response.status = 405
            response.headers["Allow"] = "GET, HEAD"
        else:
            response.content_type = "text/html; charset=utf-8"
            response.body = self.page
            response.headers["Content-Security-Policy"] = self.policy
            response.headers["Cache-Control"] = "no-cache"
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"

    # ---- the hooks of a WebSocket --------------------------------------------------------

    def let_in(self, request: HttpRequest, response: HttpResponse) -> None:
        """Accept a WebSocket, unless the page of somebody else asks for it."""
        if not self.origins and not self.origin_is_own(request):
            response.status = 403
            response.text(f"not from {request.headers['origin']}\n")
            return
        websocket = self.accept_websocket(
            request,
            response,
            origins=self.origins or None,
            options=self.options,
            on_open=self.on_open,
            on_message=self.on_message,
            on_closed=self.on_closed,
        )
        if websocket is not None:
            websocket.context = WebGuest(websocket)
            websocket.on_high_water = self.on_high_water

    def on_open(self, websocket: "WebSocket") -> None:
        """Somebody is at the door."""
        websocket.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_SENT)
        self.room.welcome(websocket.context)

    def on_message(self, websocket: "WebSocket", message: str | bytes) -> None:
        """A line has come."""
        if isinstance(message, str):
            self.room.take(websocket.context, message)
        else:
            self.room.see_off(websocket.context, "sent what is no text")

    def on_high_water(self, websocket: "WebSocket", queued: int) -> None:
        """A guest does not read what it is told, and the room cannot keep it all for ever."""
        guest: Guest = websocket.context
        guest.reason = "reads too slowly"
        websocket.abort()

    def on_closed(self, websocket: "WebSocket", code: int, reason: str) -> None:
        """A guest is gone: it said so, or was lost, or has sent what no WebSocket may."""
        guest: Guest = websocket.context
        if code == TOO_LONG:
            guest.reason = f"sent a line of more than {LONGEST_LINE} bytes"
        self.room.leave(guest)


def content_security_policy(page: bytes) -> str:
    """Allow the page its own style and script, known by their hashes, and its own server.

    What a guest says is put into the page as text.  Should that ever fail, nothing in it would be
    run or loaded.  (CSP level 3)
    """

    def hashes(tag: bytes) -> str:
        blocks: list[bytes] = re.findall(b"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(block).digest()).decode() for block in blocks)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes(b'script')}; style-src {hashes(b'style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


async def serve(
    room: Room, web: WebDoor, address: Address, telnet: Address | None, broker: Broker | None
) -> None:
    """Keep the room open until SIGINT or SIGTERM; a second one ends it at once.

    The reactor lives inside asyncio's loop, since that is where the broker's client lives.
    """
    outer = asyncio.get_running_loop()
    with EventLoop("epoll" if sys.platform == "linux" else "kqueue") as loop:
        outer.add_reader(loop.fileno(), loop.run_once, 0)
        servers: list[TcpServer] = []
        open_servers: set[TcpServer] = set()
        stopped = asyncio.Event()

        def on_stopped(server: TcpServer) -> None:
            open_servers.discard(server)
            if not open_servers:
                stopped.set()

        def stop() -> None:
            for server in servers:
                server.stop(0 if server.stopping else FAREWELL, lambda s=server: on_stopped(s))  # type: ignore[misc]

        try:
            servers.append(web.open(loop, address))
            if telnet is not None:
                servers.append(TelnetDoor(room).open(loop, telnet))
            open_servers.update(servers)
            for server in servers:
                server.start()
            for number in (signal.SIGINT, signal.SIGTERM):
                outer.add_signal_handler(number, stop)
            say(f"listening on {servers[0].address}")
            say(f"the page is at http://{servers[0].address}/")
            for server in servers[1:]:
                say(f"telnet: listening on {server.address}")
            async with asyncio.TaskGroup() as tasks:
                joining = None if broker is None else tasks.create_task(broker.run())
                await stopped.wait()
                if broker is not None and joining is not None:
                    await broker.leave()
                    joining.cancel()
        finally:
            for server in servers:
                server.close()
            loop.run_once(0)  # for the last hooks of connections that were cut off
            outer.remove_reader(loop.fileno())


def _check_urls(
    ctx: click.Context, param: click.Parameter, urls: tuple[str, ...]
) -> tuple[str, ...]:
    for url in urls:
        try:
            check_url(url)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return urls


def _check_channel(ctx: click.Context, param: click.Parameter, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise click.BadParameter(f"{name!r} is not up to 64 letters, digits, - and _")
    return name


@click.command("chat-web", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen; 0.0.0.0 lets in who is not at this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43212,
    show_default=True,
    help="Of the web page.  0: one the kernel chooses.",
)
@click.option(
    "--telnet",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Let in guests of telnet and chatclient, too, at this port.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Whose pages may come in, such as https://example.org.  [default: the page's own]",
)
@click.option(
    "--broker",
    "urls",
    multiple=True,
    callback=_check_urls,
    metavar="URL",
    help="Join the rooms at a NATS server, nats://HOST:PORT.",
)
@click.option(
    "--channel",
    default="lobby",
    show_default=True,
    callback=_check_channel,
    metavar="NAME",
    help="Which of the broker's rooms.",
)
def main(
    host: str,
    port: int,
    telnet: int | None,
    origins: tuple[str, ...],
    urls: tuple[str, ...],
    channel: str,
) -> None:
    """Open the room."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    room = Room()
    try:
        web = WebDoor(room, origins)
        broker = Broker(room, urls, channel) if urls else None
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    lines = None if telnet is None else Address(host, telnet)
    asyncio.run(serve(room, web, Address(host, port), lines, broker))


if __name__ == "__main__":
    run_program(main)
