"""The pages with aiohttp on uvloop: ``aiohttp_server.py PORT``."""

import asyncio
import sys

import uvloop
from aiohttp import web
from pages import LARGE, PAGE


async def index(request: web.Request) -> web.Response:
    """Answer with the page."""
    return web.Response(body=PAGE, content_type="text/html")


async def large(request: web.Request) -> web.Response:
    """Answer with a million bytes."""
    return web.Response(body=LARGE, content_type="text/html")


async def upload(request: web.Request) -> web.Response:
    """Tell how many bytes came."""
    return web.Response(text=str(len(await request.read())))


async def serve(port: int) -> None:
    """Serve for ever."""
    app = web.Application(client_max_size=2 * len(LARGE))
    app.router.add_get("/", index)
    app.router.add_get("/large", large)
    app.router.add_post("/upload", upload)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=600)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
    loop.run(serve(int(sys.argv[1])))
