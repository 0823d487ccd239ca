"""The HTTP servers of one process that serves an application, made as the options say."""

from collections.abc import Callable, Sequence

from yolanda.address import Address, BoundSocket
from yolanda.apps.config import Config, ConfigError
from yolanda.apps.observation.outlook import Observation
from yolanda.apps.processes.control import RequestLimit
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.http.connection import HttpHandler
from yolanda.http.forwarded import TrustedProxies
from yolanda.http.limits import HttpLimits
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.http.server import HttpServer
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tls_settings import Certificate, ServerTls, TlsSettingsError

_FOREVER = 10.0 * 365 * 86400  # seconds: what stands for no limit
_ANY_SIZE = 1 << 62
_TLS_OPTIONS = {  # by what the settings of TLS call them
    "certificate": "--ssl-certfile",
    "key": "--ssl-keyfile",
    "client_ca": "--ssl-ca-certs",
    "ciphers": "--ssl-ciphers",
}


def make_servers(
    config: Config,
    loop: EventLoop,
    listeners: Sequence[BoundSocket],
    handler: HttpHandler,
    handle: WorkerHandle | None,
    tls: ServerTls | None,
    observation: Observation | None = None,
    response_class: type[HttpResponse] = HttpResponse,
) -> list[HttpServer]:
    """Make a server for each of ``listeners``, all in ``loop``; they are not started.

    The servers take the sockets over: one that is left open would go on taking connections after
    the server has stopped, which nobody would serve.

    - ``handle``: of a worker process, which shares its sockets with others;
    - ``tls``: what `make_tls` has returned;
    - ``observation``: who is told of what they do, and answers probes before ``handler``;
    - ``response_class``: what ``handler`` answers with.
    """
    on_exchange = None
    if observation is not None:
        on_exchange = observation.on_exchange
        handler = observation.before(handler)
    servers = [
        HttpServer(
            Address(fd=listener.socket.detach()),
            handler,
            loop=loop,
            streaming=True,
            response_class=response_class,
            limits=limits_of(config),
            server_name="Yolanda" if config.server_header else "",
            on_exchange=on_exchange,
            max_connections=config.limit_connections,
            backlog=config.backlog,
            shared=None if handle is None else handle.load,
            tls=tls,
            proxy_protocol=config.proxy_protocol_networks() or False,
        )
        for listener in listeners
    ]
    if observation is not None:
        observation.watch(servers)
    return servers


def make_tls(config: Config) -> ServerTls | None:
    """Read the certificates that the options name; None without any.

    Raises `ConfigError` for files that cannot be used.
    """
    if not config.ssl_certfile:
        return None
    keys: Sequence[str | None] = config.ssl_keyfile or [None] * len(config.ssl_certfile)
    password = config.ssl_keyfile_password
    first, *others = zip(config.ssl_certfile, keys, strict=True)
    try:
        return ServerTls(
            *first,
            password=password,
            further=[Certificate(certificate, key, password) for certificate, key in others],
            client_ca=config.ssl_ca_certs,
            client_certificate=config.ssl_cert_reqs if config.ssl_ca_certs else None,
            ciphers=config.ssl_ciphers,
            handshake_timeout=config.timeout_handshake or _FOREVER,
        )
    except TlsSettingsError as error:
        setting, _, reason = str(error).partition(": ")
        option = _TLS_OPTIONS.get(setting)
        text = f"--ssl-certfile: {error}" if option is None else f"{option}: {reason}"
        raise ConfigError(text) from error


def make_proxies(config: Config) -> TrustedProxies | None:
    """Return whom to believe about clients; None for nobody.  Raises `ConfigError`."""
    if not config.proxy_headers or not config.forwarded_allow_ips.strip():
        return None
    try:
        return TrustedProxies.parse(config.forwarded_allow_ips)
    except ValueError as error:
        raise ConfigError(f"--forwarded-allow-ips: {error}") from error


def limits_of(config: Config) -> HttpLimits:
    """Return the limits of HTTP that the options ask for."""
    return HttpLimits(
        request_line_size=config.limit_request_line,
        head_size=config.limit_request_head,
        header_count=config.limit_request_fields,
        body_size=config.limit_request_body or _ANY_SIZE,
        header_timeout=config.timeout_request_head or _FOREVER,
        body_timeout=config.timeout_request_body or _FOREVER,
        keep_alive_timeout=config.timeout_keep_alive or _FOREVER,
        write_timeout=config.timeout_write or _FOREVER,
    )


def guarded(
    handler: HttpHandler,
    config: Config,
    in_flight: Callable[[], int],
    handle: WorkerHandle | None,
) -> HttpHandler:
    """Put around ``handler`` what the options ask for: a limit of requests at once, and one for all
    that a worker serves."""
    if config.limit_concurrency is not None:
        handler = limited(handler, config.limit_concurrency, in_flight)
    if config.limit_max_requests is not None and handle is not None:
        limit = RequestLimit(
            handle.retire, config.limit_max_requests, config.limit_max_requests_jitter
        )
        handler = counted(handler, limit.count)
    return handler


def limited(handler: HttpHandler, limit: int, in_flight: Callable[[], int]) -> HttpHandler:
    """Answer 503 in place of ``handler`` while ``limit`` requests or more are in flight."""

    def serve(request: HttpRequest, response: HttpResponse) -> None:
        if in_flight() >= limit:
            response.status = 503
            response.headers["Retry-After"] = "1"
            response.text("503 Service Unavailable: too many requests at once\n")
        else:
            handler(request, response)

    return serve


def counted(handler: HttpHandler, count: Callable[[], object]) -> HttpHandler:
    """Call ``count()`` for each request, before ``handler``."""

    def serve(request: HttpRequest, response: HttpResponse) -> None:
        count()
        handler(request, response)

    return serve
