"""The page as a FastAPI application."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from page import PAGE

app = FastAPI()


@app.get("/", response_class=HTMLResponse)
async def index() -> HTMLResponse:
    return HTMLResponse(PAGE)
