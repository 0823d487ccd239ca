"""The applications that tests have `yolanda serve` serve, as somebody else's would be."""

import asyncio
import contextlib
import os
import sys
import time
from typing import Any


def say(what: str) -> None:
    print(f"{what} in {os.getpid()}", file=sys.stderr, flush=True)


async def respond(send: Any, body: bytes, status: int = 200) -> None:
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise TypeError(scope["type"])
    path = scope["path"]
    if path == "/echo":  # each piece as it comes
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})
        return
    if path == "/stubborn":
        say("stubborn")
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    if path == "/thread":
        await asyncio.to_thread(say, "in a thread")
        await asyncio.to_thread(time.sleep, 1000)
    if path == "/exit":
        sys.exit(5)
    if path == "/exit-later":
        await asyncio.sleep(0)
        sys.exit(5)
    if path == "/interrupt":
        raise KeyboardInterrupt
    await respond(send, b"%d\n" % os.getpid())


def with_lifespan(start: Any, end: Any) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await end()
        await send({"type": "lifespan.shutdown.complete"})

    return application


async def nothing() -> None:
    pass


async def hang() -> None:
    say("hanging")
    await asyncio.Event().wait()


async def leave() -> None:
    sys.exit(5)


hangs_at_start = with_lifespan(hang, nothing)
hangs_at_end = with_lifespan(nothing, hang)
exits_at_start = with_lifespan(leave, nothing)
exits_at_end = with_lifespan(nothing, leave)
