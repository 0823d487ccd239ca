import atexit
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from yolanda.apps.processes.child import Child, describe_status
from yolanda.apps.processes.handle import SERVE_QUEUE, START_FAILED, WorkerHandle

Main = Callable[[WorkerHandle], int]
Fork = Callable[..., Child]

HEARD = 30_000  # milliseconds after which a test that waits for a word has failed


@pytest.fixture
def fork() -> Iterator[Fork]:
    """Fork children, which are killed in the end."""
    children: list[Child] = []

    def start(main: Main, **options: Any) -> Child:
        child = Child.fork(main, **options)
        children.append(child)
        return child

    yield start
    for child in children:
        try:
            child.send_signal(signal.SIGKILL)
            os.waitpid(child.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # the test has seen its end
        child.close()


def hear(child: Child) -> list[tuple[str, str]]:
    """The next words."""
    poll = select.poll()
    poll.register(child.fileno(), select.POLLIN)
    while True:
        assert poll.poll(HEARD), "it says nothing"
        if words := child.receive():
            return words


def ended(child: Child) -> str:
    return describe_status(os.waitpid(child.pid, 0)[1])


def ends_with(status: object) -> Main:
    def main(handle: WorkerHandle) -> NoReturn:
        raise SystemExit(status)

    return main


def test_words_pass_in_both_directions(fork: Fork) -> None:
    def main(handle: WorkerHandle) -> int:
        handle.beat()
        handle.ready()
        handle.retire("it is  old,\nand so on")
        while not handle.serves_queue:
            select.select([handle], [], [])
            handle.receive()
        assert not handle.master_gone
        handle.say("served")
        return 5

    child = fork(main, index=3)
    words: list[tuple[str, str]] = []
    while len(words) < 2:
        words += hear(child)
    assert words == [("ready", ""), ("retire", "it is old, and so on")]
    child.tell(SERVE_QUEUE)
    assert hear(child) == [("served", "")]
    assert ended(child) == "exit status 5"
    child.tell(SERVE_QUEUE)  # it is missed, and no error


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, 0), (None, 0), (4, 4), (256 + 7, 7), ("a text", 1)],
)
def test_system_exit(fork: Fork, status: object, expected: int) -> None:
    assert ended(fork(ends_with(status))) == f"exit status {expected}"


def test_an_exception_before_it_is_ready_is_a_failure_to_start(
    fork: Fork, capfd: pytest.CaptureFixture[str]
) -> None:
    def main(handle: WorkerHandle) -> int:
        raise LookupError("no such thing")

    child = fork(main)
    assert hear(child) == [("fail", "LookupError: no such thing")]
    assert ended(child) == f"exit status {START_FAILED}"


def test_an_exception_afterwards(fork: Fork) -> None:
    def main(handle: WorkerHandle) -> int:
        handle.ready()
        raise LookupError("no such thing")

    child = fork(main)
    assert hear(child) == [("ready", "")]
    assert ended(child) == "exit status 1"


def test_what_a_worker_registers_for_its_end_is_done_and_what_its_parent_did_is_not(
    fork: Fork, tmp_path: Path
) -> None:
    def main(handle: WorkerHandle) -> int:
        atexit.register((tmp_path / "worker").touch)
        return 0

    own = (tmp_path / "parent").touch
    atexit.register(own)
    try:
        assert ended(fork(main)) == "exit status 0"
    finally:
        atexit.unregister(own)
    assert [path.name for path in tmp_path.iterdir()] == ["worker"]


def test_the_parents_handlers_of_signals_are_gone(fork: Fork) -> None:
    def main(handle: WorkerHandle) -> int:
        handle.say("signals", str(signal.set_wakeup_fd(-1)))
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        handle.say("alive")
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())
    try:
        child = fork(main)
        assert ended(child) == "killed by SIGTERM"
        assert hear(child) == [("signals", "-1"), ("alive", "")]
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, before)
        ours.close()
        theirs.close()
    assert heard == []


def test_two_children_do_not_throw_the_same_dice(fork: Fork) -> None:
    def main(handle: WorkerHandle) -> int:
        handle.say("dice", str(random.getrandbits(100)))
        return 0

    assert hear(fork(main)) != hear(fork(main))


def test_what_its_parent_had_written_is_not_written_twice(
    fork: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "output"
    with path.open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        file.write("once\n")
        ended(fork(lambda handle: 0))
        monkeypatch.undo()
    assert path.read_text() == "once\n"


def test_its_memory(fork: Fork) -> None:
    def main(handle: WorkerHandle) -> int:
        hoard = bytearray(os.urandom(1 << 20)) * 64
        handle.say("full", str(len(hoard)))
        signal.pause()
        return 0

    child = fork(main)
    before = Child.memory(child)
    hear(child)
    after = child.memory()
    if sys.platform == "linux":
        assert before is not None
        assert after is not None
        assert after > 64 << 20


# ---- a master that does not listen -------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[Child, WorkerHandle]]:
    """The two ends within one process."""
    ours, theirs = socket.socketpair()
    child, handle = Child(os.getpid(), ours), WorkerHandle(theirs)
    yield child, handle
    child.close()
    handle.close()


def test_beats_are_left_out_and_words_are_not(ends: tuple[Child, WorkerHandle]) -> None:
    child, handle = ends
    for _ in range(100_000):
        handle.beat()
    handle.retire("x" * 100_000)
    words: list[tuple[str, str]] = []
    while not words:
        words = child.receive()
        handle.beat()
    assert words == [("retire", "x" * 2000)]


def test_a_master_that_is_gone(ends: tuple[Child, WorkerHandle]) -> None:
    child, handle = ends
    handle.receive()
    assert not handle.master_gone
    handle.beat()
    child.close()
    for _ in range(3):
        handle.beat()
    handle.receive()
    assert handle.master_gone
    assert handle.serves_queue
    assert handle.fail("to nobody") == START_FAILED


def test_statuses_in_words() -> None:
    assert describe_status(0) == "exit status 0"
    assert describe_status(3 << 8) == "exit status 3"
    assert describe_status(signal.SIGKILL) == "killed by SIGKILL"
    assert describe_status(40) == "killed by signal 40"
