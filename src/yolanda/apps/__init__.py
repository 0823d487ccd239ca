"""Applications of others on the HTTP server: ASGI, WSGI, and the processes that run them."""

from yolanda.apps.processes.control import RequestLimit, run_servers
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.apps.processes.master import Master

__all__ = ["Master", "RequestLimit", "WorkerHandle", "run_servers"]
