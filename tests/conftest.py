"""What all tests share: no test leaves a descriptor or a thread behind."""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from yolanda.labs.stage import Stage
from yolanda.reactor.event_loop import EventLoop

settings.register_profile(
    "yolanda", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("yolanda")

# Some containers ask Python to write no bytecode.  The tests start thousands of processes, and each
# would compile the package for itself: half of what it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Who is started in the background by a shell script ignores these, and so would all that the tests
# start and then interrupt.
for number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(
            number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
        )

_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


def open_descriptors() -> dict[int, str]:
    """Every open descriptor of this process, and what it is."""
    found = {}
    for name in os.listdir(_DESCRIPTORS):
        try:
            found[int(name)] = os.readlink(f"{_DESCRIPTORS}/{name}")
        except OSError:
            continue  # the one that listed the folder
    return found


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("leaks"):
        yield
        return
    # What is there already, 200,000 objects of tests and modules, is not looked through when this
    # test has ended: that would take longer than most tests do.
    gc.freeze()
    descriptors = open_descriptors()
    threads = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        thread.join(30)
    leaked_threads = {t.name for t in set(threading.enumerate()) - threads if t.is_alive()}
    leaked = {fd: what for fd, what in open_descriptors().items() if descriptors.get(fd) != what}
    assert not leaked_threads, f"threads left behind: {leaked_threads}"
    assert not leaked, f"descriptors left behind: {leaked}"


class RunUntil(Protocol):
    """What the fixture `run_until` gives."""

    def __call__(
        self, loop: EventLoop, condition: Callable[[], object], timeout: float = 30.0
    ) -> None: ...


def _run_until(loop: EventLoop, condition: Callable[[], object], timeout: float = 30.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} seconds"
        loop.run_once(0.05)


@pytest.fixture
def run_until() -> RunUntil:
    """Turn a loop of this thread until a condition holds, and fail where it never does."""
    return _run_until


def wait_until(condition: Callable[[], object], timeout: float = 40.0) -> None:
    """Wait until something is true that no event tells of."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} seconds"
        time.sleep(0.005)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until a condition is true that no event tells of."""
    return wait_until


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Programs as real processes, killed in the end."""
    with Stage(patience=30) as stage:
        yield stage
