"""An HTTP server on the reactor: ``from yolanda.http import HttpServer``."""

from yolanda.http.errors import HttpError
from yolanda.http.forwarded import Forwarded, TrustedProxies
from yolanda.http.headers import Headers
from yolanda.http.limits import HttpLimits
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.http.server import HttpServer
from yolanda.http.static import StaticFiles

__all__ = [
    "Forwarded",
    "Headers",
    "HttpError",
    "HttpLimits",
    "HttpRequest",
    "HttpResponse",
    "HttpServer",
    "StaticFiles",
    "TrustedProxies",
]
