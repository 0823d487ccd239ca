"""The page as a FastAPI application."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pages import PAGE

app = FastAPI()


@app.get("/", response_class=HTMLResponse)
async def index() -> HTMLResponse:
    """Answer with the page."""
    return HTMLResponse(PAGE)
