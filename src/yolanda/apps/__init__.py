"""Applications of others on the HTTP server: ASGI, WSGI, and the processes that run them."""

from yolanda.apps.handle import WorkerHandle
from yolanda.apps.master import Master
from yolanda.apps.process import RequestLimit, run_servers

__all__ = ["Master", "RequestLimit", "WorkerHandle", "run_servers"]
