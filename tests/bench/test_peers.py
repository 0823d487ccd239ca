"""Those whom `yolanda bench` measures: each starts, does what it shall, is loaded, and stops."""

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from yolanda.bench import contenders, idle, load, peers, processes, processor_time, tools, wrk
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.parts import (
    applications,
    http_peers,
    static_files,
    tcp_peers,
    tls,
    websocket,
    workers,
)
from yolanda.bench.results import CLIENT_BUSY, CLIENT_CPU, ERRORS, SERVER_BUSY, Sample
from yolanda.bench.servers.pages import LARGE, PAGE
from yolanda.programs.chapter34 import http_server01

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
    pytest.mark.timeout(300),
]
needs_wrk = pytest.mark.skipif(tools.find("wrk") is None, reason="there is no wrk")


def ids(contender: Contender) -> str:
    return contender.name


def started(contender: Contender) -> Iterator[Server]:
    if reason := contender.missing():
        pytest.skip(reason)
    with contenders.running(contender, 0) as server:
        yield server
    assert processes.of_session(server.session) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port)).close()


def holds(sample: Sample) -> bool:
    return (
        sample["cpu"] > 0
        and sample["rate"] > 0
        and sample["p99"] >= sample["p50"] > 0
        and sample[CLIENT_CPU] > 0
        and sample[CLIENT_BUSY] > 0
        and sample[SERVER_BUSY] > 0
        and sample[ERRORS] == 0
    )


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from started(request.param)


@needs_wrk
@pytest.mark.parametrize("server", http_peers.CONTENDERS, ids=ids, indirect=True)
def test_a_server_of_pages_answers_rightly_under_load_and_leaves_nothing(server: Server) -> None:
    wrk.check_pages(server)
    assert holds(wrk.run(server, 1, wrk.BROWSER))
    assert wrk.run(server, 1, wrk.UPLOAD, connections=2)[ERRORS] == 0
    assert wrk.run(server, 1, wrk.CHANGING, connections=2)[ERRORS] == 0
    assert holds(load.run_client(server, 0.1, "echo", ("--http", "--connections", "4")))
    assert idle.run(server, 0.1, 20)["idle_cpu"] >= 0


@pytest.mark.parametrize("server", tcp_peers.CONTENDERS, ids=ids, indirect=True)
@pytest.mark.parametrize("size", tcp_peers.SIZES)
def test_an_echo_answers_rightly_under_load(server: Server, size: int) -> None:
    options = ("--connections", "4", "--size", str(size))
    assert holds(load.run_client(server, 0.1, "echo", options))


@pytest.mark.parametrize("server", websocket.CONTENDERS, ids=ids, indirect=True)
def test_websockets_are_echoed_and_heard_by_all(server: Server) -> None:
    for options in websocket.LOADS.values():
        assert holds(load.run_client(server, 0.1, "websocket", ("--connections", "4", *options)))


@needs_wrk
@pytest.mark.parametrize(
    "server",
    [
        contender
        for title in (*applications.ASGI, *applications.WSGI)
        for contender in applications.servers_of(title)
    ],
    ids=ids,
    indirect=True,
)
def test_an_application_is_served(server: Server) -> None:
    wrk.check(server)
    assert holds(wrk.run(server, 1))


@needs_wrk
@pytest.mark.skipif(tools.find("openssl") is None, reason="there is no openssl")
@pytest.mark.parametrize("server", tls.CONTENDERS, ids=ids, indirect=True)
def test_pages_come_over_tls(server: Server) -> None:
    tls.prepare(server)
    assert holds(wrk.run(server, 1, scheme="https"))
    assert holds(load.run_client(server, 0.1, "handshake"))


@needs_wrk
@pytest.mark.parametrize("server", static_files.CONTENDERS, ids=ids, indirect=True)
def test_files_come_as_they_are(server: Server) -> None:
    static_files.prepare(server)
    assert holds(wrk.run(server, 1, static_files.REQUESTS["1 kB"]))


@needs_wrk
@pytest.mark.parametrize("server", workers.servers(2), ids=ids, indirect=True)
def test_two_workers_serve_and_end_with_their_master(server: Server) -> None:
    deadline = time.monotonic() + 30
    while len(processes.of_session(server.session)) < 3:  # the second may come a little later
        assert time.monotonic() < deadline
        time.sleep(0.02)
    wrk.check(server, "/work")
    assert holds(wrk.run(server, 1))


def test_the_page_is_that_of_the_course() -> None:
    assert PAGE == http_server01.PAGE


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Contender("nothing", peers.script("nothing.py"), ("json", "there_is_none"))
    assert nothing.missing().startswith("there is no module there_is_none; pip install ")
    assert Contender("none", nothing.command, program="no-such").missing() == (
        "no-such is not installed"
    )


def test_a_server_that_does_not_start_says_why() -> None:
    broken = Contender("broken", lambda port, folder: [sys.executable, "-c", "1 / 0"])
    with (
        pytest.raises(RuntimeError, match=r"(?s)it ended with 1 .*ZeroDivisionError"),
        contenders.running(broken, 0),
    ):
        pytest.fail("it runs")


def test_a_client_that_cannot_work_says_why_and_is_gone() -> None:
    mute = "import socket, sys\nsocket.create_server(('', int(sys.argv[1]))).accept()[0].close()"
    contender = Contender("mute", lambda port, folder: [sys.executable, "-c", mute, str(port)])
    with (
        pytest.raises(RuntimeError, match="the client echo failed"),
        contenders.running(contender, 0) as server,
    ):
        load.run_client(server, 0.1, "echo", ("--connections", "1"))


WRK_OUTPUT = """\
Running 1s test @ http://127.0.0.1:1/
  Latency Distribution
     50%  559.00us
     75%  571.00us
     90%  602.00us
     99%    1.15ms
  113778 requests in 1.10s, 26.47MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 7
Requests/sec: 103434.55
"""


def test_wrk_is_understood() -> None:
    sample = wrk.read(WRK_OUTPUT, processor_time.Times(0.55, 0.011), client=1.1)
    assert sample["rate"] == pytest.approx(113778 / 1.1)
    assert sample["p50"] == pytest.approx(559e-6)
    assert sample["p99"] == pytest.approx(1.15e-3)
    assert sample["cpu"] == pytest.approx(0.55 / 113778)
    assert sample[CLIENT_BUSY] == pytest.approx(1.0)
    assert sample[SERVER_BUSY] == pytest.approx(0.5)
    assert sample[ERRORS] == 10


@pytest.mark.parametrize("output", ["", WRK_OUTPUT.replace("113778 requests", "0 requests")])
def test_wrk_without_an_answer_is_no_sample(output: str) -> None:
    with pytest.raises(RuntimeError, match="wrk got no answer"):
        wrk.read(output, processor_time.Times(0, 0), client=0)


def test_a_wrong_page_is_seen(tmp_path: Path) -> None:
    plain = Contender("yolanda", peers.script("yolanda_http.py"), ("yolanda",))
    with contenders.running(plain, 0) as server:
        wrk.check(server)
        with pytest.raises(RuntimeError, match="/ was answered 200 with b'<html>"):
            wrk.check(server, "/", LARGE)
        with pytest.raises(RuntimeError, match="/nothing was answered"):
            wrk.check(server, "/nothing")


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (("sh",), {"install": True}, ""),
        (("no-such",), {"install": False}, "there is no no-such, and --no-install was given"),
    ],
)
def test_tools_are_looked_for(names: tuple[str], options: dict[str, bool], said: str) -> None:
    assert tools.provide(*names, **options) == said
