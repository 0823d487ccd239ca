"""A loop in a thread of its own."""

import logging
import threading

import pytest

from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.event_loop_thread import EventLoopThread


@pytest.mark.parametrize("dispatcher", ["auto", *DISPATCHERS])
def test_start_gives_a_loop_that_runs(dispatcher: str) -> None:
    thread = EventLoopThread("a thread", dispatcher)
    loop = thread.start()
    assert loop.name == "a thread"
    seen: list[object] = []
    done = threading.Event()

    def look() -> None:
        seen.extend([loop.in_loop_thread, threading.current_thread().name])
        done.set()

    loop.run_in_loop(look)
    assert done.wait(30)
    assert seen == [True, "a thread"]
    assert not loop.in_loop_thread
    assert thread.stop()
    assert loop.closed


def test_is_ready_when_start_returns() -> None:
    """What is queued right after it is never lost, nor is a stop."""
    for _ in range(50):
        thread = EventLoopThread()
        done = threading.Event()
        loop = thread.start()
        loop.queue_in_loop(done.set)
        assert thread.stop(5)
        assert done.is_set()


def test_names_are_given_by_default() -> None:
    first, second = EventLoopThread(), EventLoopThread()
    assert first.name.startswith("Thread-")
    assert first.name != second.name


def test_a_loop_that_cannot_be_made() -> None:
    before = set(threading.enumerate())
    thread = EventLoopThread("failing", "nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        thread.start()
    assert set(threading.enumerate()) == before
    assert thread.stop()


def test_stop_before_start_and_twice() -> None:
    thread = EventLoopThread()
    assert thread.stop()
    thread.start()
    assert thread.stop()
    assert thread.stop()
    thread.request_stop()


def test_a_callback_that_blocks() -> None:
    thread = EventLoopThread()
    loop = thread.start()
    entered, release = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        release.wait(10)

    loop.run_in_loop(block)
    assert entered.wait(30)
    assert thread.stop(0.01) is False
    assert not loop.closed
    release.set()
    assert thread.stop(5) is True
    assert loop.closed


def test_a_loop_that_ended_takes_no_more() -> None:
    thread = EventLoopThread()
    loop = thread.start()
    thread.stop()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_in_loop(print)
    loop.stop()


def test_a_callback_that_raises_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    thread = EventLoopThread("sturdy")
    loop = thread.start()
    done = threading.Event()
    loop.run_in_loop([].remove, "what is not there")
    loop.run_in_loop(done.set)
    assert done.wait(30)
    assert thread.stop()
    assert "raised, sturdy" in caplog.text


def test_timers_of_a_thread() -> None:
    thread = EventLoopThread()
    loop = thread.start()
    done = threading.Event()
    loop.run_in_loop(loop.call_later, 0.001, done.set)
    assert done.wait(30)
    assert thread.stop()


def test_two_loops_throw_a_ball() -> None:
    left, right = EventLoopThread("left"), EventLoopThread("right")
    loops = [left.start(), right.start()]
    throws: list[str] = []
    done = threading.Event()

    def catch(side: int) -> None:
        throws.append(threading.current_thread().name)
        if len(throws) == 1000:
            done.set()
        else:
            loops[1 - side].run_in_loop(catch, 1 - side)

    loops[0].run_in_loop(catch, 0)
    assert done.wait(20)
    assert throws == ["left", "right"] * 500
    assert left.stop()
    assert right.stop()


def test_the_courses_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "yolanda.reactor")
    thread = EventLoopThread("Thread-1", "poll" if "poll" in DISPATCHERS else "select")
    loop: EventLoop = thread.start()
    loop.run_in_loop(loop.stop)
    assert thread.stop()
    messages = [record.getMessage() for record in caplog.records]
    for message in (
        "set poll as dispatcher, Thread-1",
        "event loop thread init and signal, Thread-1",
        "event loop run, Thread-1",
        "event loop thread started, Thread-1",
        "wakeup, Thread-1",
        "event loop end, Thread-1",
    ):
        assert message in messages
