"""The applications that the tests of access log, metrics and health look at from outside.

The first word of each answer is the number of the process.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": message["text"]})
    else:
        await answer(scope, receive, send)


def what_it_sees(client: str, scheme: str, host: str, forwarded: str) -> bytes:
    told = {"client": client, "scheme": scheme, "host": host, "forwarded": forwarded}
    return json.dumps(told).encode()


async def size_of(receive: Receive) -> int:
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    return size


async def live(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        # A slow start, which the test ends.
        while event == "lifespan.startup" and os.path.exists(os.environ.get("SLOW_START", "")):
            await asyncio.sleep(0.01)
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    path = scope["path"]
    if path == "/slow":
        await asyncio.sleep(0.5)
    elif path == "/never":
        await asyncio.Event().wait()
    elif path == "/block":
        time.sleep(0.5)
    body = f"{os.getpid()} {path}\n".encode()
    if path == "/scope":
        fields = {name: value.decode() for name, value in scope["headers"]}
        body = what_it_sees(
            scope["client"][0], scope["scheme"], fields[b"host"], fields.get(b"forwarded", "")
        )
    elif path == "/upload":
        body = b"%d\n" % await size_of(receive)
    status = 404 if path == "/missing" else 200
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.5)
    body = f"{os.getpid()} {path}\n".encode()
    if path == "/scope":
        body = what_it_sees(
            environ["REMOTE_ADDR"],
            environ["wsgi.url_scheme"],
            environ["HTTP_HOST"],
            environ.get("HTTP_FORWARDED", ""),
        )
    status = "404 Not Found" if path == "/missing" else "200 OK"
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
