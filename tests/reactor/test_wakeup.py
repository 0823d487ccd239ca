"""The socket pair that gets a loop out of its wait."""

import select
import signal
import socket
from collections.abc import Iterator

import pytest

from yolanda.reactor.wakeup import Wakeup


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    made = Wakeup()
    yield made
    made.close()


def is_readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup.fileno()], [], [], 0)[0])


def test_wakes_and_is_drained(wakeup: Wakeup) -> None:
    assert not is_readable(wakeup)
    for _ in range(3):
        wakeup.wake()
    assert is_readable(wakeup)
    wakeup.drain()
    assert not is_readable(wakeup)
    wakeup.drain()  # nothing there, and no harm
    wakeup.wake()
    assert is_readable(wakeup)


def test_so_often_that_it_is_full(wakeup: Wakeup) -> None:
    """A loop that is busy for long may be woken more often than the kernel keeps bytes."""
    wakeup._writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for _ in range(100_000):
        wakeup.wake()
    assert is_readable(wakeup)
    wakeup.drain()
    assert not is_readable(wakeup)


def test_many_bytes_are_drained_at_once(wakeup: Wakeup) -> None:
    """All of them: with an edge-triggered dispatcher the rest would not be reported again."""
    for _ in range(20):
        wakeup._writer.send(bytes(4096))
    wakeup.drain()
    assert not is_readable(wakeup)


def test_waking_what_is_closed() -> None:
    wakeup = Wakeup()
    wakeup.close()
    wakeup.wake()
    wakeup.close()


def test_other_failures_are_told(wakeup: Wakeup) -> None:
    wakeup._reader.close()
    with pytest.raises(OSError, match="Broken pipe"):
        wakeup.wake()


def test_signals_write_a_byte(wakeup: Wakeup) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        wakeup.attach_signals()
        wakeup.attach_signals()
        signal.raise_signal(signal.SIGUSR1)
        assert is_readable(wakeup)
        wakeup.drain()
        wakeup.detach_signals()
        wakeup.detach_signals()
        signal.raise_signal(signal.SIGUSR1)
        assert not is_readable(wakeup)
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_place_of_another_loop_is_left_to_it(wakeup: Wakeup) -> None:
    other, peer = socket.socketpair()
    with other, peer:
        other.setblocking(False)
        signal.set_wakeup_fd(other.fileno())
        try:
            wakeup.attach_signals()
            wakeup.detach_signals()
        finally:
            assert signal.set_wakeup_fd(-1) == other.fileno()
