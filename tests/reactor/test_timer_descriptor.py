"""A descriptor that becomes readable at a given time."""

import contextlib
import select
import time
from collections.abc import Iterator

import pytest

from yolanda.reactor.timer_descriptor import TimerDescriptor, make_timer_descriptor


@pytest.fixture
def descriptor() -> Iterator[TimerDescriptor]:
    with contextlib.closing(make_timer_descriptor()) as made:
        yield made


def readable_within(descriptor: TimerDescriptor, seconds: float) -> bool:
    return bool(select.select([descriptor.fileno()], [], [], seconds)[0])


def test_is_quiet_until_it_is_armed(descriptor: TimerDescriptor) -> None:
    assert not readable_within(descriptor, 0.01)


@pytest.mark.parametrize("seconds", [1e-9, 0.001, 0.03])
def test_becomes_readable_at_its_time(descriptor: TimerDescriptor, seconds: float) -> None:
    start = time.monotonic()
    descriptor.arm(seconds)
    assert readable_within(descriptor, 5)
    assert time.monotonic() - start >= seconds * 0.999


def test_the_last_call_counts(descriptor: TimerDescriptor) -> None:
    descriptor.arm(0.001)
    descriptor.arm(1000)
    assert not readable_within(descriptor, 0.03)
    descriptor.arm(0.001)
    assert readable_within(descriptor, 5)
    descriptor.arm(1000)  # arming anew makes it quiet again
    assert not readable_within(descriptor, 0)


def test_a_closed_one_says_so() -> None:
    descriptor = make_timer_descriptor()
    descriptor.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        descriptor.arm(1)
