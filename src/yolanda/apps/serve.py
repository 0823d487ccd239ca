"""Serves an application: opens the sockets, then one process, a master with workers, or a watcher.

`yolanda.serve` and the command ``yolanda serve`` both come here.
"""

import contextlib
import dataclasses
import faulthandler
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from yolanda.address import Address, BoundSocket, bind_socket
from yolanda.apps.config import Config, ConfigError, env_file_of
from yolanda.apps.http_servers import make_proxies, make_tls
from yolanda.apps.log_setup import set_up_logging
from yolanda.apps.observation.outlook import Outlook
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.apps.processes.master import Master
from yolanda.apps.processes.notify import Notifier, activated_sockets
from yolanda.apps.processes.pid_file import PidFile
from yolanda.apps.processes.reload import Reloader, SourceFiles
from yolanda.apps.worker import find_application, run_worker

log = logging.getLogger("yolanda.apps")


def serve(application: Any, **options: Any) -> int:
    """Serve ``application`` until SIGTERM or SIGINT; return the exit status.

    - ``application``: an ASGI or WSGI application, or its name, ``"module:attribute"``;
    - ``options``: those of ``yolanda serve --help``, with underscores; see `Config`.

    pyproject.toml and the environment count as well, for what is not given here.  Raises
    `ConfigError` for options that make no sense, `ApplicationError` for an application that cannot
    be found, and `OSError` for an address that cannot be had.  In the main thread.
    """
    unknown_first = {name: value for name, value in options.items() if value is not None}
    load_env_file(env_file_of(unknown_first, os.environ))
    try:
        return serve_with(Config.load(unknown_first), application)
    finally:
        faulthandler.cancel_dump_traceback_later()  # the caller's process goes on


def serve_with(config: Config, application: Any) -> int:
    """`serve`, with options that have been put together, in a process that has nothing else to do.

    If the application holds that up in the end, it ends with a traceback of all threads.
    """
    set_up_logging(config)
    make_tls(config)  # what is wrong with these is told here, and not in each worker
    make_proxies(config)
    notifier = Notifier.from_environment()
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        if config.pid_file is not None:
            stack.enter_context(PidFile(config.pid_file))
        listeners = stack.enter_context(_listening(config))
        outlook = stack.enter_context(contextlib.closing(Outlook.open(config)))
        if config.reload:
            return _serve_and_reload(config, application, listeners, outlook)
        if needs_master(config):
            return _serve_with_master(config, application, listeners, outlook, notifier)

        def tell(what: str) -> None:
            _tell_where(config, listeners, what, outlook)
            notifier.ready("serving")

        return run_worker(config, application, listeners, None, outlook, tell)


def needs_master(config: Config) -> bool:
    """Whether something is asked for that needs a process above the one that serves."""
    return (
        config.workers > 1
        or config.limit_max_requests is not None
        or config.limit_worker_memory is not None
    )


def _serve_with_master(
    config: Config,
    application: Any,
    listeners: Sequence[BoundSocket],
    outlook: Outlook,
    notifier: Notifier,
) -> int:
    if config.preload:
        application, _ = find_application(config, application)
        config = dataclasses.replace(config, factory=False)  # it has made it

    def work(handle: WorkerHandle) -> int:
        return run_worker(config, application, listeners, handle, outlook)

    return Master(
        work,
        workers=config.workers,
        listeners=listeners,
        graceful_timeout=config.drain_delay + config.timeout_graceful_shutdown,
        health_timeout=config.timeout_worker or None,
        memory_limit=config.limit_worker_memory,
        notifier=notifier,
        on_ready=lambda: _tell_where(config, listeners, f"{config.workers} workers", outlook),
        on_worker_ended=outlook.note_end,
    ).run()


def _serve_and_reload(
    config: Config, application: Any, listeners: Sequence[BoundSocket], outlook: Outlook
) -> int:
    if not isinstance(application, str):
        raise ConfigError("--reload needs the application's name, 'module:name', to import it anew")
    try:
        source = SourceFiles(
            config.reload_dir or (config.app_dir,), config.reload_include, config.reload_exclude
        )
    except ValueError as error:
        raise ConfigError(f"--reload-dir: {error}") from error

    def work(handle: WorkerHandle) -> int:
        return run_worker(
            config,
            application,
            listeners,
            handle,
            outlook,
            lambda what: _tell_where(config, listeners, what, outlook),
        )

    reloader = Reloader(work, source, graceful_timeout=config.timeout_graceful_shutdown)
    return reloader.run()


@contextlib.contextmanager
def _listening(config: Config) -> Iterator[list[BoundSocket]]:
    """Open the sockets, or take those that systemd has opened; close them in the end."""
    listeners: list[BoundSocket] = []
    try:
        activated = activated_sockets()
        if activated and not config.says_where:
            addresses = [Address(fd=inherited.fd) for inherited in activated]
        else:
            addresses = config.addresses()
        for address in addresses:  # those before one that fails are closed
            listeners.append(bind_socket(address, reuse_port=config.reuse_port))  # noqa: PERF401
        for listener in listeners:
            try:
                listener.socket.listen(config.backlog)
            except OSError as error:  # such as the same address twice
                text = f"{error.strerror} ({listener.address})"
                raise OSError(error.errno, text) from error
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def _tell_where(
    config: Config, listeners: Sequence[BoundSocket], what: str, outlook: Outlook
) -> None:
    scheme = "https" if config.ssl_certfile else "http"
    for listener in listeners:
        address = listener.address
        where = str(address) if address.path is not None else f"{scheme}://{address}/"
        log.info("serving %s (%s; Ctrl+C stops it)", where, what)
    if outlook.listener is not None:
        log.info("metrics on %s", outlook.listener.address)


def load_env_file(path: str | None) -> None:
    """Set the variables of a file, those that are not set already.  Raises `ConfigError`."""
    if path is None:
        return
    try:
        import dotenv
    except ImportError:
        raise ConfigError("--env-file needs python-dotenv: pip install 'yolanda[env]'") from None
    try:
        with open(path, encoding="utf-8") as file:
            variables = dotenv.dotenv_values(stream=file)
    except OSError as error:
        raise ConfigError(f"--env-file {path}: {error.strerror}") from error
    for name, value in variables.items():
        if value is not None:
            os.environ.setdefault(name, value)
