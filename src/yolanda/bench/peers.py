"""How each server of HTTP is started: one process, no access log, connections that stay."""

import os
import subprocess
import sys
from pathlib import Path

from yolanda.bench import tools
from yolanda.bench.contenders import Command, Contender
from yolanda.bench.servers.pages import LARGE, PAGE

SERVERS = Path(__file__).with_name("servers")
THREADS = 8  # of a server of WSGI applications
CONNECTIONS = 16384  # that a server must take, where it asks
PATIENCE = 600  # seconds for which a connection may be idle, where a server asks
GRANIAN_PATIENCE = 60_000  # milliseconds: the longest that it allows

_NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {connections};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    server_tokens off;
    default_type text/html;
    keepalive_requests 1000000000;
    keepalive_timeout {patience}s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096{ssl};
        {lines}
    }}
}}
"""

PAGES = f"""\
location / {{ return 200 "{PAGE.decode()}"; }}
        location = /large {{ root {{folder}}; sendfile on; open_file_cache max=10; }}
        location = /upload {{ client_max_body_size 2m; return 200 $content_length; }}
"""
"""The lines of nginx for what stands in `servers.pages`."""


def python(*parts: str) -> list[str]:
    """Return the command that runs this Python; the parts are words with spaces between."""
    return [sys.executable, *" ".join(parts).split()]


def script(name: str, *arguments: str) -> Command:
    """Return the command of a program of `servers`, which is given its port first."""
    return lambda port, folder: [sys.executable, str(SERVERS / name), str(port), *arguments]


def nginx(lines: str = PAGES, ssl: str = "", connections: int = CONNECTIONS) -> Contender:
    """Nginx with one worker; ``lines`` stand in its server block, ``{folder}`` is its own.

    It makes room for so many ``connections`` when it starts.
    """

    def command(port: int, folder: Path) -> list[str]:
        (folder / "large").write_bytes(LARGE)
        values = {"folder": folder, "port": port, "connections": connections, "ssl": ssl}
        text = _NGINX.format(
            **values, patience=PATIENCE, lines=lines.replace("{folder}", str(folder))
        )
        configuration = folder / "nginx.conf"
        configuration.write_text(text)
        program = tools.find("nginx") or "nginx"
        return [program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]

    return Contender("nginx", command, program="nginx")


# ---- servers of ASGI applications: ``app`` is a module of `servers` ------------------------------


def uvicorn(
    app: str = "asgi_app", *, name: str = "uvicorn", options: str = "--ws none", workers: int = 1
) -> Contender:
    """Uvicorn with httptools."""

    def command(port: int, folder: Path) -> list[str]:
        return python(
            f"-m uvicorn {app}:app --app-dir {SERVERS} --host 127.0.0.1 --port {port}",
            f"--loop uvloop --http httptools --lifespan off --no-access-log {options}",
            f"--log-level warning --backlog 4096 --timeout-keep-alive {PATIENCE}",
            f"--workers {workers}",
        )

    return Contender(name, command, ("uvicorn", "uvloop", "httptools", *framework(app)))


def gunicorn_with_uvicorn(app: str = "asgi_app") -> Contender:
    """Gunicorn, whose worker is uvicorn."""

    def command(port: int, folder: Path) -> list[str]:
        worker = "uvicorn_worker.UvicornWorker"
        return _gunicorn(app, port, folder, f"--worker-class {worker}")

    return Contender("gunicorn", command, ("gunicorn", "uvicorn_worker", "uvloop", *framework(app)))


def hypercorn(app: str = "asgi_app") -> Contender:
    """Hypercorn."""

    def command(port: int, folder: Path) -> list[str]:
        return with_variable(
            f"PYTHONPATH={SERVERS}",
            f"-m hypercorn {app}:app --bind 127.0.0.1:{port} --workers 1 --worker-class uvloop",
            f"--log-level WARNING --backlog 4096 --keep-alive {PATIENCE}",
        )

    return Contender("hypercorn", command, ("hypercorn", "uvloop", *framework(app)))


def granian(app: str = "asgi_app", *, options: str = "--no-ws", workers: int = 1) -> Contender:
    """Granian, each worker with one thread for its runtime."""

    def command(port: int, folder: Path) -> list[str]:
        return python(
            f"-m granian {app}:app --working-dir {SERVERS} --host 127.0.0.1 --port {port}",
            f"--interface asgi --loop uvloop --http 1 --no-access-log {options}",
            "--runtime-threads 1 --runtime-mode st --log-level warning --backlog 4096",
            f"--http1-header-read-timeout {GRANIAN_PATIENCE} --backpressure {CONNECTIONS}",
            f"--workers {workers}",
        )

    return Contender("granian", command, ("granian", "uvloop", *framework(app)))


def yolanda_serve(
    app: str = "asgi_app", *, name: str = "yolanda", options: str = "", workers: int = 1
) -> Contender:
    """`yolanda serve`, for ASGI and WSGI applications."""

    def command(port: int, folder: Path) -> list[str]:
        return python(
            f"-m yolanda serve {app}:app --app-dir {SERVERS} --port {port} --threads {THREADS}",
            f"--workers {workers} --loop uvloop --log-level warning --backlog 4096",
            f"--timeout-keep-alive {PATIENCE} {options}",
        )

    return Contender(name, command, ("yolanda", "httptools", "uvloop", *framework(app)))


# ---- servers of WSGI applications ----------------------------------------------------------------


def gunicorn(app: str = "wsgi_app") -> Contender:
    """Gunicorn with threads."""

    def command(port: int, folder: Path) -> list[str]:
        return _gunicorn(app, port, folder, f"--worker-class gthread --threads {THREADS}")

    return Contender("gunicorn", command, ("gunicorn", *framework(app)))


def granian_wsgi(app: str = "wsgi_app") -> Contender:
    """Granian with threads."""

    def command(port: int, folder: Path) -> list[str]:
        return python(
            f"-m granian {app}:app --working-dir {SERVERS} --host 127.0.0.1 --port {port}",
            f"--interface wsgi --http 1 --no-ws --workers 1 --blocking-threads {THREADS}",
            f"--log-level warning --backlog 4096 --backpressure {CONNECTIONS}",
        )

    return Contender("granian", command, ("granian", *framework(app)))


def waitress(app: str = "wsgi_app") -> Contender:
    """Waitress."""

    def command(port: int, folder: Path) -> list[str]:
        return with_variable(
            f"PYTHONPATH={SERVERS}",
            f"-m waitress --listen=127.0.0.1:{port} --threads={THREADS}",
            f"--connection-limit={CONNECTIONS} {app}:app",
        )

    return Contender("waitress", command, ("waitress", *framework(app)))


# ---- what several need ---------------------------------------------------------------------------


def with_variable(variable: str, *parts: str) -> list[str]:
    """Return a command of this Python with a variable of its own: ``"NAME=value"``."""
    return ["env", variable, *python(*parts)]


def _gunicorn(app: str, port: int, folder: Path, options: str) -> list[str]:
    return with_variable(
        f"HOME={folder}",  # it leaves a socket there
        f"-m gunicorn {app}:app --chdir {SERVERS} --bind 127.0.0.1:{port} --workers 1 {options}",
        f"--keep-alive {PATIENCE} --backlog 4096 --worker-connections {CONNECTIONS}",
        f"--worker-tmp-dir {folder} --log-level warning",
    )


def framework(app: str) -> tuple[str, ...]:
    """Return the module that an application of `servers` needs: ``flask`` for ``flask_app``."""
    name = app.removesuffix("_app")
    return (name,) if name in ("fastapi", "flask", "starlette") else ()


def certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate for localhost, with the kind of key that most sites have today."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command += f" -out {certificate} -keyout {key}"
    subprocess.run(command.split(), check=True, capture_output=True)
    os.chmod(key, 0o644)  # nginx's worker is another user; the folder is gone in seconds
    return certificate, key
