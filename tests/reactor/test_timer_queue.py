"""The timers, against a list that is sorted each time."""

import gc
import math
import random
import weakref

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from yolanda.reactor.timer_queue import Timer, TimerQueue


def nothing() -> None:
    """What a timer of these tests does."""


def pop_all(queue: TimerQueue, now: float) -> list[object]:
    """The first argument of every timer that is due, in order."""
    due = []
    while (timer := queue.pop_due(now)) is not None:
        due.append(timer.args[0])
    return due


def test_an_empty_queue() -> None:
    queue = TimerQueue()
    assert len(queue) == 0
    assert queue.next_due == math.inf
    assert queue.pop_due(1e9) is None


def test_order() -> None:
    queue = TimerQueue()
    times = [float(n) for n in range(1000)]
    random.Random(1).shuffle(times)
    for when in times:
        queue.add(when, 0.0, nothing, (when,))
    assert queue.next_due == 0.0
    assert pop_all(queue, 499.5) == [float(n) for n in range(500)]
    assert queue.next_due == 500.0
    assert len(queue) == 500
    assert pop_all(queue, math.inf) == [float(n) for n in range(500, 1000)]
    assert queue.next_due == math.inf


def test_timers_of_one_time_keep_their_order() -> None:
    queue = TimerQueue()
    for number in range(100):
        queue.add(5.0, 0.0, nothing, (number,))
    assert pop_all(queue, 5.0) == list(range(100))


def test_due_at_its_very_time() -> None:
    queue = TimerQueue()
    queue.add(5.0, 0.0, nothing, ("x",))
    assert queue.pop_due(math.nextafter(5.0, 0)) is None
    assert pop_all(queue, 5.0) == ["x"]


def test_active() -> None:
    queue = TimerQueue()
    once = queue.add(1.0, 0.0, nothing, ())
    again = queue.add(1.0, 1.0, nothing, ())
    cancelled = queue.add(1.0, 0.0, nothing, ())
    assert once.active
    assert again.active
    cancelled.cancel()
    assert not cancelled.active
    while queue.pop_due(1.0) is not None:
        pass
    assert not once.active
    assert again.active
    again.cancel()
    assert not again.active
    assert len(queue) == 0


def test_cancel_is_harmless_when_repeated_or_too_late() -> None:
    queue = TimerQueue()
    first = queue.add(1.0, 0.0, nothing, ("first",))
    second = queue.add(2.0, 0.0, nothing, ("second",))
    queue.add(3.0, 0.0, nothing, ("third",))
    assert pop_all(queue, 1.0) == ["first"]
    for _ in range(3):
        first.cancel()
        second.cancel()
    assert len(queue) == 1
    assert pop_all(queue, 9.0) == ["third"]
    assert len(queue) == 0


def test_thousands_cancelled() -> None:
    queue = TimerQueue()
    timers = [queue.add(float(n), 0.0, nothing, (n,)) for n in range(10_000)]
    chosen = random.Random(2)
    doomed = set(chosen.sample(range(10_000), 7_000))
    for n in chosen.sample(sorted(doomed), len(doomed)):
        timers[n].cancel()
        assert len(queue._heap) <= 2 * len(queue) + 128  # swept as it goes
    assert len(queue) == 3_000
    assert pop_all(queue, math.inf) == [n for n in range(10_000) if n not in doomed]
    assert len(queue) == 0


def test_set_and_cancelled_again_and_again() -> None:
    """As the time-out of a connection is: the heap must not grow by what is no longer wanted."""
    queue = TimerQueue()
    queue.add(0.5, 0.0, nothing, ("stays",))
    for n in range(100_000):
        queue.add(60.0 + n, 0.0, nothing, (n,)).cancel()
        assert len(queue._heap) < 200
    assert len(queue) == 1
    assert pop_all(queue, math.inf) == ["stays"]


def test_sweeping_amends_when_the_next_is_due() -> None:
    queue = TimerQueue()
    early = [queue.add(1.0, 0.0, nothing, (n,)) for n in range(65)]
    queue.add(9.0, 0.0, nothing, ("late",))
    for timer in early:
        assert queue.next_due == 1.0
        timer.cancel()
    assert len(queue._heap) == len(queue) == 1
    assert queue.next_due == 9.0
    assert pop_all(queue, 1.0) == []
    assert queue.next_due == 9.0


def test_cancelling_lets_go_of_the_callback() -> None:
    class Something:
        def method(self) -> None:
            """Keeps its object alive while a timer has it."""

    thing = Something()
    gone = weakref.ref(thing)
    queue = TimerQueue()
    timer = queue.add(1e9, 0.0, thing.method, (thing,))
    del thing
    gc.collect()
    assert gone() is not None
    timer.cancel()
    gc.collect()
    assert gone() is None


def repeated(now: float, interval: float) -> tuple[TimerQueue, Timer]:
    queue = TimerQueue()
    return queue, queue.add(now + interval, interval, nothing, ("beat",))


def test_keeps_the_rhythm_however_late_it_is_called() -> None:
    queue, timer = repeated(100.0, 10.0)
    beats = []
    for now in (110.0, 123.0, 139.0, 140.0):
        assert pop_all(queue, now) == ["beat"]
        beats.append(timer.when)
    assert beats == [120.0, 130.0, 140.0, 150.0]


def test_leaves_out_the_beats_that_were_missed() -> None:
    queue, timer = repeated(100.0, 10.0)
    assert pop_all(queue, 157.0) == ["beat"]
    assert timer.when == 160.0
    assert pop_all(queue, 159.0) == []
    assert pop_all(queue, 160.0) == ["beat"]


@pytest.mark.parametrize("interval", [0.1, 1 / 3, 1e-9, 1e-3])
def test_rounding_never_makes_a_beat_twice(interval: float) -> None:
    queue, timer = repeated(1e6, interval)
    for _ in range(1000):
        now = timer.when
        assert pop_all(queue, now) == ["beat"]
        assert timer.when > now


def test_a_repeated_timer_cancels_itself() -> None:
    queue, timer = repeated(0.0, 1.0)
    assert pop_all(queue, 1.0) == ["beat"]
    timer.cancel()
    assert len(queue) == 0
    assert pop_all(queue, 100.0) == []


def test_what_was_set_meanwhile_can_wait() -> None:
    queue = TimerQueue()
    queue.add(1.0, 0.0, nothing, ("old",))
    newest = queue.newest
    queue.add(2.0, 0.0, nothing, ("new",))
    assert queue.pop_due(5.0, newest) is not None
    assert queue.pop_due(5.0, newest) is None
    assert queue.next_due == 2.0
    assert len(queue) == 1


class QueueIsSortedList(RuleBasedStateMachine):
    """The plain way: a list of (when, order), searched whole each time."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = TimerQueue()
        self.now = 0.0
        self.number = 0
        self.timers: dict[int, Timer] = {}
        self.expected: list[tuple[float, int, float, int]] = []  # when, order, interval, name
        self.names = 0

    def add(self, when: float, interval: float) -> None:
        self.names += 1
        self.number += 1
        self.timers[self.names] = self.queue.add(when, interval, nothing, (self.names,))
        self.expected.append((when, self.number, interval, self.names))

    @rule(delay=st.integers(-5, 50))
    def once(self, delay: int) -> None:
        self.add(self.now + delay, 0.0)

    @rule(interval=st.integers(1, 20))
    def every(self, interval: int) -> None:
        self.add(self.now + interval, float(interval))

    @rule(count=st.integers(60, 90))
    def many_set_and_cancelled(self, count: int) -> None:
        for n in range(count):
            self.queue.add(self.now + n, 0.0, nothing, (0,)).cancel()
        self.number += count

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers[name].cancel()
        self.expected = [entry for entry in self.expected if entry[3] != name]

    @rule(step=st.integers(0, 30))
    def time_passes(self, step: int) -> None:
        self.now += step
        due = []
        while self.expected and min(self.expected)[0] <= self.now:
            first = min(self.expected)
            self.expected.remove(first)
            when, _, interval, name = first
            due.append(name)
            if interval:
                while when <= self.now:
                    when += interval
                self.number += 1
                self.expected.append((when, self.number, interval, name))
        assert pop_all(self.queue, self.now) == due

    @invariant()
    def same(self) -> None:
        assert len(self.queue) == len(self.expected)
        active = {name for name, timer in self.timers.items() if timer.active}
        assert active == {entry[3] for entry in self.expected}
        # It may be that of a cancelled timer: then the loop wakes once for nothing.
        assert self.queue.next_due <= min(self.expected, default=(math.inf,))[0]


TestQueueIsSortedList = QueueIsSortedList.TestCase
