"""A Django project in one file: a page, an upload, a stream and a file."""

import hashlib
import os
from collections.abc import Iterator

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="not secret",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
)
django.setup()


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<h1>hello, {request.GET.get('name', 'network')}</h1>")


def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse(
        {
            "name": file.name,
            "size": file.size,
            "sha256": digest.hexdigest(),
            "note": request.POST["note"],
        }
    )


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for number in range(5):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(os.environ["SERVED_FILE"], "rb"))


def address(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "client": request.META["REMOTE_ADDR"],
            "url": request.build_absolute_uri(),
            "root": request.META["SCRIPT_NAME"],
        }
    )


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("wrong in the application")


urlpatterns = [
    path("", index),
    path("upload", upload),
    path("stream", stream),
    path("file", file),
    path("address", address),
    path("fail", fail),
]

application = get_wsgi_application()
