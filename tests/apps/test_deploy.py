"""The files of deploy/, as they stand there: nginx and HAProxy in front for real, and the others as
far as they can be tried without the machine that they are for."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from websockets.sync.client import connect

from yolanda.apps.config import options

from .conftest import PATIENCE, Client, Load, Service, alive, get, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"

Serve = Callable[..., Service]
Reserve = Callable[[], int]


def find_program(name: str) -> str:
    """Find a program, also where only root's PATH leads, or skip the test."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextlib.contextmanager
def running(command: list[str], port: int, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a proxy until the end of the test, from when it takes connections."""
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)

    def answers() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return False
        return True

    try:
        wait_until(answers)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Replace what must stand in ``text``."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


# ---- nginx -------------------------------------------------------------------------------


@pytest.fixture
def nginx(reserve_port: Reserve, tmp_path: Path) -> Iterator[Callable[[int], int]]:
    """Start nginx before the application on a port; return nginx's own."""
    with contextlib.ExitStack() as stack:

        def start(upstream: int) -> int:
            program = find_program("nginx")
            folder = tmp_path / "nginx"
            folder.mkdir(mode=0o755)
            os.chmod(tmp_path, 0o755)  # nginx's worker is another user when root starts it
            port = reserve_port()
            text = replaced(
                (DEPLOY / "nginx.conf").read_text(),
                ("listen 80;", f"listen 127.0.0.1:{port};"),
                ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
                ("http {\n", "http {\n    access_log off;\n" + temporary_folders(folder)),
            )
            head = f"daemon off;\npid {folder}/pid;\nerror_log stderr warn;\nworker_processes 1;\n"
            if os.geteuid() == 0:
                head += "user root;\n"  # the folders of a test are root's alone
            configuration = folder / "nginx.conf"
            configuration.write_text(head + text)
            command = [program, "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
            checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr
            stack.enter_context(running(command, port, folder / "output"))
            return port

        yield start


def temporary_folders(folder: Path) -> str:
    names = {"client_body": "body", "proxy": "proxy", "fastcgi": "f", "uwsgi": "u", "scgi": "s"}
    return "".join(f"    {name}_temp_path {folder}/{last};\n" for name, last in names.items())


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
def test_nginx_keeps_its_connections_and_names_the_client(
    serve_app: Serve, nginx: Callable[[int], int], tmp_path: Path, app: str
) -> None:
    service = serve_app("--metrics", "127.0.0.1:0", app=app)
    port = nginx(service.address)
    forged = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4"]
    with Client(port) as client:
        seen = [json.loads(client.ask("/scope", *forged)) for _ in range(10)]
    assert {told["client"] for told in seen} == {"127.0.0.1"}
    assert {told["scheme"] for told in seen} == {"http"}
    assert {told["host"] for told in seen} == {"test"}
    assert "203.0.113.9" not in str(seen)
    assert {told["forwarded"] for told in seen} == {""}
    metrics = get(service.metrics_port, "/metrics")
    assert "yolanda_connections_accepted_total 1.0\n" in metrics
    assert 'yolanda_http_requests_total{method="GET",status="200"} 10.0\n' in metrics


def test_a_websocket_through_nginx(serve_app: Serve, nginx: Callable[[int], int]) -> None:
    service = serve_app("--metrics", "127.0.0.1:0")
    port = nginx(service.address)
    with connect(f"ws://127.0.0.1:{port}/ws", open_timeout=PATIENCE) as websocket:
        websocket.send("hello")
        assert websocket.recv(PATIENCE) == "hello"
        assert "yolanda_websockets 1.0\n" in get(service.metrics_port, "/metrics")
    assert get(port)


def test_an_upload_through_nginx(serve_app: Serve, nginx: Callable[[int], int]) -> None:
    port = nginx(serve_app().address)
    body = b"x" * (1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        head = (
            b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        )
        client.sendall(head % len(body) + body)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.endswith(b"\r\n\r\n%d\n" % len(body))


def test_rolling_restarts_behind_nginx_fail_no_request(
    serve_app: Serve, nginx: Callable[[int], int]
) -> None:
    service = serve_app("--workers", "2")
    with Load(nginx(service.address)) as load:
        for _ in range(2):
            load.more(50)
            before = service.workers()
            service.send(signal.SIGHUP)
            wait_until(lambda before=before: not any(map(alive, before)))
        load.more(50)
    assert load.failures == []


def test_what_one_reads_in_two_ways_passes_neither(
    serve_app: Serve, nginx: Callable[[int], int], tmp_path: Path
) -> None:
    service = serve_app("--access-log", "--access-log-file", "log")
    port = nginx(service.address)
    smuggle(port)
    with Client(port) as client:
        client.ask("/last")
    log = tmp_path / "log"
    wait_until(lambda: "/last" in log.read_text())
    assert "smuggled" not in log.read_text()


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
SMUGGLERS = [
    LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    LENGTH + b"Content-Length: 0\r\n\r\n",
    LENGTH + b"Transfer-Encoding: xchunked\r\n\r\n",
    LENGTH + b"Transfer-Encoding : chunked\r\n\r\n",
    LENGTH + b"Transfer-Encoding:\x0bchunked\r\n\r\n",
    LENGTH + b"\r\n",
]
"""Ends of heads, behind which stands what may be a body or another request."""


def smuggle(port: int) -> None:
    for end in SMUGGLERS:
        for method in (b"GET", b"POST"):
            exchange(port, method + b" /a HTTP/1.1\r\nHost: a\r\n" + end + SMUGGLED)


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes, end the stream, and return what comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                answer += piece
        return answer


# ---- HAProxy -----------------------------------------------------------------------------


class HaProxy:
    """HAProxy before applications that have ports which were chosen for them."""

    def __init__(self, reserve: Reserve, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._output = folder / "haproxy.out"
        self._stack = stack
        self.web, self.tls = reserve(), reserve()
        self.one, self.two, self.behind_tls = reserve(), reserve(), reserve()
        self.metrics_one, self.metrics_two, self.metrics_tls = reserve(), reserve(), reserve()

    def start(self) -> None:
        """Start it as soon as a server behind it is up."""
        program = find_program("haproxy")
        text = replaced(
            (DEPLOY / "haproxy.cfg").read_text(),
            ("bind :80\n", f"bind 127.0.0.1:{self.web}\n"),
            ("bind :443\n", f"bind 127.0.0.1:{self.tls}\n"),
            ("127.0.0.1:8000 port 9000", f"127.0.0.1:{self.one} port {self.metrics_one}"),
            ("127.0.0.1:8001 port 9001", f"127.0.0.1:{self.two} port {self.metrics_two}"),
            ("127.0.0.1:8443 send", f"127.0.0.1:{self.behind_tls} send"),
            ("check port 9443", f"check port {self.metrics_tls}"),
        )
        configuration = self._folder / "haproxy.cfg"
        configuration.write_text(text)
        checked = subprocess.run(
            [program, "-c", "-f", str(configuration)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        command = [program, "-db", "-f", str(configuration)]
        self._stack.enter_context(running(command, self.web, self._output))

    def expect(self, text: str) -> None:
        """Wait until it has said so."""
        wait_until(lambda: text in self._output.read_text())


@pytest.fixture
def haproxy(reserve_port: Reserve, tmp_path: Path) -> Iterator[HaProxy]:
    find_program("haproxy")
    with contextlib.ExitStack() as stack:
        yield HaProxy(reserve_port, tmp_path, stack)


def at(port: int, metrics: int) -> list[str]:
    return ["--bind", f"127.0.0.1:{port}", "--metrics", f"127.0.0.1:{metrics}"]


def answered_by(port: int) -> int:
    """The process that answers, or 0 if it is HAProxy itself."""
    try:
        return int(get(port).split()[0])
    except (AssertionError, EOFError):
        return 0


def test_haproxy_names_the_client_and_carries_websockets(
    serve_app: Serve, haproxy: HaProxy, tmp_path: Path
) -> None:
    log_options = ["--access-log", "--access-log-file", "log"]
    one = serve_app(*at(haproxy.one, haproxy.metrics_one), *log_options, port=None)
    two = serve_app(*at(haproxy.two, haproxy.metrics_two), *log_options, port=None)
    one.expect("serving")
    two.expect("serving")
    haproxy.start()
    forged = ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=1.2.3.4"]
    with Client(haproxy.web) as client:
        told = json.loads(client.ask("/scope", *forged))
    assert (told["client"], told["scheme"], told["forwarded"]) == ("127.0.0.1", "http", "")
    with connect(f"ws://127.0.0.1:{haproxy.web}/ws", open_timeout=PATIENCE) as websocket:
        websocket.send("hello")
        assert websocket.recv(PATIENCE) == "hello"
    smuggle(haproxy.web)
    with Client(haproxy.web) as client:
        client.ask("/last")
    log = tmp_path / "log"
    wait_until(lambda: "/last" in log.read_text())
    assert "smuggled" not in log.read_text()


def test_haproxy_turns_to_the_other_before_one_ends(serve_app: Serve, haproxy: HaProxy) -> None:
    delay = ["--drain-delay", "1000"]  # longer than it takes to find out, however slow all is
    one = serve_app(*at(haproxy.one, haproxy.metrics_one), *delay, port=None)
    two = serve_app(*at(haproxy.two, haproxy.metrics_two), *delay, port=None)
    one.expect("serving")
    two.expect("serving")
    haproxy.start()
    wait_until(lambda: answered_by(haproxy.web) == one.pid)
    wait_until(lambda: answered_by(haproxy.web) == two.pid)
    with Load(haproxy.web) as load:
        load.more(50)
        one.send(signal.SIGTERM)
        one.expect("not ready any more")
        haproxy.expect("Server app/one is DOWN")
        load.more(50)  # by the other, while what this one has begun comes to its end
        idle = "yolanda_http_requests_in_flight 0.0\n"
        wait_until(lambda: idle in get(haproxy.metrics_one, "/metrics"))
        one.send(signal.SIGQUIT)
        assert one.wait() == 0
        load.more(50)
    assert load.failures == []
    assert load.by == {one.pid, two.pid}
    assert answered_by(haproxy.web) == two.pid


def test_the_proxy_protocol_through_haproxy(
    serve_app: Serve, haproxy: HaProxy, tmp_path: Path
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    service = serve_app(
        *at(haproxy.behind_tls, haproxy.metrics_tls),
        *("--ssl-certfile", "server.pem", "--proxy-protocol", "127.0.0.1"),
        *("--access-log", "--access-log-file", "log"),
        port=None,
    )
    service.expect("serving")
    haproxy.start()
    command = [find_program("curl"), "-sS", "--noproxy", "*", "--cacert", str(tmp_path / "ca.pem")]
    command += ["--interface", "127.0.0.2", f"https://localhost:{haproxy.tls}/scope", "-4"]

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    wait_until(lambda: ask().returncode == 0)  # once the server behind is known to be up
    told = json.loads(ask().stdout)
    assert (told["client"], told["scheme"]) == ("127.0.0.2", "https")
    wait_until(lambda: (tmp_path / "log").read_text().startswith("127.0.0.2 - - ["))


# ---- what is for other machines ----------------------------------------------------------


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    program = find_program("systemd-analyze")
    yolanda = Path(sys.executable).with_name("yolanda")
    for name in ("app.service", "app.socket"):
        text = (DEPLOY / "systemd" / name).read_text()
        text = text.replace("/opt/app/.venv/bin/yolanda", str(yolanda))
        (tmp_path / name).write_text(text.replace("/opt/app", str(tmp_path)))
    units = [str(tmp_path / "app.service"), str(tmp_path / "app.socket")]
    command = [program, "verify", "--man=no", "--recursive-errors=no", *units]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "app." not in checked.stderr


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """The commands of all files, and where they stand."""
    unit = (DEPLOY / "systemd" / "app.service").read_text()
    found = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    assert found
    yield "systemd", shlex.split(found[1].replace("\\\n", " "))
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    found = re.search(r"^CMD (\[(?:.*\\\n)*.*)$", dockerfile, re.MULTILINE)
    assert found
    yield "docker", json.loads(found[1].replace("\\\n", " "))
    yield "kubernetes", container()["args"]
    for name in ("nginx.conf", "haproxy.cfg"):
        text = (DEPLOY / name).read_text().replace("\\\n#", " ")
        for line in re.findall(r"^#   (yolanda serve .*)$", text, re.MULTILINE):
            yield name, shlex.split(line)


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def container() -> dict[str, Any]:
    (found,) = documents()[0]["spec"]["template"]["spec"]["containers"]
    return dict(found)


LINES = [pytest.param(command, id=where) for where, command in command_lines()]


@pytest.mark.parametrize("command", LINES)
def test_every_command_is_understood(command: list[str], tmp_path: Path) -> None:
    program, serve, app, *arguments = command
    assert (Path(program).name, serve, app) == ("yolanda", "serve", "main:app")
    names = {f"--{item.name.replace('_', '-')}" for item in options()}
    assert {word.partition("=")[0] for word in arguments if word.startswith("--")} <= names
    # What is wrong with the values is found before the application is looked for.
    words = [
        re.sub(r"^(--(bind|metrics)=)?\S*:\d+$", r"\g<1>127.0.0.1:0", word) for word in arguments
    ]
    words = [re.sub(r"^/(run|var/log)/app/", f"{tmp_path}/", word) for word in words]
    port = [] if any(word.startswith("--bind") for word in words) else ["--bind", "127.0.0.1:0"]
    if "--port" in words:
        port = []
        words[words.index("--port") + 1] = "0"
    words = [word for word in words if not word.startswith(("--ssl", "server.pem"))]
    answer = subprocess.run(
        [sys.executable, "-m", "yolanda", "serve", "no_such_module:app", *words, *port],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=tmp_path,
        check=False,
    )
    assert answer.returncode in (1, 3)
    assert "there is no module 'no_such_module'" in answer.stderr, answer.stderr


def seconds(command: list[str], option: str, default: float) -> float:
    text = " ".join(command)
    found = re.search(rf"{option}[= ](\S+)", text)
    return float(found[1]) if found else default


@pytest.mark.parametrize("where", ["systemd", "docker", "kubernetes"])
def test_nobody_is_killed_before_its_time(where: str) -> None:
    command = dict(command_lines())[where]
    needed = 5.0  # what the master gives beyond
    needed += seconds(command, "--drain-delay", 0)
    needed += seconds(command, "--timeout-graceful-shutdown", 30)
    if where == "systemd":
        unit = (DEPLOY / "systemd" / "app.service").read_text()
        patience = float(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0])
    elif where == "docker":
        services = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())["services"]
        patience = float(services["app"]["stop_grace_period"].removesuffix("s"))
    else:
        patience = documents()[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert patience > needed or patience == needed + 5


def test_kubernetes_asks_where_there_are_answers() -> None:
    deployment, service = documents()
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert f"--bind=:{ports['http']}" in container()["args"]
    assert f"--metrics=:{ports['metrics']}" in container()["args"]
    probes = {kind: container()[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"metrics"}
    found_out = probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]
    assert found_out < seconds(container()["args"], "--drain-delay", 0)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] in ports
