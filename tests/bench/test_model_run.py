"""The servers that are compared, each as a process of its own, and how they are loaded."""

import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from yolanda.bench import memory, processes, switches
from yolanda.bench.contenders import Contender
from yolanda.bench.contenders import running as running_server
from yolanda.bench.parts import model_run
from yolanda.bench.parts.model_run import Cores, ModelRun, started
from yolanda.bench.parts.models import MODELS, model
from yolanda.bench.probe import ProbeError
from yolanda.bench.servers.model_blocking import THREADS
from yolanda.bench.servers.model_multiplexing import SelectWaiter
from yolanda.bench.servers.model_work import (
    KINDS,
    MUCH,
    NONE,
    SECONDS,
    SIZE,
    SOME,
    WAIT,
    Work,
    message,
    seconds_a_turn,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

WORK = Work(some=100, much=1000, wait=0.001)
WHERE = Cores.choose(4)


@contextlib.contextmanager
def running(name: str, where: Cores = WHERE) -> Iterator[ModelRun]:
    with started(model(name, WORK), where) as run:
        yield run


@pytest.mark.parametrize("name", MODELS)
def test_every_model_answers_as_many_as_it_can(name: str) -> None:
    with running(name) as run:
        held, reason = run.connect(1)
        assert (held["served"], reason) == (1, "")
        held, reason = run.connect(3)
        if name == "one-at-a-time":
            assert held["served"] == 1
            assert reason == "serves 1; the others wait in vain"
        else:
            assert (held["served"], reason) == (3, "")
        assert held["memory"] > 2**20
        assert held["threads"] >= 1
        for kind in KINDS:
            loaded, trouble = run.load(kind, 0.05, 100)
            assert trouble == ""
            assert loaded["rate"] > 0
            assert loaded["cpu"] > 0
            assert loaded["p50"] > 0
            assert loaded["voluntary"] >= 0


@pytest.mark.parametrize("name", [name for name in MODELS if name != "one-at-a-time"])
def test_every_model_puts_messages_together_that_come_in_pieces(name: str) -> None:
    asks = message(SOME)
    with (
        running_server(model(name, WORK), *WHERE.server) as server,
        contextlib.ExitStack() as stack,
    ):
        one, other = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
            for _ in "12"
        )
        one.sendall(asks[:10])
        other.sendall(asks)
        assert other.recv(SIZE, socket.MSG_WAITALL) == asks
        one.sendall(asks[10:])
        assert one.recv(SIZE, socket.MSG_WAITALL) == asks


def test_select_says_where_it_ends() -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 1200:
        pytest.skip(f"a process may have no more than {most} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, 1200), most))  # inherited
    try:
        with running("select") as run:
            held, reason = run.connect(1100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    assert 1000 < held["served"] < 1024
    assert reason == (
        f"serves {held['served']:,}; the others were closed by the server "
        "(select watches no descriptor above 1023)"
    )


def test_select_watches_no_descriptor_above_1023() -> None:
    with pytest.raises(ValueError, match="1023"):
        SelectWaiter().add(1024)


def test_a_pool_of_threads_leaves_the_rest_waiting() -> None:
    with running("thread-pool") as run:
        held, reason = run.connect(THREADS + 4)
        assert reason == "serves 100; the others wait in vain"
        assert held["served"] == THREADS
        loaded, trouble = run.load(NONE, 0.05, 100)
        assert trouble == ""
        assert loaded["rate"] > 0


def test_a_server_that_cannot_start_gives_up_with_its_own_words() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    broken = Contender("broken", lambda port, folder: command)
    words = r"it ended with 1 before it took a connection \(no such luck\)"
    with pytest.raises(ProbeError, match=words), started(broken, WHERE):
        pytest.fail("it was started")


def test_a_server_that_dies_gives_up() -> None:
    with running("epoll") as run:
        run.connect(2)
        os.kill(run.session, signal.SIGKILL)
        with pytest.raises(ProbeError, match="no message was answered; the server has ended"):
            run.load(NONE, 0.05, 100)


def test_connections_end_where_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "left", lambda: 100 * 2**20)
    words = "at 2 connections the machine had only 100 MiB"
    with running("fork") as run, pytest.raises(ProbeError, match=words):
        run.connect(2)


def test_connections_end_where_time_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_run, "TIME_LIMIT", 0.0)
    words = "given up after 0 s, at 2 connections"
    with running("epoll") as run, pytest.raises(ProbeError, match=words):
        run.connect(2)


def test_nothing_is_left_of_a_server_and_its_children() -> None:
    with running("fork") as run:
        run.connect(3)
        session = run.session
        assert len(processes.of_session(session)) == 4
    assert processes.of_session(session) == []


def test_much_work_is_done_where_it_was_said() -> None:
    everywhere = tuple(os.sched_getaffinity(0))
    where = Cores(WHERE.client, (everywhere[0],), everywhere)
    with running("fork", where) as run:
        run.connect(2)
        run.load(MUCH, 0.05, 100)
        children = processes.of_session(run.session)
        assert all(os.sched_getaffinity(pid) == {everywhere[0]} for pid in children)


def test_switches_of_a_server_are_counted() -> None:
    with running("epoll") as run:
        run.connect(1)
        session = run.session
        before = switches.of_session(session)
        run.load(WAIT, 0.05, 1)
        after = switches.of_session(session)
    assert before.threads == after.threads == 1
    assert after.voluntary > before.voluntary
    assert switches.of_session(session) == (0, 0, 0)


def test_memory_is_left() -> None:
    assert memory.left() > 2**20


def test_a_message_says_what_is_to_be_done() -> None:
    assert {len(message(kind)) for kind in KINDS} == {SIZE}
    assert len({message(kind) for kind in KINDS}) == len(KINDS)
    assert 0 < seconds_a_turn() < 1e-3
    assert SECONDS.keys() == KINDS.keys() - {NONE}
