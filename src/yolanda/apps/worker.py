"""What a serving process does: finds its application, and serves it in the way that it speaks."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from yolanda.address import BoundSocket
from yolanda.apps.application import (
    ApplicationError,
    Interface,
    interface_of,
    load_application,
)
from yolanda.apps.asgi.service import serve_asgi
from yolanda.apps.config import Config, ConfigError
from yolanda.apps.observation.outlook import Outlook
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.apps.wsgi.service import serve_wsgi

log = logging.getLogger("yolanda.apps")


def run_worker(
    config: Config,
    application: Any,
    listeners: Sequence[BoundSocket],
    handle: WorkerHandle | None,
    outlook: Outlook,
    on_ready: Callable[[str], object] | None = None,
) -> int:
    """Serve ``application`` on ``listeners`` until the master or a signal ends it.

    - ``application``: the thing itself, or its name (see `load_application`);
    - ``handle``: of a worker process; None for a process without a master;
    - ``outlook``: how the service is seen from outside;
    - ``on_ready(what)``: called when clients are served, with what is spoken.

    Returns the exit status.  Without a handle an application that cannot be found raises
    `ApplicationError`.  In the main thread.
    """
    try:
        found, interface = find_application(config, application)
    except ApplicationError as error:
        if handle is None:
            raise
        if error.__cause__ is not None:
            log.error("%s", error, exc_info=error.__cause__)
        return handle.fail(str(error))

    def tell() -> None:
        if on_ready is not None:
            on_ready(interface.upper())

    serve = serve_asgi if interface == "asgi" else serve_wsgi
    try:
        return serve(config, found, listeners, handle, outlook, tell)
    except ConfigError as error:  # such as a certificate that is there no more
        if handle is None:
            raise
        return handle.fail(str(error))


def find_application(config: Config, application: Any) -> tuple[Any, Interface]:
    """Load ``application`` if it is a name, and say what it speaks.  Raises `ApplicationError`."""
    if isinstance(application, str):
        application = load_application(application, folder=config.app_dir, factory=config.factory)
    elif config.factory:
        application = application()
    if config.interface == "auto":
        return application, interface_of(application)
    return application, config.interface
