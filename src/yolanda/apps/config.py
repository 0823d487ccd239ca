"""The options of a server of applications: one place where each of them lives.

An option has one name everywhere: ``--app-dir`` on the command line and ``app_dir=`` in Python,
``YOLANDA_APP_DIR`` in the environment, and ``app-dir`` in the table ``[tool.yolanda]`` of
pyproject.toml.  Of these the first counts that says something.
"""

import dataclasses
import difflib
import os
import tomllib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from yolanda.address import Address, AddressError
from yolanda.http.field_lines import FieldLines
from yolanda.networks import Networks
from yolanda.transport.shared_load import SharedLoad

PREFIX = "YOLANDA_"
"""Of an option's name in the environment."""

TABLE = "[tool.yolanda]"
"""Where the options stand in pyproject.toml."""

DEFAULT_PORT = 8000

MOST_WORKERS = SharedLoad.PROCESSES // 2
"""Each may have a successor beside it for a while."""

_MOST_SECONDS = 10**9
_FRAMING = {b"connection", b"content-length", b"transfer-encoding"}


class ConfigError(ValueError):
    """An option that is unknown, makes no sense, or contradicts another; the text names it."""


def _option(
    default: Any,
    help: str,  # noqa: A002  it is click's word
    *,
    metavar: str | None = None,
    short: str | None = None,
    flag_value: str | None = None,
    least: float | None = None,
    most: float | None = None,
    section: str = "",
) -> Any:
    """A field of `Config`.

    - ``metavar``: what the command line's help calls its value;
    - ``short``: a short form on the command line;
    - ``flag_value``: what the option means there without a value;
    - ``least``, ``most``: the least and the greatest number that it can be;
    - ``section``: under which it is listed, and those after it.
    """
    metadata = {
        "help": help,
        "metavar": metavar,
        "short": short,
        "flag_value": flag_value,
        "least": least,
        "most": most,
        "section": section,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be said about how an application is served.

    Raises `ConfigError` for what makes no sense.  Times are in seconds, sizes in bytes.
    """

    host: str = _option(
        "127.0.0.1", "Listen there: an address, or a name.", section="Where to listen"
    )
    port: int = _option(DEFAULT_PORT, "Listen on this port; 0: one that the kernel chooses.")
    unix: str | None = _option(None, "Listen on a local socket.", metavar="PATH")
    fd: int | None = _option(
        None, "Listen on an inherited socket: the number of its descriptor.", least=0
    )
    bind: tuple[str, ...] = _option(
        (),
        "Listen there; may be repeated: HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd:N.",
        metavar="ADDRESS",
        short="-b",
    )
    backlog: int = _option(
        2048, "How many connections may wait in the kernel to be accepted.", least=1, most=2**31 - 1
    )
    reuse_port: bool = _option(
        False, "Share the port with other processes that do the same (SO_REUSEPORT)."
    )

    interface: Literal["auto", "asgi", "wsgi"] = _option(
        "auto", "What the application speaks.", section="The application"
    )
    factory: bool = _option(False, "APP is a function without arguments that makes it.")
    app_dir: str = _option(".", "Look for APP there first.", metavar="DIR")
    root_path: str = _option(
        "", "Where the application is mounted, as a proxy in front shows it.", metavar="PATH"
    )
    lifespan: Literal["auto", "on", "off"] = _option(
        "auto",
        "Tell an ASGI application that it starts and ends; on: it must know what that means.",
    )
    loop: Literal["auto", "asyncio", "uvloop"] = _option(
        "auto", "The event loop of an ASGI application; auto: uvloop if it is installed."
    )
    threads: int | None = _option(
        None,
        "Threads in which a WSGI application runs (default: 4 a processor).",
        least=1,
        most=10_000,
    )
    env_file: str | None = _option(
        None, "Set variables from a file, those that are not set already.", metavar="FILE"
    )

    workers: int = _option(
        1, "Processes that serve.", short="-w", least=1, most=MOST_WORKERS, section="Processes"
    )
    reload: bool = _option(False, "Start anew when a source file changes; for development.")
    reload_dir: tuple[str, ...] = _option(
        (), "Watch this folder instead of --app-dir; may be repeated.", metavar="DIR"
    )
    reload_include: tuple[str, ...] = _option(
        (), "Watch files of this name, too; may be repeated.", metavar="GLOB"
    )
    reload_exclude: tuple[str, ...] = _option(
        (), "Do not watch files of this name; may be repeated.", metavar="GLOB"
    )
    preload: bool = _option(
        False, "Import the application before the workers are made: less memory, no new code."
    )
    pid_file: str | None = _option(None, "Write the process's number there.", metavar="FILE")
    timeout_graceful_shutdown: float = _option(
        30.0, "How long requests may take to end when the server stops.", least=0
    )
    timeout_worker: float = _option(
        30.0, "Replace a worker whose loop stands still for so long; 0: never.", least=0
    )
    limit_max_requests: int | None = _option(
        None, "Replace a worker after so many requests.", least=1
    )
    limit_max_requests_jitter: int = _option(
        0, "Up to so many more, so that not all are replaced at once.", least=0
    )
    limit_worker_memory: int | None = _option(
        None, "Replace a worker that takes more memory.", metavar="BYTES", least=1
    )

    limit_concurrency: int | None = _option(
        None, "Answer 503 while so many requests are being served.", least=1, section="Limits"
    )
    limit_connections: int | None = _option(
        None, "Leave further connections in the kernel's queue (for each worker).", least=1
    )
    limit_request_line: int = _option(8192, "Longer request lines get 414.", least=1)
    limit_request_head: int = _option(32768, "Longer heads get 431.", least=1)
    limit_request_fields: int = _option(100, "More header fields get 431.", least=1)
    limit_request_body: int | None = _option(
        None, "Longer bodies get 413 (default: no limit).", least=1
    )
    timeout_keep_alive: float = _option(75.0, "Close a connection that is idle so long.", least=0)
    timeout_request_head: float = _option(
        10.0, "From the first byte of a request's head to its last; then 408.", least=0
    )
    timeout_request_body: float = _option(
        30.0, "Between two pieces of a request's body; then 408.", least=0
    )
    timeout_write: float = _option(
        60.0, "Reset a client that takes nothing of its response for so long.", least=0
    )

    ssl_certfile: tuple[str, ...] = _option(
        (),
        "Speak TLS with this certificate; may be repeated, and is then chosen by server name.",
        metavar="FILE",
        section="TLS",
    )
    ssl_keyfile: tuple[str, ...] = _option(
        (), "Its private key, if that is in another file; one for each.", metavar="FILE"
    )
    ssl_keyfile_password: str | None = _option(
        None, "What decrypts the private keys.", metavar="TEXT"
    )
    ssl_ca_certs: str | None = _option(
        None, "Ask clients for certificates that these authorities have signed.", metavar="FILE"
    )
    ssl_cert_reqs: Literal["optional", "required"] | None = _option(
        None, "Whether a client must have one (default: required)."
    )
    ssl_ciphers: str | None = _option(
        None, "Ciphers of TLS 1.2, as OpenSSL names them.", metavar="NAMES"
    )
    timeout_handshake: float = _option(10.0, "How long a handshake of TLS may take.", least=0)

    proxy_headers: bool = _option(
        True,
        "Believe Forwarded and X-Forwarded-* of --forwarded-allow-ips.",
        section="Behind a proxy",
    )
    forwarded_allow_ips: str = _option(
        "127.0.0.1,::1",
        "Who is believed: addresses and networks with commas between, unix, or * for all.",
        metavar="LIST",
    )
    proxy_protocol: str | None = _option(
        None,
        "Connections from these begin with a header of the PROXY protocol.",
        metavar="LIST",
    )

    header: tuple[str, ...] = _option(
        (),
        "A field that each response gets; may be repeated.",
        metavar="NAME:VALUE",
        section="Responses",
    )
    server_header: bool = _option(True, "Send a Server field.")

    ws_max_size: int = _option(
        16 * 1024 * 1024, "Longer messages close a WebSocket.", least=1, section="WebSocket"
    )
    ws_ping_interval: float = _option(
        20.0, "Ask a silent WebSocket so often whether it lives; 0: never.", least=0
    )
    ws_ping_timeout: float = _option(20.0, "How long it may take to answer.", least=0)
    ws_per_message_deflate: bool = _option(True, "Compress messages if the client can.")

    access_log: Literal["off", "common", "combined", "json"] = _option(
        "off",
        "Write a line for each request; without a word, common.",
        flag_value="common",
        section="Seen from outside",
    )
    access_log_file: str = _option("-", "Where to; -: standard output.", metavar="FILE")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = _option(
        "info", "What is logged, on the standard error."
    )
    log_config: str | None = _option(
        None, "A configuration of Python's logging: .json, .toml, .yaml or .ini.", metavar="FILE"
    )
    metrics: str | None = _option(None, "Serve Prometheus metrics there.", metavar="ADDRESS")
    health: bool = _option(
        False, "Answer /healthz and /readyz, which turns to 503 when the server is to end."
    )
    drain_delay: float = _option(
        0.0,
        "On SIGTERM, go on as before for so long, but for /readyz: until balancers have noticed.",
        least=0,
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            least, most = item.metadata["least"], item.metadata["most"]
            value = getattr(self, item.name)
            if value is None:
                continue
            if least is not None and not value >= least:
                raise ConfigError(f"{_shown(item.name)} is {least:g} or more, not {value}")
            if most is None and isinstance(value, float):
                most = _MOST_SECONDS
            if most is not None and value > most:
                raise ConfigError(f"{_shown(item.name)} is {most} or less, not {value}")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port is from 0 to 65535, not {self.port}")
        if 0 < self.timeout_worker < 1:
            raise ConfigError(f"--timeout-worker is 1 or more, or 0, not {self.timeout_worker}")
        if not self.host:
            raise ConfigError("--host is an address or a name; 0.0.0.0 and :: are all of them")
        self._check_contradictions()
        self.addresses()
        self.fields()
        self.metrics_address()
        self.proxy_protocol_networks()

    def _check_contradictions(self) -> None:
        places = [
            _shown(name) for name in ("unix", "fd", "bind") if getattr(self, name) not in (None, ())
        ]
        if places and (self.host, self.port) != (Config.host, Config.port):
            places.insert(0, "--host/--port")
        if len(places) > 1:
            raise ConfigError(f"{' and '.join(places)} say two things about where to listen")
        if self.reload and self.workers > 1:
            raise ConfigError("--reload serves with one process: it cannot go with --workers")
        if self.reload and self.preload:
            raise ConfigError("--reload needs the newest code: it cannot go with --preload")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ConfigError("--ssl-keyfile needs --ssl-certfile")
        if self.ssl_keyfile and len(self.ssl_keyfile) != len(self.ssl_certfile):
            raise ConfigError("there are as many --ssl-keyfile as --ssl-certfile, or none")
        for name in ("ssl_ca_certs", "ssl_ciphers", "ssl_keyfile_password"):
            if getattr(self, name) and not self.ssl_certfile:
                raise ConfigError(f"{_shown(name)} needs --ssl-certfile")
        if self.ssl_cert_reqs is not None and not self.ssl_ca_certs:
            raise ConfigError("--ssl-cert-reqs needs --ssl-ca-certs")
        if self.limit_max_requests_jitter and self.limit_max_requests is None:
            raise ConfigError("--limit-max-requests-jitter needs --limit-max-requests")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigError(
                f"--root-path begins with a slash and ends without one, not {self.root_path!r}"
            )
        if not self.root_path.isprintable() or set(self.root_path) & set("?#"):
            raise ConfigError(f"--root-path {self.root_path!r} is no path")

    # ---- what the options mean -----------------------------------------------------------

    def addresses(self) -> list[Address]:
        """Where to listen.  Raises `ConfigError` for what is no address."""
        if self.unix is not None:
            return [_read_address(f"unix:{self.unix}", "--unix")]
        if self.fd is not None:
            return [Address(fd=self.fd)]
        if self.bind:
            return [_read_address(text, "--bind") for text in self.bind]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return [_read_address(f"{host}:{self.port}", "--host")]

    def metrics_address(self) -> Address | None:
        """Where the metrics are served, if anywhere.  Raises `ConfigError` for no address."""
        return None if self.metrics is None else _read_address(self.metrics, "--metrics")

    @property
    def says_where(self) -> bool:
        """Whether anything was said about where to listen."""
        own = (self.host, self.port) != (Config.host, Config.port)
        return own or self.unix is not None or self.fd is not None or bool(self.bind)

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of --header.  Raises `ConfigError` for what cannot be one."""
        pairs = []
        for text in self.header:
            name, colon, value = text.partition(":")
            if not colon:
                raise ConfigError(f"--header is written NAME:VALUE, not {text!r}")
            try:
                pairs.append((name.strip().encode("ascii"), value.strip().encode("latin-1")))
            except UnicodeError:
                raise ConfigError(f"--header {text!r}: not the letters of a header") from None
            if pairs[-1][0].lower() in _FRAMING:
                raise ConfigError(f"--header {text!r}: that is the server's to say")
            try:
                FieldLines(pairs[-1:])
            except ValueError as error:
                raise ConfigError(f"--header: {error}") from None
        return pairs

    def proxy_protocol_networks(self) -> list[str]:
        """Whose connections begin with a header.  Raises `ConfigError` for what is no network."""
        texts = [text.strip() for text in (self.proxy_protocol or "").split(",") if text.strip()]
        try:
            Networks(texts)
        except ValueError as error:
            raise ConfigError(f"--proxy-protocol: {error}") from error
        return texts

    # ---- where they come from ------------------------------------------------------------

    @classmethod
    def load(
        cls,
        given: Mapping[str, Any],
        *,
        environment: Mapping[str, str] | None = None,
        project: Path | None = None,
    ) -> "Config":
        """Put a configuration together.

        - ``given``: options by their Python names, which count most;
        - ``environment``: variables; those of the process if None;
        - ``project``: a pyproject.toml; that of the working directory if None.

        Raises `ConfigError`, which names the option and where it stands.
        """
        merged = _from_project(Path("pyproject.toml") if project is None else project)
        merged.update(_from_environment(os.environ if environment is None else environment))
        places = [name for name in ("host", "port", "unix", "fd", "bind") if name in given]
        if places:  # said anew, and as a whole
            for name in ("host", "port", "unix", "fd", "bind"):
                merged.pop(name, None)
        merged.update(given)
        return cls.of(merged)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Config":
        """Make one from options by their Python names.  Raises `ConfigError`."""
        for name in given:
            if name not in _TYPES:
                raise ConfigError(f"there is no option {name!r}{_hint(name, _TYPES)}")
        return cls(**{name: _read(name, value, _shown(name)) for name, value in given.items()})


def options() -> list["dataclasses.Field[Any]"]:
    """The options in their order, for a command line."""
    return list(dataclasses.fields(Config))


def env_file_of(given: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """Where the variables are that have to be set before `Config.load` looks at them."""
    if given.get("env_file") is not None:
        return str(given["env_file"])
    if PREFIX + "ENV_FILE" in environment:
        return environment[PREFIX + "ENV_FILE"]
    path = _from_project(Path("pyproject.toml")).get("env_file")
    return None if path is None else str(path)


def _from_project(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    table = table.get("tool", {}).get("yolanda", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {TABLE} is a table")
    found = {}
    for name, value in table.items():
        key = name.replace("-", "_")
        if key not in _TYPES:
            raise ConfigError(f"{path}: {TABLE} has no option {name!r}{_hint(key, _TYPES, '-')}")
        found[key] = _read(key, value, f"{path}: {name}")
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _TYPES:
            if name == "port" and value.startswith("tcp://"):
                continue  # Kubernetes sets it for a service that is called yolanda
            found[name] = _read(name, value, variable)
        elif near := difflib.get_close_matches(name, _TYPES, 1, cutoff=0.85):
            # Others may have names of that kind; a slip of the pen is what is told.
            raise ConfigError(f"{variable} is no option; did you mean {PREFIX}{near[0].upper()}?")
    return found


def _read(name: str, value: object, place: str) -> Any:
    """Understand ``value``, which may be text, as the option ``name``."""
    try:
        return _TYPES[name](value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {error}") from None


def _read_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{value!r} is no whole number")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value!r} is no whole number") from None


def _read_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is no number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"{value!r} is no number of seconds")
    return number


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(f"{value!r} is neither true nor false")


def _read_text(value: object) -> str:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{value!r} is no text")
    return os.fspath(value)


def _read_texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(map(_read_text, value))
    raise TypeError(f"{value!r} is no list of texts")


def _one_of(words: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return read


def _reader(kind: Any) -> Callable[[object], Any]:
    """What reads a value of the type ``kind``."""
    if get_origin(kind) in (Union, types.UnionType):
        inner = _reader(next(part for part in get_args(kind) if part is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if get_origin(kind) is Literal:
        return _one_of(get_args(kind))
    if get_origin(kind) is tuple:
        return _read_texts
    return {int: _read_int, float: _read_float, bool: _read_bool, str: _read_text}[kind]


_TYPES = {name: _reader(kind) for name, kind in get_type_hints(Config).items()}


def _read_address(text: str, option: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise ConfigError(f"{option}: {error}") from None


def _shown(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _hint(name: str, known: Mapping[str, object], separator: str = "_") -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0].replace('_', separator)!r}?" if near else ""
