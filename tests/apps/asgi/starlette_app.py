"""An application of Starlette, with a little of everything that one is made of."""

import asyncio
import contextlib
import contextvars
import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


def say(what: str) -> None:
    print(f"{what} in {os.getpid()}", file=sys.stderr, flush=True)


class UserMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        user.set(request.headers.get("x-user", "nobody"))
        response = await call_next(request)
        response.headers["x-served-by"] = str(os.getpid())
        return response


async def page(request: Request) -> Response:
    return HTMLResponse(f"<h1>{request.path_params['name']}</h1>" + "<p>text</p>" * 200)


async def who(request: Request) -> Response:
    if request.query_params.get("wait"):
        await asyncio.sleep(0.001)
    return JSONResponse(
        {
            "user": user.get(),
            "client": request.client and request.client.host,
            "url": str(request.url),
            "state": request.state.pool,
        }
    )


def in_thread(request: Request) -> Response:
    return PlainTextResponse(user.get())


async def upload(request: Request) -> Response:
    """Piece by piece, so that it may be of any size."""
    digest = hashlib.sha256()
    size = 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return JSONResponse({"size": size, "digest": digest.hexdigest()})


async def form(request: Request) -> Response:
    async with request.form() as fields:
        file = fields["file"]
        content = await file.read()  # type: ignore[union-attr]
        return JSONResponse({"name": file.filename, "size": len(content), "of": fields["of"]})  # type: ignore[union-attr]


async def stream(request: Request) -> Response:
    count = int(request.query_params.get("count", "10"))

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for number in range(count):
                yield b"%d\n" % number
                if number % 4 == 3:
                    await asyncio.sleep(0)
        finally:
            say("streamed")

    return StreamingResponse(pieces(), media_type="text/plain")


async def stream_of_a_thread(request: Request) -> Response:
    def pieces() -> Iterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number

    return StreamingResponse(pieces(), media_type="text/plain")


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
        finally:
            say("the endless one has ended")

    return StreamingResponse(pieces(), media_type="application/octet-stream")


async def file(request: Request) -> Response:
    return FileResponse(__file__)


async def background(request: Request) -> Response:
    async def work() -> None:
        await asyncio.sleep(0.001)
        say("worked")

    return PlainTextResponse("begun", background=BackgroundTask(work))


async def timeout(request: Request) -> Response:
    with anyio.move_on_after(0.001):
        await anyio.sleep(60)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
    return PlainTextResponse("in time")


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.url_for("page", name="target"))


async def failing(request: Request) -> Response:
    raise LookupError("nothing there")


async def waits_for_the_end(request: Request) -> Response:
    try:
        await request.body()
        while not await request.is_disconnected():
            await asyncio.sleep(0.001)
    except ClientDisconnect:
        pass
    say("gone")
    return PlainTextResponse("nobody reads this")


async def slow(request: Request) -> Response:
    say("waiting")
    await asyncio.sleep(float(request.query_params["seconds"]))
    return PlainTextResponse("slow")


async def chat(websocket: WebSocket) -> None:
    if websocket.query_params.get("token") == "wrong":
        await websocket.send_denial_response(JSONResponse({"error": "token"}, status_code=401))
        return
    await websocket.accept(subprotocol="chat" if "chat" in websocket["subprotocols"] else None)
    try:
        while True:
            text = await websocket.receive_text()
            if text == "bye":
                await websocket.close(4000, "bye, too")
                return
            await websocket.send_json({"echo": text, "state": websocket.state.pool})
    except WebSocketDisconnect as error:
        say(f"closed with {error.code}")


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "static.txt").write_text("static")
        app.router.routes.insert(0, Mount("/static", StaticFiles(directory=folder)))
        yield {"pool": "open"}
    say("the application has ended")


pages = [
    Route("/pages/{name}", page),
    Route("/who", who),
    Route("/in-thread", in_thread),
    Route("/upload", upload, methods=["POST"]),
    Route("/form", form, methods=["POST"]),
    Route("/stream", stream),
    Route("/stream-of-a-thread", stream_of_a_thread),
    Route("/file", file),
    Route("/background", background),
    Route("/timeout", timeout),
    Route("/redirect", redirect),
    Route("/failing", failing),
    Route("/slow", slow),
    WebSocketRoute("/chat", chat),
    Mount("/raw", raw),
]

app = Starlette(
    routes=[
        # Starlette does not tell below a BaseHTTPMiddleware.
        Route("/waits", waits_for_the_end),
        Route("/endless", endless),
        Mount(
            "/", routes=pages, middleware=[Middleware(UserMiddleware), Middleware(GZipMiddleware)]
        ),
    ],
    lifespan=lifespan,
)
