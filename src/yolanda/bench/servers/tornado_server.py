"""The pages with Tornado on uvloop: ``tornado_server.py PORT``."""

import asyncio
import sys

import tornado.web
import uvloop
from pages import LARGE, PAGE


class Index(tornado.web.RequestHandler):
    """Answers with the page."""

    def get(self) -> None:
        """Answer a GET."""
        self.set_header("Content-Type", "text/html")
        self.write(PAGE)


class Large(tornado.web.RequestHandler):
    """Answers with a million bytes."""

    def get(self) -> None:
        """Answer a GET."""
        self.write(LARGE)


class Upload(tornado.web.RequestHandler):
    """Tells how many bytes came."""

    def post(self) -> None:
        """Answer a POST."""
        self.write(str(len(self.request.body)))


async def serve(port: int) -> None:
    """Serve for ever."""
    routes = [("/", Index), ("/large", Large), ("/upload", Upload)]
    app = tornado.web.Application(routes, log_function=lambda handler: None)
    app.listen(port, "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
    loop.run(serve(int(sys.argv[1])))
