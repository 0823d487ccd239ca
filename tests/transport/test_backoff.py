import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.transport.backoff import Backoff

seconds = st.floats(0.001, 1e6)


@given(
    first=seconds,
    factor=st.floats(1, 100),
    more=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    attempt=st.integers(1, 10**9),
)
def test_a_wait_is_within_its_bounds(
    first: float, factor: float, more: float, jitter: float, attempt: int
) -> None:
    backoff = Backoff(first, factor, first + more, jitter)
    delay = backoff.delay(attempt)
    assert delay is not None
    assert math.isfinite(delay)
    assert 0 <= delay <= first + more
    assert delay >= first * (1 - jitter) * (1 - 1e-9)


@given(first=seconds, factor=st.floats(1, 100), more=st.floats(0, 1e6))
def test_without_jitter_it_never_becomes_shorter(first: float, factor: float, more: float) -> None:
    backoff = Backoff(first, factor, first + more, jitter=0)
    delays = [backoff.delay(attempt) for attempt in range(1, 100)]
    assert delays[0] == first
    assert all(a is not None and b is not None and a <= b for a, b in pairwise(delays))


@given(attempts=st.integers(1, 1000), attempt=st.integers(1, 2000))
def test_it_gives_up_after_so_many_attempts(attempts: int, attempt: int) -> None:
    delay = Backoff(attempts=attempts).delay(attempt)
    assert (delay is None) == (attempt >= attempts)


def test_it_doubles() -> None:
    backoff = Backoff(first=1, factor=2, longest=10, jitter=0)
    assert [backoff.delay(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_clients_do_not_return_at_once() -> None:
    backoff = Backoff(first=10, jitter=0.5)
    delays = {backoff.delay(1) for _ in range(50)}
    assert len(delays) > 10
    assert all(delay is not None and 5 <= delay <= 10 for delay in delays)


@pytest.mark.parametrize(
    "options",
    [
        {"first": 0.0},
        {"first": -1.0},
        {"first": math.nan},
        {"factor": 0.5},
        {"first": 2.0, "longest": 1.0},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": math.nan},
    ],
)
def test_what_makes_no_sense_is_named(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=str(list(options.values())[-1])):
        Backoff(**options)  # type: ignore[arg-type]
