"""The event loop, the same over every dispatcher."""

import asyncio
import errno
import gc
import logging
import os
import select
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from yolanda.reactor.channel import Channel
from yolanda.reactor.dispatcher import DISPATCHERS, make_dispatcher
from yolanda.reactor.event_loop import EventLoop

Pair = tuple[socket.socket, socket.socket]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=list(DISPATCHERS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def loop(name: str) -> Iterator[EventLoop]:
    with EventLoop(name) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clock_loop(name: str, clock: Clock) -> Iterator[EventLoop]:
    """A loop whose time stands still until a test moves it."""
    with EventLoop(name, clock=clock) as made:
        yield made


@pytest.fixture
def sockets() -> Iterator[Callable[[], Pair]]:
    """Makes connected pairs, and closes what is left of them."""
    made: list[socket.socket] = []

    def make() -> Pair:
        pair = socket.socketpair()
        for sock in pair:
            sock.setblocking(False)
        made.extend(pair)
        return pair

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def pair(sockets: Callable[[], Pair]) -> Pair:
    return sockets()


def in_thread(function: Callable[..., object], *args: object) -> list[BaseException]:
    """Call ``function`` in another thread; what it raised is in the list."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function(*args)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return raised


def is_readable(fd: int, timeout: float = 0) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


# ---- running -------------------------------------------------------------------------------


def test_stop_from_a_callback(loop: EventLoop) -> None:
    turns: list[int] = []

    def turn() -> None:
        turns.append(1)
        if len(turns) == 5:
            loop.stop()
        loop.queue_in_loop(turn)

    loop.queue_in_loop(turn)
    loop.run()
    assert len(turns) >= 5


def test_stop_does_what_is_queued_first(loop: EventLoop) -> None:
    done: list[str] = []
    loop.queue_in_loop(loop.stop)
    loop.queue_in_loop(done.append, "queued before the stop took effect")
    loop.run()
    assert done


def test_stop_from_another_thread_while_it_waits(loop: EventLoop) -> None:
    entered = threading.Event()

    def stop() -> None:
        entered.wait(30)
        loop.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    loop.queue_in_loop(entered.set)
    loop.run()
    stopper.join()


def test_stop_before_run_is_honoured(loop: EventLoop) -> None:
    done: list[int] = []
    loop.queue_in_loop(done.append, 1)
    loop.stop()
    loop.run()
    assert done == [1]
    loop.queue_in_loop(done.append, 2)
    loop.queue_in_loop(loop.stop)
    loop.run()  # it has been spent: this one runs until the next stop
    assert done == [1, 2]


def test_runs_again_and_again(loop: EventLoop) -> None:
    for _ in range(10):
        loop.queue_in_loop(loop.stop)
        loop.run()
    assert loop.statistics.iterations == 10


def test_run_once_says_how_many_events(loop: EventLoop, sockets: Callable[[], Pair]) -> None:
    assert loop.run_once(0) == 0
    for _ in range(3):
        ours, theirs = sockets()
        loop.add_channel(Channel(ours.fileno(), lambda: None))
        theirs.send(b"x")
    assert loop.run_once(5) == 3


def test_run_once_waits_no_longer_than_it_is_told(loop: EventLoop) -> None:
    start = loop.time()
    assert loop.run_once(0.03) == 0
    assert loop.time() - start >= 0.03


def test_repr(loop: EventLoop, name: str) -> None:
    assert repr(loop) == f"<EventLoop 'main thread' on {name}, not running>"
    seen: list[str] = []
    loop.queue_in_loop(lambda: seen.append(repr(loop)))
    loop.run_once(0)
    assert seen == [f"<EventLoop 'main thread' on {name}, running>"]
    loop.close()
    assert repr(loop) == f"<EventLoop 'main thread' on {name}, closed>"


def test_takes_a_dispatcher_that_is_made(name: str) -> None:
    with EventLoop(make_dispatcher(name), name="a loop") as loop:
        assert loop.name == "a loop"
        assert loop.run_once(0) == 0


def test_an_unknown_dispatcher_leaves_nothing_behind() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        EventLoop("nonsense")


# ---- threads and jobs ----------------------------------------------------------------------


def test_run_in_loop_is_at_once_in_its_own_thread(loop: EventLoop) -> None:
    done: list[int] = []
    loop.run_in_loop(done.append, 1)
    assert done == [1]


def test_queue_in_loop_is_for_the_next_turn(loop: EventLoop) -> None:
    done: list[str] = []

    def first() -> None:
        done.append("first")
        loop.queue_in_loop(done.append, "third")
        loop.run_in_loop(done.append, "second")

    loop.queue_in_loop(first)
    loop.run_once(0)
    assert done == ["first", "second"]
    loop.run_once(0)
    assert done == ["first", "second", "third"]


def test_a_job_that_queues_itself_does_not_keep_events_from_being_seen(
    loop: EventLoop, pair: Pair
) -> None:
    seen: list[bytes] = []

    def again() -> None:
        loop.queue_in_loop(again)

    def read() -> None:
        seen.append(pair[0].recv(10))
        loop.stop()

    loop.add_channel(Channel(pair[0].fileno(), read))
    again()
    pair[1].send(b"x")
    loop.run()
    assert seen == [b"x"]


def test_jobs_of_other_threads_come_in_order_and_in_the_loops_thread(loop: EventLoop) -> None:
    threads, each = 4, 2000
    done: dict[int, list[int]] = {n: [] for n in range(threads)}
    where: set[int] = set()
    finished: list[int] = []

    def job(thread: int, number: int) -> None:
        where.add(threading.get_ident())
        done[thread].append(number)
        if number == each - 1:
            finished.append(thread)
            if len(finished) == threads:
                loop.stop()

    def produce(thread: int) -> None:
        for number in range(each):
            loop.run_in_loop(job, thread, number)

    producers = [threading.Thread(target=produce, args=(n,)) for n in range(threads)]
    for producer in producers:
        producer.start()
    loop.run()
    for producer in producers:
        producer.join()
    assert where == {threading.get_ident()}
    assert all(numbers == list(range(each)) for numbers in done.values())


def test_one_wake_up_byte_for_many_jobs(loop: EventLoop) -> None:
    wakes: list[int] = []
    wake = loop._wakeup.wake

    class Counting:
        def wake(self) -> None:
            wakes.append(1)
            wake()

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    real, loop._wakeup = loop._wakeup, Counting()  # type: ignore[assignment]
    done: list[int] = []
    for number in range(100):
        loop.queue_in_loop(done.append, number)
    in_thread(loop.queue_in_loop, done.append, 100)
    assert len(wakes) == 1
    loop.run_once(0)
    assert done == list(range(101))
    assert len(wakes) == 1

    loop.queue_in_loop(lambda: [loop.queue_in_loop(done.append, n) for n in range(100)])
    assert len(wakes) == 2  # it was not in a turn, so it has to be woken
    loop.run_once(0)
    assert len(wakes) == 3  # the jobs that are left, for whoever watches the loop from outside
    loop.run_once(0)
    assert len(wakes) == 3


def test_no_wake_up_from_within_a_running_loop(loop: EventLoop) -> None:
    """Nothing is written to itself for its own jobs: the loop just does not wait."""
    left = [1000]

    def again() -> None:
        left[0] -= 1
        if left[0]:
            loop.queue_in_loop(again)
        else:
            loop.stop()

    loop.call_later(0, again)
    loop.run()
    assert left == [0]
    assert loop.statistics.events <= 1
    assert is_readable(loop._wakeup.fileno())  # of stop()


def test_the_wrong_thread(loop: EventLoop, pair: Pair) -> None:
    channel = Channel(pair[0].fileno(), lambda: None)
    loop.add_channel(channel)
    calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (loop.run, ()),
        (loop.run_once, (0,)),
        (loop.close, ()),
        (loop.fileno, ()),
        (loop.call_later, (1, print)),
        (loop.call_at, (1, print)),
        (loop.call_every, (1, print)),
        (loop.add_channel, (Channel(pair[1].fileno()),)),
        (loop.update_channel, (channel,)),
        (loop.remove_channel, (channel,)),
        (channel.enable_writing, ()),
        (loop.add_signal_handler, (signal.SIGUSR1, print)),
        (loop.remove_signal_handler, (signal.SIGUSR1,)),
        (loop.assert_in_loop_thread, ()),
    ]
    for function, args in calls:
        [error] = in_thread(function, *args)
        assert isinstance(error, RuntimeError), function
        assert "belongs to another thread" in str(error)
    seen: list[bool] = [loop.in_loop_thread]
    in_thread(lambda: seen.append(loop.in_loop_thread))
    assert seen == [True, False]
    assert not loop.closed


def test_a_callback_cannot_run_its_loop(loop: EventLoop) -> None:
    errors: list[str] = []

    def enter(function: Callable[..., object], *args: object) -> None:
        with pytest.raises(RuntimeError) as caught:
            function(*args)
        errors.append(str(caught.value))

    loop.queue_in_loop(enter, loop.run)
    loop.queue_in_loop(enter, loop.run_once, 0)
    loop.queue_in_loop(enter, loop.close)
    loop.run_once(0)
    assert len(errors) == 3
    assert all("in a turn already" in error for error in errors)
    assert loop.run_once(0) == 0
    assert not loop.closed


# ---- timers --------------------------------------------------------------------------------


def test_timers_with_a_clock_that_is_moved(clock_loop: EventLoop, clock: Clock) -> None:
    fired: list[str] = []
    clock_loop.call_later(10, fired.append, "later")
    clock_loop.call_at(1005, fired.append, "at")
    clock_loop.call_every(4, fired.append, "every")
    gone = clock_loop.call_later(1, fired.append, "cancelled")
    gone.cancel()
    assert clock_loop.statistics.timers == 3
    history = {}
    for second in range(1001, 1014):
        clock.now = second
        clock_loop.run_once(0)
        history[second] = fired.copy()
        fired.clear()
    assert {second: names for second, names in history.items() if names} == {
        1004: ["every"],
        1005: ["at"],
        1008: ["every"],
        1010: ["later"],
        1012: ["every"],
    }
    assert clock_loop.time() == 1013


def test_a_timer_ends_the_wait(loop: EventLoop) -> None:
    fired: list[float] = []
    start = loop.time()
    loop.call_later(0.02, lambda: (fired.append(loop.time()), loop.stop()))
    loop.run()
    assert fired[0] - start >= 0.02


def test_every_until_cancelled_from_within(loop: EventLoop) -> None:
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            timer.cancel()
            loop.call_later(0.01, loop.stop)

    timer = loop.call_every(0.001, beat)
    loop.run()
    assert len(beats) == 3
    assert not timer.active


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_refuses_an_interval_without_length(loop: EventLoop, interval: float) -> None:
    with pytest.raises(ValueError, match=str(interval)):
        loop.call_every(interval, print)


def test_refuses_a_time_that_is_no_number(loop: EventLoop) -> None:
    """It would stand in the way of all other timers, and the loop would spin."""
    for call in (loop.call_later, loop.call_at):
        with pytest.raises(ValueError, match="nan"):
            call(float("nan"), print)
    assert loop.statistics.timers == 0


def test_a_timer_cancels_another_that_is_due_with_it(clock_loop: EventLoop, clock: Clock) -> None:
    fired: list[str] = []
    clock_loop.call_later(1, lambda: (fired.append("first"), second.cancel()))
    second = clock_loop.call_later(1, fired.append, "second")
    clock_loop.call_later(1, fired.append, "third")
    clock.now += 2
    clock_loop.run_once(0)
    assert fired == ["first", "third"]


def test_a_timer_that_sets_itself_for_now_does_not_hold_the_loop(
    clock_loop: EventLoop, pair: Pair
) -> None:
    calls: list[int] = []

    def again() -> None:
        calls.append(1)
        assert len(calls) < 100, "the timers never end"
        clock_loop.call_later(0, again)

    def read() -> None:
        pair[0].recv(10)
        clock_loop.stop()

    clock_loop.add_channel(Channel(pair[0].fileno(), read))
    clock_loop.call_later(0, again)
    clock_loop.call_later(0, pair[1].send, b"x")
    clock_loop.run()
    assert len(calls) < 10


@pytest.mark.parametrize("delay", [3e6, 1e10, 1e30, float("inf")])
def test_a_timer_of_the_far_future(loop: EventLoop, pair: Pair, delay: float) -> None:
    """The wait that it asks for is longer than the system calls can express."""
    timer = loop.call_later(delay, print)
    loop.add_channel(Channel(pair[0].fileno(), lambda: pair[0].recv(1)))
    pair[1].send(b"x")
    assert loop.run_once(None) == 1
    assert timer.active
    timer.cancel()


def test_a_hundred_thousand_timers(clock: Clock) -> None:
    with EventLoop(clock=clock) as loop:
        fired: list[int] = []
        # A number that has no factor in common with the count visits every time once.
        timers = {n: loop.call_at(2000.0 + n, fired.append, n) for n in _shuffled(100_000)}
        for n in range(0, 100_000, 2):
            timers[n].cancel()
        assert loop.statistics.timers == 50_000
        for now in (30_000, 50_000, 200_000):
            clock.now = now
            loop.run_once(0)
        assert fired == list(range(1, 100_000, 2))
        assert loop.statistics.timers == 0


def _shuffled(count: int) -> Iterator[int]:
    return (n * 7919 % count for n in range(count))


# ---- signals -------------------------------------------------------------------------------


@pytest.fixture
def signal_before() -> Iterator[list[int]]:
    """A handler of the program's own, which must be there again afterwards."""
    came: list[int] = []

    def handler(number: int, frame: object) -> None:
        came.append(number)

    before = signal.signal(signal.SIGUSR1, handler)
    yield came
    assert signal.getsignal(signal.SIGUSR1) is handler
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_is_handled_in_the_loop(loop: EventLoop, signal_before: list[int]) -> None:
    calls: list[tuple[str, str]] = []

    def on_signal(text: str) -> None:
        with pytest.raises(RuntimeError, match="in a turn"):
            loop.run_once(0)
        calls.append((text, threading.current_thread().name))
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, on_signal, "came")
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    sender.start()
    loop.run()
    sender.join()
    assert calls == [("came", threading.current_thread().name)]
    assert signal_before == []
    assert loop.remove_signal_handler(signal.SIGUSR1)
    assert not loop.remove_signal_handler(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal_before == [signal.SIGUSR1]


def test_a_signal_before_the_loop_waits(loop: EventLoop, signal_before: list[int]) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run()
    assert signal_before == []
    loop.close()


def test_the_interpreter_itself_wakes_the_loop_for_a_signal(
    loop: EventLoop, signal_before: list[int]
) -> None:
    """Else one that comes just before the loop goes to sleep would wait for the next event."""
    loop.add_signal_handler(signal.SIGUSR1, print)
    fd = signal.set_wakeup_fd(-1)
    assert fd == loop._wakeup._writer.fileno()
    signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    loop.close()


def test_a_signal_from_within_a_callback(loop: EventLoop, signal_before: list[int]) -> None:
    calls: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, calls.append, 1)
    loop.add_signal_handler(signal.SIGUSR1, lambda: (calls.append(2), loop.stop()))  # replaces
    loop.queue_in_loop(signal.raise_signal, signal.SIGUSR1)
    loop.run()
    assert calls == [2]
    loop.close()


def test_two_signals(loop: EventLoop, signal_before: list[int]) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    calls: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, calls.append, "one")
    loop.add_signal_handler(signal.SIGUSR2, lambda: (calls.append("two"), loop.stop()))
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    loop.run()
    assert calls == ["one", "two"]
    assert loop.remove_signal_handler(signal.SIGUSR2)
    assert signal.getsignal(signal.SIGUSR2) == before
    signal.raise_signal(signal.SIGUSR1)  # the other goes on to work
    loop.run_once(5)
    assert calls == ["one", "two", "one"]
    loop.close()


def test_a_signal_in_a_loop_of_another_thread_is_refused() -> None:
    def try_it() -> None:
        with EventLoop() as loop:
            loop.add_signal_handler(signal.SIGUSR1, print)

    before = signal.getsignal(signal.SIGUSR1)
    [error] = in_thread(try_it)
    assert isinstance(error, ValueError)
    assert signal.getsignal(signal.SIGUSR1) is before


# ---- exceptions ----------------------------------------------------------------------------


def test_a_callback_that_raises_is_logged_and_ends_nothing_else(
    loop: EventLoop, sockets: Callable[[], Pair], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Exception] = []
    read: list[bytes] = []

    def fail(sock: socket.socket, text: str) -> None:
        sock.recv(10)
        raise ValueError(text)

    (bad, bad_peer), (worse, worse_peer), (good, good_peer) = sockets(), sockets(), sockets()

    def tell(error: Exception) -> None:
        told.append(error)
        raise KeyError("the handler fails too")

    loop.add_channel(Channel(bad.fileno(), lambda: fail(bad, "bad")))
    loop.add_channel(Channel(worse.fileno(), lambda: fail(worse, "worse"), on_exception=tell))
    loop.add_channel(Channel(good.fileno(), lambda: read.append(good.recv(10))))
    loop.call_later(0, fail, good, "never called with an empty socket")
    for peer in (bad_peer, worse_peer, good_peer):
        peer.send(b"x")
    loop.queue_in_loop([].remove, "a job's")
    loop.queue_in_loop(read.append, b"a job after it")
    loop.run_once(5)
    loop.run_once(0)
    assert read == [b"x", b"a job after it"]
    assert [str(error) for error in told] == ["worse"]
    for text in ("ValueError: bad", "ValueError: worse", "the handler fails too", "BlockingIO"):
        assert text in caplog.text
    assert f"<Channel fd={bad.fileno()} watched for reading> raised, main thread" in caplog.text
    assert "a timer raised, main thread" in caplog.text
    assert "a queued callback raised, main thread" in caplog.text
    assert {record.name for record in caplog.records} == {"yolanda.reactor"}
    bad_peer.send(b"again")  # its channel is still there
    assert loop.run_once(5) == 1


def test_an_application_can_hear_of_exceptions(
    loop: EventLoop, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, str]] = []

    def hear(error: Exception, whose: str) -> None:
        heard.append((str(error), whose))
        if len(heard) == 3:
            raise KeyError("it fails itself")

    def fail(text: str) -> None:
        raise ValueError(text)

    def read() -> None:
        pair[0].recv(10)
        fail("1")

    loop.on_exception = hear
    told: list[Exception] = []
    channel = Channel(pair[0].fileno(), read, on_exception=told.append)
    loop.add_channel(channel)
    pair[1].send(b"x")
    loop.call_later(0, fail, "2")
    loop.queue_in_loop(fail, "3")
    loop.run_once(5)
    assert heard == [("1", repr(channel)), ("2", "a timer"), ("3", "a queued callback")]
    assert "it fails itself" in caplog.text
    assert "ValueError: 1" not in caplog.text
    pair[1].send(b"x")
    loop.call_later(0, heard.clear)
    heard.pop()
    loop.run_once(5)  # now it fails for the channel's exception
    assert [str(error) for error in told] == ["1", "1"]  # whose owner is told all the same


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["channel", "timer", "job"])
def test_an_interrupt_leaves_run_and_loses_nothing(
    loop: EventLoop,
    sockets: Callable[[], Pair],
    kind: type[BaseException],
    where: str,
) -> None:
    done: list[object] = []
    (ours, theirs), (other, other_peer) = sockets(), sockets()
    interrupted: list[int] = []

    def interrupt() -> None:
        if not interrupted:
            interrupted.append(1)
            raise kind

    def read(sock: socket.socket) -> None:
        if where == "channel":
            interrupt()
        done.append(sock.recv(10))

    def finish() -> None:
        loop.queue_in_loop(done.append, "job of the last")
        loop.call_later(0.001, loop.stop)

    for sock in (ours, other):
        loop.add_channel(Channel(sock.fileno(), lambda sock=sock: read(sock)))
    theirs.send(b"read")
    other_peer.send(b"read")
    loop.queue_in_loop(done.append, "first")
    if where == "job":
        loop.queue_in_loop(interrupt)
    loop.queue_in_loop(done.append, "second")
    if where == "timer":
        loop.call_later(0, interrupt)
    loop.call_later(0, done.append, "timer")
    loop.queue_in_loop(finish)
    with pytest.raises(kind):
        loop.run()
    assert "not running" in repr(loop)
    loop.run()
    assert done.count(b"read") == 2
    assert [text for text in done if text in ("first", "second", "job of the last")] == [
        "first",
        "second",
        "job of the last",
    ]
    assert done.count("timer") == 1


def test_control_c_while_it_waits(loop: EventLoop, request: pytest.FixtureRequest) -> None:
    # A shell starts what it puts in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    sender.join()
    loop.queue_in_loop(loop.stop)
    loop.run()


def test_jobs_wake_an_interrupted_loop_that_is_watched_from_outside() -> None:
    with EventLoop("epoll" if sys.platform == "linux" else "kqueue") as loop:
        done: list[int] = []

        def interrupt() -> None:
            raise KeyboardInterrupt

        fd = loop.fileno()
        loop.queue_in_loop(interrupt)
        loop.queue_in_loop(done.append, 1)
        with pytest.raises(KeyboardInterrupt):
            loop.run_once(0)
        assert is_readable(fd)
        loop.run_once(0)
        assert done == [1]


# ---- channels ------------------------------------------------------------------------------


def test_a_channel_reads_and_writes(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    seen: list[object] = []
    channel = Channel(
        ours.fileno(), lambda: seen.append(ours.recv(10)), lambda: seen.append("writable")
    )
    loop.add_channel(channel)
    assert channel.reading
    assert not channel.writing
    assert loop.run_once(0) == 0
    channel.enable_writing()
    assert loop.run_once(5) == 1
    assert seen == ["writable"]
    channel.disable_writing()
    assert loop.run_once(0) == 0
    theirs.send(b"a")
    loop.run_once(5)
    assert seen == ["writable", b"a"]
    channel.disable_reading()
    theirs.send(b"b")
    assert loop.run_once(0) == 0
    channel.enable_reading()
    assert loop.run_once(5) == 1
    assert seen[2:] == [b"b"]
    loop.remove_channel(channel)
    theirs.send(b"c")
    assert loop.run_once(0) == 0


def test_reading_comes_before_writing(loop: EventLoop, pair: Pair) -> None:
    order: list[str] = []
    channel = Channel(pair[0].fileno(), lambda: order.append("read"), lambda: order.append("write"))
    channel.enable_writing()
    loop.add_channel(channel)
    pair[1].send(b"x")
    loop.run_once(5)
    assert order == ["read", "write"]


def test_no_writing_after_reading_removed_the_channel(loop: EventLoop, pair: Pair) -> None:
    order: list[str] = []
    channel = Channel(
        pair[0].fileno(),
        lambda: (order.append("read"), loop.remove_channel(channel)),
        lambda: order.append("write"),
    )
    channel.enable_writing()
    loop.add_channel(channel)
    pair[1].send(b"x")
    loop.run_once(5)
    loop.run_once(0)
    assert order == ["read"]


def test_a_hang_up_that_nobody_watches_for_does_not_spin(
    loop: EventLoop, sockets: Callable[[], Pair]
) -> None:
    (plain, plain_peer), (told, told_peer) = sockets(), sockets()
    hang_ups: list[str] = []
    quiet = Channel(plain.fileno())

    def hang_up() -> None:
        hang_ups.append("hang-up")
        loop.remove_channel(watched)

    watched = Channel(told.fileno(), on_hangup=hang_up)
    loop.add_channel(quiet)
    loop.add_channel(watched)
    plain_peer.close()
    told_peer.close()
    loop.run_once(0)
    assert loop.run_once(0) == 0
    if loop._dispatcher.name in ("epoll", "epoll-et", "poll"):
        assert hang_ups == ["hang-up"]
        assert quiet.loop is None


def test_refuses_channels_that_do_not_fit(loop: EventLoop, pair: Pair) -> None:
    channel = Channel(pair[0].fileno(), lambda: None)
    with pytest.raises(ValueError, match="is not in"):
        loop.remove_channel(channel)
    loop.add_channel(channel)
    with pytest.raises(ValueError, match=f"descriptor {channel.fd} has a channel"):
        loop.add_channel(Channel(channel.fd))
    with pytest.raises(ValueError, match="-1"):
        loop.add_channel(Channel(-1))
    loop.remove_channel(channel)
    with pytest.raises(ValueError, match="is not in"):
        loop.remove_channel(channel)


def test_a_channel_that_the_dispatcher_refuses_leaves_nothing_behind(pair: Pair) -> None:
    class Refusing:
        """A dispatcher with no room but for the loop's own wake-up pair."""

        def __init__(self) -> None:
            self.real = make_dispatcher()
            self.left = 1

        def add(self, fd: int, events: int) -> None:
            if not self.left:
                raise OSError(errno.ENOSPC, "no room")
            self.left -= 1
            self.real.add(fd, events)

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    dispatcher = Refusing()
    with EventLoop(dispatcher) as loop:  # type: ignore[arg-type]
        channel = Channel(pair[0].fileno(), lambda: None)
        with pytest.raises(OSError, match="no room"):
            loop.add_channel(channel)
        assert channel.loop is None
        assert loop.statistics.channels == 1
        dispatcher.left = 1
        loop.add_channel(channel)


def test_a_channel_removed_by_an_earlier_event_of_the_batch(
    loop: EventLoop, sockets: Callable[[], Pair]
) -> None:
    """Two are ready; whichever is called first removes the other."""
    called: list[int] = []
    channels: list[Channel] = []

    def read(index: int) -> None:
        called.append(index)
        loop.remove_channel(channels[1 - index])

    for index in range(2):
        ours, theirs = sockets()
        theirs.send(b"x")
        channels.append(Channel(ours.fileno(), lambda index=index: read(index)))
        loop.add_channel(channels[-1])
    assert loop.run_once(5) == 2
    assert len(called) == 1


def test_a_number_that_changed_hands_within_the_batch(
    loop: EventLoop, sockets: Callable[[], Pair]
) -> None:
    """The event of the former owner does not reach the new one."""
    pairs = [sockets(), sockets()]
    channels: list[Channel] = []
    called: list[str] = []
    turn: list[int] = []
    fresh, fresh_peer = sockets()

    def read(index: int) -> None:
        called.append("old")
        victim = channels[1 - index]
        number = victim.fd
        loop.remove_channel(victim)
        pairs[1 - index][0].close()
        assert os.dup2(fresh.fileno(), number, inheritable=False) == number
        loop.add_channel(Channel(number, lambda: called.append(f"new {number}")))
        turn.append(number)

    for index, (ours, theirs) in enumerate(pairs):
        theirs.send(b"x")
        channels.append(Channel(ours.fileno(), lambda index=index: read(index)))
        loop.add_channel(channels[-1])
    try:
        assert loop.run_once(5) == 2  # both were ready
        assert called == ["old"]
        loop.remove_channel(next(channel for channel in channels if channel.loop))
        assert loop.run_once(0) == 0
        fresh_peer.send(b"y")  # and the new one works from now on
        assert loop.run_once(5) == 1
        assert called == ["old", f"new {turn[0]}"]
        loop.remove_channel(loop._channels.entries[turn[0]])  # type: ignore[arg-type]
    finally:
        os.close(turn[0])


def test_a_descriptor_that_is_closed_under_its_channel(
    loop: EventLoop, sockets: Callable[[], Pair], caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of the application; but the loop neither ends nor spins, and others are served."""
    (closed, _closed_peer), (ours, theirs) = sockets(), sockets()
    told: list[Exception] = []
    read: list[bytes] = []
    channel = Channel(closed.fileno(), lambda: None, on_exception=told.append)
    loop.add_channel(channel)
    loop.add_channel(Channel(ours.fileno(), lambda: read.append(ours.recv(10))))
    closed.close()
    theirs.send(b"x")
    for _ in range(3):
        loop.run_once(0)
    assert read == [b"x"]
    assert loop.run_once(0) == 0
    if loop._dispatcher.name in ("poll", "select"):  # epoll and kqueue forget it by themselves
        assert channel.loop is None
        assert f"descriptor {channel.fd} was closed before its channel left" in str(told[0])
        assert len(told) == 1
        assert str(told[0]) in caplog.text


def test_a_channel_added_in_a_turn_is_seen_in_the_next(
    loop: EventLoop, sockets: Callable[[], Pair]
) -> None:
    called: list[str] = []
    (ours, theirs), (new, new_peer) = sockets(), sockets()
    new_peer.send(b"y")
    theirs.send(b"x")

    def read() -> None:
        ours.recv(10)
        loop.add_channel(Channel(new.fileno(), lambda: called.append("new")))

    loop.add_channel(Channel(ours.fileno(), read))
    loop.run_once(5)
    assert called == []
    loop.run_once(5)
    assert called == ["new"]


# ---- statistics and trace ------------------------------------------------------------------


def test_statistics(clock_loop: EventLoop, clock: Clock, pair: Pair) -> None:
    before = clock_loop.statistics
    assert (before.iterations, before.events, before.channels, before.timers) == (0, 0, 1, 0)

    def read() -> None:
        pair[0].recv(10)
        clock.now += 2

    clock_loop.add_channel(Channel(pair[0].fileno(), read))
    pair[1].send(b"x")
    clock_loop.run_once(5)
    pair[1].send(b"x")
    clock_loop.run_once(5)
    clock_loop.run_once(0)
    after = clock_loop.statistics
    assert (after.iterations, after.events, after.channels) == (3, 2, 2)
    assert after.callback_seconds == 4
    assert after.longest_turn == 2
    assert after.lag == after.worst_lag == 0


def test_statistics_of_timers(clock_loop: EventLoop, clock: Clock) -> None:
    for delay in (10, 20):
        clock_loop.call_later(delay, str)
    assert clock_loop.statistics.timers == 2
    clock.now += 13
    clock_loop.run_once(0)
    assert clock_loop.statistics.lag == 3
    clock.now = 1021
    clock_loop.run_once(0)
    assert clock_loop.statistics.lag == 1
    assert clock_loop.statistics.worst_lag == 3
    assert clock_loop.statistics.timers == 0


@pytest.mark.parametrize("kind", ["timer", "job"])
def test_timers_and_jobs_count_as_callbacks(clock_loop: EventLoop, clock: Clock, kind: str) -> None:
    """A callback that blocks must show, whatever called it."""

    def block() -> None:
        clock.now += 5

    if kind == "timer":
        clock_loop.call_later(0, block)
    else:
        clock_loop.call_later(0, clock_loop.queue_in_loop, block)
    clock_loop.run_once(0)
    assert clock_loop.statistics.callback_seconds == 5
    assert clock_loop.statistics.longest_turn == 5


def test_the_courses_trace(name: str, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "yolanda.reactor")
    fd = pair[0].fileno()
    with EventLoop(name) as loop:
        channel = Channel(fd, lambda: (pair[0].recv(1), loop.stop()))
        loop.add_channel(channel)
        pair[1].send(b"x")
        loop.run()
        loop.remove_channel(channel)
    assert [record.getMessage() for record in caplog.records] == [
        f"set {name} as dispatcher, main thread",
        f"add channel fd == {_wakeup_fd(caplog)}, main thread",
        f"add channel fd == {fd}, main thread",
        "event loop run, main thread",
        f"{name}_wait wakeup, main thread",
        f"get message channel fd=={fd} for read, main thread",
        f"activate channel fd == {fd}, revents=2, main thread",
        "event loop end, main thread",
        f"delete channel fd == {fd}, main thread",
    ]


def _wakeup_fd(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.records[1].getMessage().split()[4].rstrip(",")


# ---- the end -------------------------------------------------------------------------------


def test_close_gives_everything_back(name: str) -> None:
    """The fixture that looks for leaks sees to the descriptors."""
    loop = EventLoop(name)
    if name not in ("select", "poll"):
        loop.fileno()
    loop.call_later(1, print)
    loop.queue_in_loop(print)
    assert not loop.closed
    loop.close()
    loop.close()
    assert loop.closed


def test_closes_even_in_a_cycle(name: str) -> None:
    for _ in range(3):
        with EventLoop(name) as loop:
            loop.queue_in_loop(loop.stop)
            loop.run()
    gc.collect()


def test_a_closed_loop_refuses(name: str) -> None:
    loop = EventLoop(name)
    loop.close()
    for function, args in (
        (loop.run, ()),
        (loop.run_once, (0,)),
        (loop.queue_in_loop, (print,)),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            function(*args)  # type: ignore[operator]
    [error] = in_thread(loop.run_in_loop, print)
    assert isinstance(error, RuntimeError)
    loop.stop()  # too late, and harmless, as it may come from any thread


# ---- the loop within another ---------------------------------------------------------------


@pytest.fixture(params=[name for name in DISPATCHERS if name not in ("select", "poll")])
def inner(request: pytest.FixtureRequest) -> Iterator[EventLoop]:
    """A loop that can be embedded."""
    with EventLoop(request.param) as made:
        yield made


@pytest.mark.parametrize("name", ["select", "poll"], indirect=False)
def test_some_cannot_be_embedded(name: str) -> None:
    with EventLoop(name) as loop, pytest.raises(OSError, match="use epoll"):
        loop.fileno()


def test_is_not_readable_without_a_reason(inner: EventLoop, pair: Pair) -> None:
    fd = inner.fileno()
    assert inner.fileno() == fd
    inner.add_channel(Channel(pair[0].fileno(), lambda: pair[0].recv(10)))
    assert not is_readable(fd)
    pair[1].send(b"x")
    assert is_readable(fd, 5)
    inner.run_once(0)
    assert not is_readable(fd)


def test_a_job_makes_it_readable(inner: EventLoop) -> None:
    fd = inner.fileno()
    done: list[str] = []
    inner.queue_in_loop(done.append, "same thread")
    assert is_readable(fd)
    inner.run_once(0)
    assert not is_readable(fd)
    in_thread(inner.queue_in_loop, done.append, "other thread")
    assert is_readable(fd)
    inner.run_once(0)
    assert not is_readable(fd)
    inner.queue_in_loop(inner.queue_in_loop, done.append, "queued by a job")
    inner.run_once(0)
    assert is_readable(fd)
    inner.run_once(0)
    assert done == ["same thread", "other thread", "queued by a job"]
    assert not is_readable(fd)


@pytest.mark.parametrize("set_first", [True, False])
def test_a_timer_makes_it_readable(inner: EventLoop, set_first: bool) -> None:
    """And only until it has been seen to: else the loop around it would spin."""
    done: list[float] = []
    if set_first:
        inner.call_later(0.01, lambda: done.append(inner.time()))
    fd = inner.fileno()
    if not set_first:
        inner.call_later(0.01, lambda: done.append(inner.time()))
    end = inner.time() + 5
    while not done and inner.time() < end:
        assert is_readable(fd, 5)
        inner.run_once(0)
    assert len(done) == 1
    assert not is_readable(fd)


def test_an_earlier_timer_and_a_later_one(inner: EventLoop) -> None:
    fd = inner.fileno()
    done: list[str] = []
    inner.call_later(0.03, done.append, "third")
    # Set when the first has fired; a machine that stalls meanwhile may make it the last.
    inner.call_later(0.01, inner.call_later, 0.001, done.append, "second")
    inner.call_later(0.001, done.append, "first")
    inner.call_later(1000, done.append, "never")
    turns = 0
    while len(done) < 3:
        assert is_readable(fd, 5)
        inner.run_once(0)
        turns += 1
    assert done[0] == "first"
    assert sorted(done[1:]) == ["second", "third"]
    assert turns < 20
    assert not is_readable(fd)


@pytest.mark.parametrize("name", [name for name in DISPATCHERS if name not in ("select", "poll")])
def test_a_descriptor_that_is_readable_too_early(name: str, clock: Clock) -> None:
    """The kernel's clock and the loop's need not agree: then it is told again."""
    with EventLoop(name, clock=clock) as inner:
        done: list[str] = []
        fd = inner.fileno()
        inner.call_later(0.001, done.append, "timer")
        for _ in range(3):
            assert is_readable(fd, 5)
            inner.run_once(0)
            assert done == []
        clock.now += 1
        assert is_readable(fd, 5)
        inner.run_once(0)
        assert done == ["timer"]


def test_a_cancelled_timer_wakes_at_most_once(inner: EventLoop) -> None:
    fd = inner.fileno()
    inner.call_later(0.001, print).cancel()
    while is_readable(fd, 0.02):
        inner.run_once(0)
    assert inner.statistics.iterations <= 2


@pytest.mark.parametrize("delay", [3e6, 1e10, 1e30, float("inf")])
def test_a_timer_of_the_far_future_within_another(inner: EventLoop, delay: float) -> None:
    fd = inner.fileno()
    timer = inner.call_later(delay, print)
    inner.run_once(0)
    assert not is_readable(fd)
    timer.cancel()


def test_runs_by_itself_and_then_within_another(inner: EventLoop) -> None:
    """Both ways of running, by turns, with timers of each left for the other."""
    fd = inner.fileno()
    done: list[str] = []
    inner.call_later(0.001, done.append, "set outside, due in run")
    inner.call_later(0.002, inner.call_later, 0.01, done.append, "set in run, due outside")
    inner.call_later(0.003, inner.stop)
    inner.run()
    assert inner.statistics.iterations < 20  # the descriptor of the timers did not make it spin
    while len(done) < 2:
        assert is_readable(fd, 5)
        inner.run_once(0)
    assert done == ["set outside, due in run", "set in run, due outside"]
    assert not is_readable(fd)


def into_asyncio(inner: EventLoop, outer: asyncio.AbstractEventLoop, pair: Pair) -> None:
    """Everything that can happen to the inner loop, while the outer one runs alone."""
    done: asyncio.Queue[object] = asyncio.Queue()

    async def main() -> None:
        outer.add_reader(inner.fileno(), inner.run_once, 0)
        inner.add_channel(Channel(pair[0].fileno(), lambda: done.put_nowait(pair[0].recv(10))))
        pair[1].send(b"event")
        assert await asyncio.wait_for(done.get(), 5) == b"event"

        inner.call_later(0.001, done.put_nowait, "timer")
        assert await asyncio.wait_for(done.get(), 5) == "timer"

        inner.queue_in_loop(done.put_nowait, "same thread")
        assert await asyncio.wait_for(done.get(), 5) == "same thread"

        sender = threading.Thread(target=inner.run_in_loop, args=(done.put_nowait, "other thread"))
        sender.start()
        assert await asyncio.wait_for(done.get(), 5) == "other thread"
        sender.join()

        beats = inner.call_every(0.001, done.put_nowait, "beat")
        for _ in range(3):
            assert await asyncio.wait_for(done.get(), 5) == "beat"
        beats.cancel()

        turns = inner.statistics.iterations
        await asyncio.sleep(0.05)  # nothing happens: the inner loop must not turn
        assert inner.statistics.iterations <= turns + 2
        outer.remove_reader(inner.fileno())

    outer.run_until_complete(main())


def test_within_asyncio(inner: EventLoop, pair: Pair) -> None:
    outer = asyncio.new_event_loop()
    try:
        into_asyncio(inner, outer, pair)
    finally:
        outer.close()


@pytest.mark.leaks  # libuv keeps one pipe for signals for as long as the process lives
def test_within_uvloop(inner: EventLoop, pair: Pair) -> None:
    uvloop = pytest.importorskip("uvloop")
    outer = uvloop.new_event_loop()
    try:
        into_asyncio(inner, outer, pair)
    finally:
        outer.close()


def test_within_selectors(inner: EventLoop, pair: Pair) -> None:
    with selectors.DefaultSelector() as outer:
        outer.register(inner.fileno(), selectors.EVENT_READ)
        seen: list[object] = []

        def outer_turns(expected: object) -> None:
            while expected not in seen:
                assert outer.select(5), f"not woken for {expected}"
                inner.run_once(0)

        inner.add_channel(Channel(pair[0].fileno(), lambda: seen.append(pair[0].recv(10))))
        pair[1].send(b"event")
        outer_turns(b"event")
        inner.call_later(0.001, seen.append, "timer")
        outer_turns("timer")
        inner.queue_in_loop(seen.append, "same thread")
        outer_turns("same thread")
        in_thread(inner.run_in_loop, seen.append, "other thread")
        outer_turns("other thread")
        assert outer.select(0) == []


def test_a_signal_within_asyncio(inner: EventLoop, signal_before: list[int]) -> None:
    """Asyncio has the place for wake-up bytes; the inner loop is woken through it."""
    outer = asyncio.new_event_loop()
    came: list[str] = []

    async def main() -> None:
        theirs = asyncio.Event()
        ours = asyncio.Event()
        outer.add_signal_handler(signal.SIGUSR2, theirs.set)
        outer.add_reader(inner.fileno(), inner.run_once, 0)
        inner.add_signal_handler(signal.SIGUSR1, lambda: [came.append("ours"), ours.set()])
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(ours.wait(), 5)
        inner.remove_signal_handler(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)  # asyncio's own still come
        await asyncio.wait_for(theirs.wait(), 5)
        outer.remove_signal_handler(signal.SIGUSR2)
        outer.remove_reader(inner.fileno())

    try:
        outer.run_until_complete(main())
    finally:
        outer.close()
    assert came == ["ours"]


def test_a_loop_within_a_loop_of_its_own_kind(inner: EventLoop, loop: EventLoop) -> None:
    done: list[str] = []
    channel = Channel(inner.fileno(), lambda: inner.run_once(0))
    loop.add_channel(channel)
    inner.call_later(0.001, done.append, "timer")
    inner.queue_in_loop(done.append, "job")
    while len(done) < 2:
        assert loop.run_once(5)
        if loop.edge_triggered:
            channel.rearm()
    assert done == ["job", "timer"]
    loop.remove_channel(channel)
