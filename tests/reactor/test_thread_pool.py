"""The sub-reactors, and which of them serves a connection."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from yolanda.reactor import thread_pool
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.event_loop_thread import EventLoopThread
from yolanda.reactor.thread_pool import ThreadPool


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as made:
        yield made


def test_without_threads_the_main_loop_serves(loop: EventLoop) -> None:
    pool = ThreadPool(loop, 0)
    pool.start()
    assert pool.loops == [loop]
    assert [pool.next_loop(peer) for peer in "abc"] == [loop] * 3
    assert pool.stop()


def test_each_loop_has_its_thread(loop: EventLoop) -> None:
    before = threading.active_count()
    pool = ThreadPool(loop, 3)
    pool.start()
    assert threading.active_count() == before + 3
    assert [made.name for made in pool.loops] == ["Thread-1", "Thread-2", "Thread-3"]
    seen: list[str] = []
    done = threading.Barrier(4, timeout=30)

    def look(made: EventLoop) -> None:
        seen.append(f"{made.name} {made.in_loop_thread}")
        done.wait()

    for made in pool.loops:
        made.run_in_loop(look, made)
    done.wait()
    assert sorted(seen) == ["Thread-1 True", "Thread-2 True", "Thread-3 True"]
    loops = pool.loops
    assert pool.stop()
    assert all(made.closed for made in loops)
    assert threading.active_count() == before
    assert pool.loops == [loop]
    assert not loop.closed


def test_auto_is_two_for_each_processor(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    pool = ThreadPool(loop, "auto")
    pool.start()
    assert len(pool.loops) == 6
    assert pool.stop()


def test_round_robin(loop: EventLoop) -> None:
    pool = ThreadPool(loop, 3, choice="round-robin")
    pool.start()
    chosen = [pool.next_loop("the same peer") for _ in range(9)]
    assert chosen == pool.loops * 3
    assert pool.stop()


def test_least_connections(loop: EventLoop) -> None:
    load: Counter[str] = Counter()
    pool = ThreadPool(loop, 3, choice="least-connections", load=lambda made: load[made.name])
    pool.start()
    for _ in range(30):
        load[pool.next_loop().name] += 1
    assert load == {"Thread-1": 10, "Thread-2": 10, "Thread-3": 10}
    load["Thread-2"] = 5
    assert {pool.next_loop().name for _ in range(3)} == {"Thread-2"}
    assert pool.stop()


def test_peer_hash(loop: EventLoop) -> None:
    pool = ThreadPool(loop, 3, choice="peer-hash")
    pool.start()
    peers = [f"10.0.0.{n}:{port}" for n in range(50) for port in (1000, 2000)]
    chosen = {peer: pool.next_loop(peer) for peer in peers}
    assert {peer: pool.next_loop(peer) for peer in reversed(peers)} == chosen
    assert set(chosen.values()) == set(pool.loops)  # and they are spread over all
    assert pool.stop()


@pytest.mark.parametrize("threads", [-1, "many", 1.5, None])
def test_refuses_odd_numbers(loop: EventLoop, threads: Any) -> None:
    with pytest.raises(ValueError, match=repr(threads)):
        ThreadPool(loop, threads)


def test_refuses_an_unknown_choice(loop: EventLoop) -> None:
    choice: Any = "dice"
    with pytest.raises(ValueError, match=r"'dice'.*round-robin, least-connections, peer-hash"):
        ThreadPool(loop, 1, choice=choice)


def test_least_connections_needs_the_load(loop: EventLoop) -> None:
    with pytest.raises(ValueError, match="load"):
        ThreadPool(loop, 1, choice="least-connections")


def test_a_dispatcher_that_is_not_there(loop: EventLoop) -> None:
    before = set(threading.enumerate())
    pool = ThreadPool(loop, 3, dispatcher="nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        pool.start()
    assert set(threading.enumerate()) == before
    assert pool.loops == [loop]


def test_one_that_fails_stops_those_before_it(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[EventLoopThread] = []

    class ThirdFails(EventLoopThread):
        def __init__(self, name: str, dispatcher: str, *rest: object) -> None:
            super().__init__(name, "nonsense" if len(made) == 2 else dispatcher, *rest)
            made.append(self)

    monkeypatch.setattr(thread_pool, "EventLoopThread", ThirdFails)
    before = set(threading.enumerate())
    pool = ThreadPool(loop, 4)
    with pytest.raises(ValueError, match="nonsense"):
        pool.start()
    assert len(made) == 3
    assert set(threading.enumerate()) == before
    assert pool.loops == [loop]
    assert pool.next_loop() is loop


def test_start_twice(loop: EventLoop) -> None:
    pool = ThreadPool(loop, 1)
    pool.start()
    with pytest.raises(RuntimeError, match="already"):
        pool.start()
    assert pool.stop()
    assert pool.stop()
    pool.start()  # but again after a stop
    assert len(pool.loops) == 1
    assert pool.loops != [loop]
    assert pool.stop()


def test_start_in_another_thread(loop: EventLoop) -> None:
    pool = ThreadPool(loop, 1)
    raised: list[BaseException] = []

    def start() -> None:
        try:
            pool.start()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "belongs to another thread" in str(raised[0])


def test_a_callback_that_blocks(loop: EventLoop) -> None:
    """The others end all the same."""
    pool = ThreadPool(loop, 3)
    pool.start()
    loops = pool.loops
    entered, release = threading.Event(), threading.Event()
    loops[1].run_in_loop(entered.set)
    loops[1].run_in_loop(release.wait, 10)
    assert entered.wait(30)
    threads = pool._threads
    assert pool.stop(0.05) is False
    assert threads[0].stop(5)
    assert threads[2].stop(5)
    assert [made.closed for made in loops] == [True, False, True]
    release.set()
    assert threads[1].stop(5)


def test_all_are_told_before_the_first_is_waited_for(loop: EventLoop) -> None:
    """So that stopping takes as long as the slowest, not as long as all together."""
    pool = ThreadPool(loop, 2)
    pool.start()
    second = pool._threads[1]._thread
    ended: list[bool] = []

    def wait_for_the_second() -> None:
        second.join(30)
        ended.append(not second.is_alive())

    pool.loops[0].run_in_loop(wait_for_the_second)
    assert pool.stop(10)
    assert ended == [True]
