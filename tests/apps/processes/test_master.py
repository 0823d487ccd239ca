import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yolanda.apps.processes.master import Master

from ..conftest import Client, Load, Served, alive, get, wait_until

Start = Callable[..., Served]

# Replacements in these tests shall not be waited for, and a worker of theirs is soon an old one.
SOON: dict[str, Any] = {
    "backoff": {"first": 0.01, "longest": 0.05, "attempts": 1000},
    "steady": 0.01,
}


def worker_of(port: int) -> int:
    return int(get(port).split()[0])


# ---- start and stop ----------------------------------------------------------------------


def test_workers_serve_and_end(start: Start) -> None:
    master = start(workers=2)
    port = master.port()
    workers = master.workers()
    assert len(workers) == 2
    assert worker_of(port) in workers
    assert master.stop() == 0
    assert not any(map(alive, workers))
    with pytest.raises(ConnectionRefusedError):
        get(port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered(start: Start, number: int) -> None:
    master = start(workers=2)
    with Client(master.port()) as client:
        client.ask()
        client.send("/slow")
        master.send(number)
        assert client.read() == "slow\n"
        assert master.wait() == 0


def test_sigquit_waits_for_nobody(start: Start) -> None:
    master = start(workers=2)
    with Client(master.port()) as client:
        client.ask()
        client.send("/never")
        master.expect("never")
        master.send(signal.SIGQUIT)
        assert master.wait() == 0
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read()
    assert "killed" not in master.text


def test_a_second_interrupt_kills(start: Start) -> None:
    master = start(workers=2)
    with Client(master.port()) as client:
        client.send("/never")
        master.expect("never")
        master.send(signal.SIGINT)
        master.expect(r"ended \(exit status 0\)")  # the other worker
        master.send(signal.SIGINT)
        assert master.wait() == 0
    assert "killed by SIGKILL" in master.text


def test_sigterm_after_sigterm_is_no_more_than_the_first(start: Start) -> None:
    master = start(workers=1)
    with Client(master.port()) as client:
        client.ask()
        client.send("/slow")
        for _ in range(3):
            master.send(signal.SIGTERM)
        assert client.read() == "slow\n"
    assert master.wait() == 0


def test_an_interrupt_from_the_terminal_comes_to_all(start: Start) -> None:
    master = start(workers=2)
    with Client(master.port()) as client:
        client.ask()
        client.send("/slow")
        os.killpg(master.pid, signal.SIGINT)
        assert client.read() == "slow\n"
    assert master.wait() == 0
    assert "unexpectedly" not in master.text


def test_a_worker_that_does_not_end_is_killed(start: Start) -> None:
    master = start(workers=2, graceful_timeout=0.1, health_timeout=None)
    with Client(master.port()) as client:
        client.send("/block")
        master.expect("blocked")
        assert master.stop() == 0
    assert "does not end, and is killed" in master.text
    assert "killed by SIGKILL" in master.text


def test_who_waits_in_the_queue_is_served_at_the_end(start: Start) -> None:
    master = start(workers=2)
    port = master.port()
    for pid in master.workers():
        os.kill(pid, signal.SIGSTOP)
    with Client(port) as client:
        client.send("/", "Connection: close")
        master.send(signal.SIGTERM)
        master.expect("got SIGTERM")
        for pid in master.workers():
            os.kill(pid, signal.SIGCONT)
        assert client.read()
    assert master.wait() == 0


def test_nobody_is_left_when_the_master_is_killed(start: Start) -> None:
    master = start(workers=3)
    port = master.port()
    workers = master.workers()
    with Client(port) as client:
        client.ask()
        client.send("/slow")
        os.kill(master.pid, signal.SIGKILL)
        assert client.read() == "slow\n"  # gracefully, even then
    wait_until(lambda: not any(map(alive, workers)))
    assert master.text.count("the master is gone") == 3


# ---- replacing ---------------------------------------------------------------------------


def test_a_dead_worker_is_replaced_and_the_others_do_not_notice(start: Start) -> None:
    master = start(workers=3, **SOON)
    port = master.port()
    with Client(port) as first, Load(port) as load:
        survivor = int(first.ask().split()[0])
        for _ in range(3):
            load.more()
            before = master.workers()
            victim = (before - {survivor}).pop()
            os.kill(victim, signal.SIGKILL)
            master.expect(rf"pid {victim}\) ended unexpectedly \(killed by SIGKILL\)")
            wait_until(lambda before=before: master.workers() - before)
            assert int(first.ask().split()[0]) == survivor
        load.more()
    # What the dead had taken is lost with them: at most what each client has under way.
    assert len(load.failures) <= 3 * 6, load.failures
    assert len(master.workers()) == 3
    assert master.stop() == 0


def test_no_request_fails_when_a_worker_is_told_to_end(start: Start) -> None:
    master = start(workers=2, **SOON)
    with Load(master.port()) as load:
        for _ in range(3):
            load.more()
            before = master.workers()
            os.kill(min(before), signal.SIGTERM)
            wait_until(lambda before=before: master.workers() - before)
    assert load.failures == []
    assert master.stop() == 0


def test_a_stuck_worker_is_noticed_and_replaced(start: Start) -> None:
    master = start(workers=2, health_timeout=3.0, **SOON)
    port = master.port()
    before = master.workers()
    with Client(port) as client:
        client.send("/block")
        master.expect("blocked")
        for _ in range(5):
            assert worker_of(port) in before  # the other one
        master.expect("is stuck: no sign of life for")
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read()
    master.expect("Fatal Python error: Aborted")
    master.expect("in block_for_ever")  # it is told where it stood
    master.expect("killed by SIGABRT")
    master.expect("is ready", times=3)
    assert len(master.workers()) == 2
    assert len(master.workers() & before) == 1
    assert master.stop() == 0


def test_a_worker_that_does_not_become_ready_is_stuck(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    master = start(workers=1, start_timeout=0.5, **SOON)
    master.expect("is stuck: it has not become ready")
    (tmp_path / "hang").unlink()
    assert get(master.port())
    assert master.stop() == 0


def test_who_stood_still_together_with_the_master_is_not_stuck(start: Start) -> None:
    master = start(workers=2, health_timeout=2.0)
    port = master.port()
    before = master.workers()
    os.killpg(master.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    wait_until(lambda: time.monotonic() > stopped + 4)
    os.killpg(master.pid, signal.SIGCONT)
    assert worker_of(port) in before
    resumed = time.monotonic()
    wait_until(lambda: time.monotonic() > resumed + 2.5)
    assert master.workers() == before
    assert "stuck" not in master.text
    assert master.stop() == 0


def test_a_worker_that_grows_too_large_is_replaced(start: Start) -> None:
    master = start(workers=1, memory_limit=200 << 20, **SOON)
    port = master.port()
    old = worker_of(port)
    with Load(port) as load:
        for _ in range(4):
            get(port, "/grow")  # 64 MiB each
        master.expect(r"is to be replaced: it takes \d+ MiB of memory, and may take 200")
        master.expect(rf"pid {old}\) ended \(exit status 0\)")
    assert load.failures == []
    assert worker_of(port) != old
    assert master.stop() == 0


def test_a_worker_that_has_served_enough_is_replaced(start: Start) -> None:
    master = start(workers=2, max_requests=50, **SOON)
    with Load(master.port()) as load:
        master.expect("is to be replaced: it has served 50 requests", times=4)
        load.more()
    assert load.failures == []
    assert len(load.by) >= 4
    assert master.stop() == 0


# ---- failing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("fail", "giving up: no such module"),
        ("exit3", "giving up: the application could not be started"),
        ("raise", "giving up: ValueError: wrong in the application"),
    ],
)
def test_an_application_that_cannot_be_started_ends_the_master(
    start: Start, tmp_path: Path, how: str, reason: str
) -> None:
    (tmp_path / how).touch()
    master = start(workers=2)
    assert master.wait() == 3
    assert reason in master.text
    assert master.text.count("started (pid") == 1  # nothing was tried twice


def test_the_master_gives_up_on_workers_that_die_again_and_again(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "die").touch()
    master = start(workers=1, backoff={"first": 0.01, "longest": 0.05, "attempts": 4})
    assert master.wait() == 1
    assert "giving up: workers died 4 times in a row: exit status 7" in master.text
    assert master.text.count("ended unexpectedly (exit status 7)") == 4


def test_it_does_not_give_up_while_another_worker_serves(start: Start, tmp_path: Path) -> None:
    backoff = {"first": 0.01, "longest": 0.05, "attempts": 3}
    master = start(workers=2, steady=0.01, backoff=backoff)
    port = master.port()
    (tmp_path / "die-second").touch()
    second = int(master.expect(r"worker 1 \(pid (\d+)\) is ready")[0])
    os.kill(second, signal.SIGKILL)
    master.expect("ended unexpectedly", times=10)
    assert worker_of(port)
    (tmp_path / "die-second").unlink()
    wait_until(lambda: len(master.workers()) == 2)
    assert master.stop() == 0


# ---- rolling restart ---------------------------------------------------------------------


def test_a_rolling_restart_loses_no_request(start: Start) -> None:
    master = start(workers=2, **SOON)
    with Load(master.port()) as load:
        for times in range(1, 5):
            load.more()
            before = master.workers()
            master.send(signal.SIGHUP)
            master.expect("all workers are new", times=times)
            wait_until(lambda before=before: not master.workers() & before)
        load.more()
    assert load.failures == []
    assert len(load.by) >= 5
    assert len(master.workers()) == 2
    assert master.stop() == 0


def test_many_rolling_restarts_at_once(start: Start) -> None:
    master = start(workers=2, **SOON)
    port = master.port()
    before = master.workers()
    with Load(port) as load:
        for _ in range(5):
            master.send(signal.SIGHUP)
        master.expect("all workers are new")
        load.more()
    assert load.failures == []
    assert not master.workers() & before
    assert master.stop() == 0


@pytest.mark.parametrize("how", ["fail", "raise", "die"])
def test_a_rolling_restart_that_fails_keeps_the_old_workers(
    start: Start, tmp_path: Path, how: str
) -> None:
    master = start(workers=2, **SOON)
    port = master.port()
    before = master.workers()
    (tmp_path / how).touch()
    with Load(port) as load:
        master.send(signal.SIGHUP)
        master.expect("rolling restart given up, the old workers stay")
        load.more()
    assert load.failures == []
    assert master.workers() == before
    (tmp_path / how).unlink()
    master.send(signal.SIGHUP)
    master.expect("all workers are new")
    wait_until(lambda: not master.workers() & before)
    assert worker_of(port) in master.workers()
    assert master.stop() == 0


# ---- the other signals -------------------------------------------------------------------


def test_one_worker_more_and_one_fewer(start: Start) -> None:
    master = start(workers=1)
    port = master.port()
    with Load(port) as load:
        master.send(signal.SIGTTIN)
        master.expect("worker 1 .* is ready")
        master.send(signal.SIGTTIN)
        master.expect("worker 2 .* is ready")
        assert len(master.workers()) == 3
        master.send(signal.SIGTTOU)
        master.expect(r"worker 2 .* ended \(exit status 0\)")
        master.send(signal.SIGTTOU)
        master.expect(r"worker 1 .* ended \(exit status 0\)")
        master.send(signal.SIGTTOU)
        master.expect("one worker is left, and it stays")
        load.more()
    assert load.failures == []
    assert len(master.workers()) == 1
    assert master.stop() == 0


def test_signals_that_are_passed_on(start: Start) -> None:
    master = start(workers=2)
    master.port()
    master.send(signal.SIGUSR1)
    master.expect("master's logs reopened")
    master.expect(r"^logs reopened in", times=2)
    master.send(signal.SIGUSR2)
    master.expect(r"^certificates reloaded in", times=2)
    assert master.stop() == 0


def test_signals_before_the_workers_are_ready(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    master = start(workers=1)
    [before] = master.expect(r"worker 0 \(pid (\d+)\) started")
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        master.send(number)
    master.expect("got SIGHUP")
    assert alive(int(before))
    assert master.stop() == 0


# ---- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 0}, "1 worker or more, not 0"),
        ({"graceful_timeout": -1}, "graceful time-out is 0 seconds or more, not -1"),
        ({"health_timeout": 0}, "health time-out is more than 0 seconds, not 0"),
        ({"start_timeout": 0}, "start time-out is more than 0 seconds, not 0"),
        ({"memory_limit": 0}, "memory limit is 1 byte or more, not 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Master(lambda handle: 0, **options)
