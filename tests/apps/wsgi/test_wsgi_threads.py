"""The threads that applications run in: whom they wake, what they tell the loop, how they end."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from yolanda.apps.wsgi.threads import Threads
from yolanda.reactor.event_loop import EventLoop

PATIENCE = 30.0  # seconds after which a test that waits for something has failed

Job = Callable[[], object]


def caller() -> Callable[[Job], object]:
    return lambda job: job()


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as loop:
        yield loop


@pytest.fixture(params=[True, False], ids=["GIL", "free"])
def make(
    loop: EventLoop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Threads[Job]]]:
    """Make threads, in each of the two ways to wake them."""
    monkeypatch.setattr("yolanda.apps.wsgi.threads._has_gil", lambda: request.param)
    made: list[Threads[Job]] = []

    def make_threads(count: int, make_worker: Any = caller) -> Threads[Job]:
        made.append(Threads(loop, count, make_worker))
        return made[-1]

    yield make_threads
    for threads in made:
        assert threads.close(PATIENCE)


def test_there_is_at_least_one(loop: EventLoop) -> None:
    with pytest.raises(ValueError, match="not 0"):
        Threads(loop, 0, caller)


def test_jobs_begin_in_their_order(loop: EventLoop, make: Any, run_until: Any) -> None:
    done: list[int] = []
    threads = make(1)
    for number in range(100):
        threads.submit(lambda number=number: done.append(number))
    run_until(loop, lambda: len(done) == 100, PATIENCE)
    assert done == list(range(100))


def test_a_thread_makes_its_worker_once(loop: EventLoop, make: Any, run_until: Any) -> None:
    made: list[str] = []
    together = threading.Barrier(3, timeout=PATIENCE)

    def make_worker() -> Callable[[Job], object]:
        made.append(threading.current_thread().name)
        return lambda job: job()

    threads = make(3, make_worker)
    for _ in range(2):
        done: list[int] = []
        for _ in range(3):
            threads.submit(lambda done=done: done.append(together.wait()))
        run_until(loop, lambda done=done: len(done) == 3, PATIENCE)
        run_until(loop, lambda: not threads.busy, PATIENCE)
    assert sorted(made) == ["WSGI-1", "WSGI-2", "WSGI-3"]


def test_jobs_that_wait_get_all_threads(loop: EventLoop, make: Any, run_until: Any) -> None:
    together = threading.Barrier(8, timeout=PATIENCE)
    threads = make(8)
    done: list[int] = []
    for _ in range(8):
        threads.submit(lambda: done.append(together.wait()))
    run_until(loop, lambda: len(done) == 8, PATIENCE)
    assert sorted(done) == list(range(8))


def test_a_job_that_never_ends_keeps_nobody_but_its_thread(
    loop: EventLoop, make: Any, run_until: Any
) -> None:
    go_on = threading.Event()
    begun = threading.Event()
    threads = make(2)
    done: list[int] = []
    threads.submit(lambda: (begun.set(), go_on.wait(PATIENCE)))
    for number in range(50):  # in the same turn, behind the one that waits
        threads.submit(lambda number=number: done.append(number))
    run_until(loop, lambda: len(done) == 50, PATIENCE)
    assert begun.is_set()
    threads.submit(lambda: done.append(50))  # and in a later one
    run_until(loop, lambda: len(done) == 51, PATIENCE)
    run_until(loop, lambda: threads.busy == 1, PATIENCE)
    go_on.set()


@pytest.mark.parametrize("has_gil", [True, False], ids=["GIL", "free"])
def test_jobs_that_find_nobody_at_work_do_not_wait_for_the_next_look(
    has_gil: bool, run_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look is never, since the clock stands still."""
    monkeypatch.setattr("yolanda.apps.wsgi.threads._has_gil", lambda: has_gil)
    with EventLoop(clock=lambda: 1000.0) as loop:
        threads: Threads[Job] = Threads(loop, 2, caller)
        go = threading.Event()
        done: list[int] = []
        for _ in range(2):
            threads.submit(lambda: go.wait(PATIENCE))
        for number in range(3):  # more than are woken, so that the loop means to look
            threads.submit(lambda number=number: done.append(number))
        loop.run_once(0)
        go.set()
        run_until(loop, lambda: len(done) == 3, PATIENCE)
        run_until(loop, lambda: not threads.busy, PATIENCE)
        for number in range(3, 6):
            threads.submit(lambda number=number: done.append(number))
        run_until(loop, lambda: len(done) == 6, PATIENCE)
        assert threads.close(PATIENCE)


def test_news_are_heard_although_the_next_job_waits(
    loop: EventLoop, make: Any, run_until: Any
) -> None:
    go_on = threading.Event()
    heard: list[str] = []
    threads = make(1)
    threads.submit(lambda: threads.tell(lambda: heard.append("first")))
    for _ in range(3):
        threads.submit(lambda: go_on.wait(PATIENCE))
    run_until(loop, lambda: heard == ["first"], PATIENCE)
    assert not go_on.is_set()
    go_on.set()


def test_news_are_heard_in_their_order(loop: EventLoop, make: Any, run_until: Any) -> None:
    heard: list[int] = []
    threads = make(1)

    def tell_much() -> None:
        for number in range(1000):
            threads.tell(lambda number=number: heard.append(number))

    threads.submit(tell_much)
    threads.submit(lambda: time.sleep(0))
    run_until(loop, lambda: len(heard) == 1000, PATIENCE)
    assert heard == list(range(1000))


def test_nobody_is_lost_whoever_comes_first(loop: EventLoop, make: Any, run_until: Any) -> None:
    """Jobs that come one by one just when a thread goes to rest, and news likewise."""
    threads = make(3)
    heard = 0

    def hear() -> None:
        nonlocal heard
        heard += 1

    for number in range(2000):
        threads.submit(lambda: threads.tell(hear))
        if number % 3:
            loop.run_once(0)
        else:
            run_until(loop, lambda number=number: heard > number - 20, PATIENCE)
    run_until(loop, lambda: heard == 2000, PATIENCE)


def test_what_a_job_raises_ends_no_thread(
    loop: EventLoop, make: Any, run_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise SystemExit("a job's own")

    done: list[str] = []
    threads = make(1)
    threads.submit(fail)
    threads.submit(lambda: threads.tell(fail_in_loop))
    threads.submit(lambda: done.append("done"))
    run_until(loop, lambda: done and not threads.busy, PATIENCE)
    run_until(loop, lambda: "in the loop" in caplog.text, PATIENCE)
    assert "a job's own" in caplog.text


def fail_in_loop() -> None:
    raise RuntimeError("in the loop")


def test_idle_is_told_when_the_last_job_has_ended(
    loop: EventLoop, make: Any, run_until: Any
) -> None:
    go_on = threading.Event()
    told: list[str] = []
    threads = make(2)
    threads.when_idle(lambda: told.append("at once"))
    assert told == ["at once"]
    for _ in range(3):
        threads.submit(lambda: go_on.wait(PATIENCE))
    threads.when_idle(lambda: told.append("later"))
    run_until(loop, lambda: threads.busy == 2, PATIENCE)
    assert told == ["at once"]
    go_on.set()
    run_until(loop, lambda: told == ["at once", "later"], PATIENCE)


def test_closing_waits_no_longer_than_it_is_told(
    loop: EventLoop, make: Any, run_until: Any
) -> None:
    go_on = threading.Event()
    threads = make(2)
    threads.submit(lambda: go_on.wait(PATIENCE))
    run_until(loop, lambda: threads.busy, PATIENCE)
    assert not threads.close(0.01)
    with pytest.raises(RuntimeError, match="no more jobs"):
        threads.submit(lambda: None)
    go_on.set()
    assert threads.close(PATIENCE)
