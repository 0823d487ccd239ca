"""The pages with Yolanda's handler API: ``yolanda_http.py PORT [CERTIFICATE KEY]``."""

import sys

from pages import LARGE, PAGE

from yolanda import ServerTls
from yolanda.http import HttpRequest, HttpResponse, HttpServer


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    """Answer by the path, as the course's server does."""
    match request.path:
        case "/":
            response.body = PAGE
            response.content_type = "text/html"
        case "/large":
            response.body = LARGE
            response.content_type = "text/html"
        case "/upload":
            response.text(str(len(request.body)))


port, *files = sys.argv[1:]
tls = ServerTls(*files) if files else None
HttpServer(f"127.0.0.1:{port}", on_request, tls=tls).run()
