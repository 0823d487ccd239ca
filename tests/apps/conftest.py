"""A master with its workers as real processes, and clients that notice every failed request."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import wait_until

PATIENCE = 40.0  # seconds after which a test that waits for something has failed
PROGRAM = Path(__file__).parent / "served_program.py"


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Served:
    """The program of a test in a session of its own; its lines are kept."""

    def __init__(self, command: list[str], **popen: Any) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, start_new_session=True, text=True, **popen
        )
        self._reader = threading.Thread(target=self._read, name="reader of a master")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        with self._changed:
            return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def expect(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until so many lines match; the first group of each, or the whole match."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                found = [m for line in self.lines if (m := re.search(pattern, line))]
                if len(found) >= times:
                    return [m[1] if m.groups() else m[0] for m in found]
                said = "\n".join(self.lines)
                assert not self._ended, f"it ended without {pattern!r}:\n{said}"
                assert self._changed.wait(end - time.monotonic()), f"no {pattern!r}:\n{said}"

    def port(self) -> int:
        return int(self.expect(r"listening on \S*:(\d+)")[0])

    def workers(self) -> set[int]:
        """The processes that the master has, the dying among them."""
        listed = subprocess.run(
            ["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False
        )
        return {int(pid) for pid in listed.stdout.split() if alive(int(pid))}

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()


class Client:
    """A connection that knows as much of HTTP as it must."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.closing = False  # the server has said that it closes

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, path: str = "/", *fields: str) -> None:
        lines = [f"GET {path} HTTP/1.1", "Host: test", *fields, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def read(self) -> str:
        """The body of a response; raises `OSError` or `EOFError` if there is none."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(data)
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower()
        assert head.startswith(b"http/1.1 200 "), head
        self.closing = b"connection: close" in head
        found = re.search(rb"content-length: (\d+)", head)
        assert found, head
        while len(body) < int(found[1]):
            body += self._receive(body)
        return body.decode()

    def ask(self, path: str = "/", *fields: str) -> str:
        self.send(path, *fields)
        return self.read()

    def _receive(self, so_far: bytes) -> bytes:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(f"the connection ended after {so_far!r}")
        return piece


def get(port: int, path: str = "/") -> str:
    """One request on a connection of its own; raises `OSError` or `EOFError` if it fails."""
    with Client(port) as client:
        return client.ask(path, "Connection: close")


class Load:
    """Clients that ask on and on, some on one connection, some on a new one for each request."""

    def __init__(self, port: int, keeping: int = 3, fresh: int = 3) -> None:
        self.port = port
        self.served = 0
        self.by: set[int] = set()  # the processes that answered
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=work, name="client")
            for work in [self._keep] * keeping + [self._renew] * fresh
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def more(self, requests: int = 100) -> None:
        """Wait until so many more were answered."""
        wanted = self.served + requests
        wait_until(lambda: self.served >= wanted)

    def _note(self, answer: str) -> None:
        with self._lock:
            self.served += 1
            self.by.add(int(answer.split()[0]))

    def _renew(self) -> None:
        while not self._done.is_set():
            try:
                self._note(get(self.port))
            except (OSError, EOFError) as error:
                self.failures.append(f"on a new connection: {error!r}")

    def _keep(self) -> None:
        while not self._done.is_set():
            with Client(self.port) as client:
                try:
                    while not (client.closing or self._done.is_set()):
                        self._note(client.ask())
                except (OSError, EOFError) as error:
                    self.failures.append(f"on a kept connection: {error!r}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start masters: ``start(workers=2, ...)``, with the options of `Master` and the program's."""
    started: list[Served] = []

    def launch(*, popen: dict[str, Any] | None = None, **options: Any) -> Served:
        options.setdefault("folder", str(tmp_path))
        command = [sys.executable, str(PROGRAM), json.dumps(options)]
        served = Served(command, **(popen or {}))
        started.append(served)
        return served

    yield launch
    for served in started:
        served.close()


@pytest.fixture
def reserve_port() -> Iterator[Callable[[], int]]:
    """Get ports for those who must be told theirs: nobody else is given one during the test.

    The kernel chooses no port that a socket is bound to, and lets a second socket bind it and
    listen if both have SO_REUSEADDR and the first does not listen.
    """
    with contextlib.ExitStack() as stack:

        def reserve() -> int:
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            return int(holder.getsockname()[1])

        yield reserve


class Service(Served):
    """``yolanda serve`` with an application of ``observed_app.py``."""

    @property
    def address(self) -> int:
        """The port where it serves, once it does."""
        return int(self.expect(r"serving https?://\S+:(\d+)/")[0])

    @property
    def metrics_port(self) -> int:
        return int(self.expect(r"metrics on \S+:(\d+)$")[0])


@pytest.fixture
def serve_app(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services: ``serve_app("--workers", "2", app="observed_app:app")``."""
    started: list[Service] = []

    def launch(
        *options: str,
        app: str = "observed_app:app",
        port: int | None = 0,
        environment: dict[str, str] | None = None,
        **popen: Any,
    ) -> Service:
        command = [sys.executable, "-m", "yolanda", "serve", app]
        command += [] if port is None else ["--port", str(port)]
        command += ["--app-dir", str(PROGRAM.parent), *options]
        popen.setdefault("stdout", subprocess.DEVNULL)
        service = Service(command, cwd=tmp_path, env={**os.environ, **(environment or {})}, **popen)
        started.append(service)
        return service

    yield launch
    for service in started:
        service.close()
