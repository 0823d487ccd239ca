"""An application of Django in one file, with views that are coroutines and views that are not."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    DEBUG=False,
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    DATA_UPLOAD_MAX_MEMORY_SIZE=1 << 30,
    FILE_UPLOAD_MAX_MEMORY_SIZE=1 << 16,
    LOGGING_CONFIG=None,
)
django.setup()


def page(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"<h1>{name}</h1>")


async def async_page(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    response = HttpResponse(f"{request.method} {request.get_full_path()} {request.scheme}")
    response.set_cookie("seen", "yes")
    response["X-Served-By"] = str(os.getpid())
    return response


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse(
        {"name": file.name, "digest": digest.hexdigest(), "note": request.POST["note"]}
    )


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(10):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse((b"%d\n" % n for n in range(10)), content_type="text/plain")


def failing(request: HttpRequest) -> Any:
    raise LookupError("nothing there")


urlpatterns = [
    path("pages/<name>", page),
    path("async", async_page),
    path("upload", upload),
    path("stream", stream),
    path("sync-stream", sync_stream),
    path("failing", failing),
]

application = get_asgi_application()
