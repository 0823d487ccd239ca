"""Who is measured: how each server is started, on which core, and how it is stopped."""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from servers.page import PAGE

SERVERS = Path(__file__).resolve().parent / "servers"
START_TIMEOUT = 15.0  # seconds until a server must answer
STOP_TIMEOUT = 5.0  # seconds from SIGTERM to SIGKILL

NGINX_CONFIGURATION = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    server_tokens off;
    default_type text/html;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            return 200 "{page}";
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Contender:
    """A server: the command for a port and a folder of its own, and what it cannot do without."""

    name: str
    command: Callable[[int, Path], list[str]]
    modules: tuple[str, ...] = ()
    program: str = ""

    def missing(self) -> str:
        """Say why it cannot take part; empty if it can."""
        if self.program and find_program(self.program) is None:
            return f"{self.program} is not installed"
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return f"no module {', '.join(absent)} in {sys.prefix}" if absent else ""

    def version(self) -> str:
        """Name the version of what is measured."""
        if self.program:
            command = [find_program(self.program) or self.program, "-v"]
            shown = subprocess.run(command, capture_output=True, text=True, check=False)
            return (shown.stderr or shown.stdout).strip().rpartition("/")[2]
        names = [name for name in self.modules if name not in sys.stdlib_module_names]
        versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
        return ", ".join(versions) or f"Python {sys.version.split()[0]}"


def find_program(name: str) -> str | None:
    """Find a program, also where only root's PATH leads."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def script(name: str) -> Callable[[int, Path], list[str]]:
    """A program of `servers`, which is given its port."""
    return lambda port, folder: [sys.executable, str(SERVERS / name), str(port)]


def _nginx(port: int, folder: Path) -> list[str]:
    configuration = folder / "nginx.conf"
    text = NGINX_CONFIGURATION.format(folder=folder, port=port, page=PAGE.decode())
    configuration.write_text(text)
    program = find_program("nginx") or "nginx"
    return [program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]


def _uvicorn(port: int, folder: Path) -> list[str]:
    command = f"-m uvicorn asgi_app:app --app-dir {SERVERS} --host 127.0.0.1 --port {port}"
    command += " --loop uvloop --http httptools --ws none --lifespan off --no-access-log"
    return [sys.executable, *command.split(), "--log-level", "warning", "--backlog", "4096"]


def _granian(port: int, folder: Path) -> list[str]:
    command = f"-m granian asgi_app:app --working-dir {SERVERS} --host 127.0.0.1 --port {port}"
    command += " --interface asgi --loop uvloop --http 1 --no-ws --no-access-log --workers 1"
    command += " --runtime-threads 1 --runtime-mode st --log-level warning --backlog 4096"
    return [sys.executable, *command.split()]


def _yolanda_asgi(port: int, folder: Path) -> list[str]:
    command = f"-m yolanda serve asgi_app:app --app-dir {SERVERS} --port {port} --loop uvloop"
    return [sys.executable, *command.split(), "--log-level", "warning", "--backlog", "4096"]


HTTP = [
    Contender("nginx", _nginx, program="nginx"),
    Contender("uvicorn", _uvicorn, modules=("uvicorn", "uvloop", "httptools")),
    Contender("granian", _granian, modules=("granian", "uvloop")),
    Contender("yolanda", script("yolanda_http.py"), modules=("yolanda", "httptools")),
    Contender("yolanda-asgi", _yolanda_asgi, modules=("yolanda", "httptools", "uvloop")),
]
ECHO = [
    Contender("bare", script("echo_bare.py")),
    Contender("asyncio", script("echo_asyncio.py"), modules=("asyncio",)),
    Contender("uvloop", script("echo_uvloop.py"), modules=("uvloop",)),
    Contender("yolanda", script("echo_yolanda.py"), modules=("yolanda",)),
]


@contextlib.contextmanager
def running(contender: Contender, *cores: int) -> Iterator[tuple[int, int]]:
    """Run a server pinned to some cores; yield its port and its session once it takes connections.

    It has then seen a connection come and go.  For asyncio's sake that has to be so: its 256 KiB
    for each read are mapped and unmapped, at three times the cost of an echo, until the first end
    of a stream lets glibc raise its threshold for that (man 3 mallopt, M_MMAP_THRESHOLD).

    Raises `RuntimeError`, with what it printed, if it ends or does not answer in time.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="yolanda-bench-") as folder:
        os.chmod(folder, 0o755)  # nginx's worker is another user when root starts it
        output = Path(folder) / "output"
        own_cores = os.sched_getaffinity(0)
        with output.open("wb") as stream:
            # Inherited, so that not even the first thread runs anywhere else.
            os.sched_setaffinity(0, cores)
            try:
                server = subprocess.Popen(
                    contender.command(port, Path(folder)),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            finally:
                os.sched_setaffinity(0, own_cores)
        try:
            _wait_until_it_answers(server, port)
            yield port, server.pid
        except Exception as error:
            said = output.read_text(errors="replace")[-2000:].strip()
            raise RuntimeError(f"{contender.name}: {error}\n{said}".rstrip()) from error
        finally:
            _stop(server)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"ended with {server.returncode} before it took a connection")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer in {START_TIMEOUT:.0f} s: {error}") from error
            time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass  # it has had its time
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # nor do its children outlive it
        server.wait()
