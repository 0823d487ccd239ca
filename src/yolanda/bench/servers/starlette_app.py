"""The page as a Starlette application."""

from pages import PAGE
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route


async def index(request: Request) -> HTMLResponse:
    """Answer with the page."""
    return HTMLResponse(PAGE)


app = Starlette(routes=[Route("/", index)])
