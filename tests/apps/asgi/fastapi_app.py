"""An application of FastAPI: models, dependencies, uploads, events, a WebSocket."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Request, UploadFile, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

events: list[str] = []


class Item(BaseModel):
    name: str
    price: float


async def session() -> AsyncIterator[dict[str, int]]:
    events.append("opened")
    try:
        await asyncio.sleep(0)
        yield {"id": 1}
    finally:
        events.append("closed")


Session = Annotated[dict[str, int], Depends(session)]


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.ready = True
    yield
    print("the application has ended", file=sys.stderr, flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/items/{number}")
async def get_item(number: int, request: Request, q: str | None = None) -> dict[str, Any]:
    return {"number": number, "q": q, "ready": request.app.state.ready}


@app.post("/items", status_code=201)
async def add_item(item: Item) -> Item:
    return item


@app.get("/session")
async def use_session(session: Session) -> dict[str, int]:
    return session


@app.get("/session/failing")
async def fail_in_session(session: Session) -> None:
    raise HTTPException(409, "conflict")


@app.get("/events")
async def what_happened() -> list[str]:
    return events


@app.get("/thread")
def in_thread() -> dict[str, bool]:
    return {"thread": True}


@app.post("/files")
async def upload(files: list[UploadFile], note: Annotated[str, Form()]) -> dict[str, Any]:
    return {"note": note, "sizes": {file.filename: len(await file.read()) for file in files}}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.001)

    return StreamingResponse(pieces(), media_type="text/event-stream")


@app.websocket("/ws/{room}")
async def room(websocket: WebSocket, room: str, session: Session) -> None:
    await websocket.accept()
    async for message in websocket.iter_json():
        await websocket.send_json({"room": room, "message": message, "session": session["id"]})
