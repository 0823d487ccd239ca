"""``/healthz`` and ``/readyz``: whether a process lives, and whether to send it requests."""

from collections.abc import Callable

from yolanda.http.connection import HttpHandler
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse

ALIVE = "/healthz"
READY = "/readyz"


class HealthCheck:
    """Answers probes.

    - ``why_not()``: why no requests should be sent here, in a word; empty if they should.

    ``/healthz`` is answered with 200 by whoever can answer at all.  ``/readyz`` is answered with
    200 while requests are welcome, and with 503 before and after.
    """

    def __init__(self, why_not: Callable[[], str]) -> None:
        self._why_not = why_not

    def answer(self, request: HttpRequest, response: HttpResponse) -> bool:
        """Answer ``request`` if it is a probe; whether it was."""
        path = request.path
        if path not in (ALIVE, READY):
            return False
        reason = self._why_not() if path == READY else ""
        response.headers["Cache-Control"] = "no-store"
        if request.method not in ("GET", "HEAD"):
            response.status = 405
            response.headers["Allow"] = "GET, HEAD"
        elif reason:
            response.status = 503
            response.text(f"{reason}\n")
        else:
            response.text("ready\n" if path == READY else "alive\n")
        return True

    def before(self, handler: HttpHandler) -> HttpHandler:
        """Return a handler that answers probes, and leaves all else to ``handler``."""

        def serve(request: HttpRequest, response: HttpResponse) -> None:
            if not self.answer(request, response):
                handler(request, response)

        return serve
