"""One process that serves a WSGI application: its loop, and the threads of the application."""

import logging
import os
from collections.abc import Callable, Sequence

from yolanda.address import BoundSocket
from yolanda.apps.config import Config
from yolanda.apps.http_servers import guarded, make_proxies, make_servers, make_tls
from yolanda.apps.observation.outlook import Observation, Outlook
from yolanda.apps.processes.control import run_servers
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.apps.wsgi.environment import Settings, WsgiApplication
from yolanda.apps.wsgi.handler import WsgiHandler
from yolanda.reactor.event_loop import EventLoop

log = logging.getLogger("yolanda.wsgi")

_THREADS_A_PROCESSOR = 4
_LAST_WORDS = 1.0  # seconds that applications have to end when their clients are cut off


def serve_wsgi(
    config: Config,
    application: WsgiApplication,
    listeners: Sequence[BoundSocket],
    handle: WorkerHandle | None,
    outlook: Outlook,
    on_ready: Callable[[], object] | None = None,
) -> int:
    """Serve ``application`` until the master or a signal ends it; return the exit status.

    - ``handle``: of a worker process; None for a process without a master;
    - ``outlook``: how the service is seen from outside;
    - ``on_ready()``: called when clients are served.

    In the main thread.
    """
    tls = make_tls(config)
    threads = config.threads or _THREADS_A_PROCESSOR * _processors()
    with EventLoop() as loop:
        observation = Observation(config, loop, handle, outlook)
        handler = WsgiHandler(
            loop,
            application,
            threads,
            settings=Settings(
                root_path=config.root_path,
                scheme="http" if tls is None else "https",
                proxies=make_proxies(config),
                multithread=threads > 1,
                multiprocess=config.workers > 1,
            ),
            fields=config.fields(),
        )
        servers = make_servers(
            config,
            loop,
            listeners,
            guarded(handler, config, lambda: handler.in_flight, handle),
            handle,
            tls,
            observation,
        )
        status = run_servers(
            handle,
            servers,
            graceful_timeout=config.timeout_graceful_shutdown,
            wind_up=handler.when_idle,
            on_ready=on_ready,
            on_reload_certificates=None if tls is None else tls.reload,
            observation=observation,
            drain_delay=config.drain_delay,
        )
        if not handler.close(_LAST_WORDS):
            log.warning("%d requests did not end, and are left behind", handler.in_flight)
    return status


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
