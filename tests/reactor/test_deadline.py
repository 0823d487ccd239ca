"""A time-out that is put off: one timer for all of it."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from yolanda.reactor.deadline import Deadline
from yolanda.reactor.event_loop import EventLoop


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[EventLoop]:
    with EventLoop(clock=clock) as made:
        yield made


def go_to(loop: EventLoop, clock: Clock, when: float) -> None:
    clock.now = when
    loop.run_once(0)


def test_calls_back_once_at_its_time(loop: EventLoop, clock: Clock) -> None:
    calls: list[float] = []
    deadline = Deadline(loop, lambda: calls.append(clock.now))
    deadline.at(1010.0)
    go_to(loop, clock, 1009.9)
    assert calls == []
    go_to(loop, clock, 1010.0)
    go_to(loop, clock, 1020.0)
    assert calls == [1010.0]


def test_the_earliest_time_counts(loop: EventLoop, clock: Clock) -> None:
    calls: list[float] = []
    deadline = Deadline(loop, lambda: calls.append(clock.now))
    for when in (1030.0, 1010.0, 1020.0):
        deadline.at(when)
    assert loop.statistics.timers == 1
    go_to(loop, clock, 1010.0)
    go_to(loop, clock, 1040.0)
    assert calls == [1010.0]


def test_putting_off_costs_no_timer(loop: EventLoop, clock: Clock) -> None:
    """The callback itself sees whether the time has come, and goes on from there if not."""
    expired: list[float] = []
    last_heard = clock.now
    deadline: Deadline

    def check() -> None:
        if clock.now < last_heard + 10:
            deadline.at(last_heard + 10)
        else:
            expired.append(clock.now)

    deadline = Deadline(loop, check)
    deadline.at(last_heard + 10)
    for second in range(1, 101):
        last_heard = 1000.0 + second
        deadline.at(last_heard + 10)
        go_to(loop, clock, last_heard)
        assert loop.statistics.timers == 1
    assert expired == []
    for second in range(101, 120):
        go_to(loop, clock, 1000.0 + second)
    assert expired == [1110.0]
    assert loop.statistics.timers == 0


def test_cancel(loop: EventLoop, clock: Clock) -> None:
    calls: list[float] = []
    deadline = Deadline(loop, lambda: calls.append(clock.now))
    deadline.cancel()  # nothing to cancel yet
    deadline.at(1010.0)
    deadline.cancel()
    deadline.cancel()
    assert loop.statistics.timers == 0
    go_to(loop, clock, 1020.0)
    assert calls == []
    deadline.at(1030.0)  # and it can be used again, for a later time too
    go_to(loop, clock, 1030.0)
    assert calls == [1030.0]
    deadline.cancel()


def test_a_callback_that_raises_leaves_it_usable(
    loop: EventLoop, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[float] = []

    def fail() -> None:
        calls.append(clock.now)
        raise ValueError("no luck")

    deadline = Deadline(loop, fail)
    deadline.at(1010.0)
    go_to(loop, clock, 1010.0)
    deadline.at(1020.0)
    go_to(loop, clock, 1020.0)
    assert calls == [1010.0, 1020.0]
    assert caplog.text.count("ValueError: no luck") == 2


def test_end_is_for_ever(loop: EventLoop, clock: Clock) -> None:
    calls: list[float] = []
    deadline = Deadline(loop, lambda: calls.append(clock.now))
    deadline.at(1010.0)
    deadline.end()
    deadline.at(1011.0)
    assert loop.statistics.timers == 0
    go_to(loop, clock, 1020.0)
    assert calls == []


def test_end_lets_go_of_the_callback(loop: EventLoop) -> None:
    class Owner:
        def __init__(self) -> None:
            self.deadline = Deadline(loop, self.expire)

        def expire(self) -> None:
            """What a connection does when its time is over."""

    owner = Owner()
    owner.deadline.at(2000.0)
    gone = weakref.ref(owner)
    owner.deadline.end()
    gc.disable()
    try:
        del owner
        assert gone() is None  # without the help of the cycle collector
    finally:
        gc.enable()
