"""Every dispatcher of the platform is asked for the same things."""

import contextlib
import fcntl
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from yolanda.reactor.dispatcher import (
    DISPATCHERS,
    ERROR,
    HANGUP,
    READ,
    WRITE,
    EventDispatcher,
    make_dispatcher,
)
from yolanda.reactor.dispatcher.select import FD_SETSIZE

NAMES = ["epoll", "epoll-et", "kqueue", "poll", "select"]
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    known: str = request.param
    if not hasattr(select, known.removesuffix("-et")):  # not asked of DISPATCHERS: it may err
        pytest.skip(f"this platform has no {known}")
    return known


@pytest.fixture
def dispatcher(name: str) -> Iterator[EventDispatcher]:
    with contextlib.closing(make_dispatcher(name)) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def fill(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))


def drain(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536):
            pass


def test_knows_its_name(name: str, dispatcher: EventDispatcher) -> None:
    assert dispatcher.name == name
    assert dispatcher.edge_triggered == (name == "epoll-et")


def test_nothing_is_ready(dispatcher: EventDispatcher, pair: Pair) -> None:
    dispatcher.add(pair[0].fileno(), READ)
    assert dispatcher.dispatch(0) == []


def test_readable(dispatcher: EventDispatcher, pair: Pair) -> None:
    fd = pair[0].fileno()
    dispatcher.add(fd, READ)
    pair[1].send(b"x")
    assert dispatcher.dispatch(5) == [(fd, READ)]
    pair[0].recv(10)
    assert dispatcher.dispatch(0) == []


def test_ready_before_it_was_added(dispatcher: EventDispatcher, pair: Pair) -> None:
    pair[1].send(b"x")
    dispatcher.add(pair[0].fileno(), READ)
    assert dispatcher.dispatch(5) == [(pair[0].fileno(), READ)]


def test_writable(dispatcher: EventDispatcher, pair: Pair) -> None:
    ours, theirs = pair
    fd = ours.fileno()
    fill(ours)
    dispatcher.add(fd, WRITE)
    assert dispatcher.dispatch(0) == []
    drain(theirs)
    assert dispatcher.dispatch(5) == [(fd, WRITE)]


def test_both(dispatcher: EventDispatcher, pair: Pair) -> None:
    fd = pair[0].fileno()
    pair[1].send(b"x")
    dispatcher.add(fd, READ | WRITE)
    assert dispatcher.dispatch(5) == [(fd, READ | WRITE)]


def test_only_what_was_asked_for(dispatcher: EventDispatcher, pair: Pair) -> None:
    pair[1].send(b"x")
    dispatcher.add(pair[0].fileno(), 0)
    assert dispatcher.dispatch(0) == []
    dispatcher.update(pair[0].fileno(), WRITE)
    assert dispatcher.dispatch(5) == [(pair[0].fileno(), WRITE)]


def test_update(dispatcher: EventDispatcher, pair: Pair) -> None:
    fd = pair[0].fileno()
    pair[1].send(b"x")
    dispatcher.add(fd, WRITE)
    for events in (READ, READ | WRITE, WRITE, READ):
        dispatcher.update(fd, events)
        assert dispatcher.dispatch(5) == [(fd, events)]
    dispatcher.update(fd, 0)
    assert dispatcher.dispatch(0) == []


def test_update_to_the_same(dispatcher: EventDispatcher, pair: Pair) -> None:
    fd = pair[0].fileno()
    dispatcher.add(fd, READ)
    dispatcher.update(fd, READ)
    pair[1].send(b"x")
    assert dispatcher.dispatch(5) == [(fd, READ)]


def test_remove(dispatcher: EventDispatcher, pair: Pair) -> None:
    fd = pair[0].fileno()
    dispatcher.add(fd, READ | WRITE)
    pair[1].send(b"x")
    dispatcher.remove(fd)
    assert dispatcher.dispatch(0) == []
    dispatcher.add(fd, READ)  # and it can come back
    assert dispatcher.dispatch(5) == [(fd, READ)]


def test_hang_up(dispatcher: EventDispatcher, pair: Pair) -> None:
    """What was sent before the hang-up is still reported as something to read."""
    fd = pair[0].fileno()
    dispatcher.add(fd, READ)
    pair[1].send(b"last words")
    pair[1].close()
    [(ready, events)] = dispatcher.dispatch(5)
    assert ready == fd
    assert events & READ
    assert not events & ~(READ | HANGUP)
    assert pair[0].recv(100) == b"last words"


def test_end_of_stream(dispatcher: EventDispatcher, pair: Pair) -> None:
    dispatcher.add(pair[0].fileno(), READ)
    pair[1].shutdown(socket.SHUT_WR)
    assert dispatcher.dispatch(5) == [(pair[0].fileno(), READ)]


def reset_pair() -> Pair:
    """A connection that its peer has reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return ours, theirs


@pytest.mark.parametrize("watched", [READ, WRITE, READ | WRITE])
def test_error(dispatcher: EventDispatcher, watched: int) -> None:
    """An error shows in what is watched, or as an error: in any case it wakes."""
    ours, theirs = reset_pair()
    with ours, theirs:
        if watched == WRITE:
            fill(ours)
        dispatcher.add(ours.fileno(), watched)
        theirs.close()
        end = time.monotonic() + 5
        seen = 0
        while not seen & (READ | ERROR | HANGUP) and seen != watched:
            assert time.monotonic() < end
            for fd, events in dispatcher.dispatch(0.1):
                assert fd == ours.fileno()
                seen |= events
        assert seen & (watched | ERROR | HANGUP)


@pytest.mark.parametrize("timeout", [0, 0.0, 0.03])
def test_comes_back_without_an_event(
    dispatcher: EventDispatcher, pair: Pair, timeout: float
) -> None:
    dispatcher.add(pair[0].fileno(), READ)
    start = time.monotonic()
    assert dispatcher.dispatch(timeout) == []
    assert time.monotonic() - start >= timeout


def test_a_fraction_of_a_millisecond_is_not_rounded_down(
    dispatcher: EventDispatcher, pair: Pair
) -> None:
    """Else a loop would spin until its next timer is due."""
    dispatcher.add(pair[0].fileno(), READ)
    start = time.monotonic()
    for _ in range(20):
        assert dispatcher.dispatch(0.0004) == []
    assert time.monotonic() - start >= 20 * 0.0004


def test_waits_for_ever_with_none(dispatcher: EventDispatcher, pair: Pair) -> None:
    fd = pair[0].fileno()
    dispatcher.add(fd, READ)
    sender = threading.Timer(0.05, pair[1].send, [b"x"])
    sender.start()
    assert dispatcher.dispatch(None) == [(fd, READ)]
    sender.join()


def test_many_descriptors(dispatcher: EventDispatcher) -> None:
    with contextlib.ExitStack() as stack:
        pairs = []
        for _ in range(300):
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            pairs.append((ours, theirs))
            dispatcher.add(ours.fileno(), READ)
        for _, theirs in pairs[::3]:
            theirs.send(b"x")
        expected = {(ours.fileno(), READ) for ours, _ in pairs[::3]}
        ready = dispatcher.dispatch(5)
        assert len(ready) == len(expected)
        assert set(ready) == expected
        for ours, _ in pairs:
            dispatcher.remove(ours.fileno())


def test_a_level_is_reported_for_as_long_as_it_lasts(
    dispatcher: EventDispatcher, pair: Pair
) -> None:
    if dispatcher.edge_triggered:
        pytest.skip("this one reports edges")
    dispatcher.add(pair[0].fileno(), READ)
    pair[1].send(b"xy")
    for _ in range(3):
        assert dispatcher.dispatch(5) == [(pair[0].fileno(), READ)]
    pair[0].recv(1)
    assert dispatcher.dispatch(5) == [(pair[0].fileno(), READ)]


def test_an_edge_is_reported_once(dispatcher: EventDispatcher, pair: Pair) -> None:
    if not dispatcher.edge_triggered:
        pytest.skip("this one reports levels")
    fd = pair[0].fileno()
    dispatcher.add(fd, READ)
    pair[1].send(b"xy")
    assert dispatcher.dispatch(5) == [(fd, READ)]
    pair[0].recv(1)
    assert dispatcher.dispatch(0) == []  # half of it is still there, but that is no news
    dispatcher.update(fd, READ)
    assert dispatcher.dispatch(5) == [(fd, READ)]
    assert dispatcher.dispatch(0) == []
    pair[1].send(b"z")
    assert dispatcher.dispatch(5) == [(fd, READ)]


def test_fileno(name: str, dispatcher: EventDispatcher, pair: Pair) -> None:
    if name in ("select", "poll"):
        with pytest.raises(OSError, match=f"the {name} dispatcher has no descriptor"):
            dispatcher.fileno()
        return
    dispatcher.add(pair[0].fileno(), READ)
    assert select.select([dispatcher.fileno()], [], [], 0)[0] == []
    pair[1].send(b"x")
    assert select.select([dispatcher.fileno()], [], [], 5)[0] == [dispatcher.fileno()]
    assert dispatcher.dispatch(0) == [(pair[0].fileno(), READ)]
    pair[0].recv(1)
    assert dispatcher.dispatch(0) == []
    assert select.select([dispatcher.fileno()], [], [], 0)[0] == []


@pytest.fixture
def high_descriptor(pair: Pair) -> Iterator[int]:
    """A descriptor beyond what an ``fd_set`` can hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FD_SETSIZE + 50
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} descriptors are allowed here")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    fd = fcntl.fcntl(pair[0].fileno(), fcntl.F_DUPFD_CLOEXEC, FD_SETSIZE)
    try:
        yield fd
    finally:
        os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_descriptor_beyond_fd_setsize(
    name: str, dispatcher: EventDispatcher, pair: Pair, high_descriptor: int
) -> None:
    if name == "select":
        with pytest.raises(OSError, match=rf"{high_descriptor}.*FD_SETSIZE is 1024"):
            dispatcher.add(high_descriptor, READ)
        assert dispatcher.dispatch(0) == []
        return
    pair[1].send(b"x")
    dispatcher.add(high_descriptor, READ)
    assert dispatcher.dispatch(5) == [(high_descriptor, READ)]
    dispatcher.remove(high_descriptor)


# ---- the choice ----------------------------------------------------------------------------


def test_all_that_the_platform_has_are_there() -> None:
    assert list(DISPATCHERS) == [
        name for name in NAMES if hasattr(select, name.removesuffix("-et"))
    ]


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"no dispatcher 'wepoll'.*auto.*poll.*select"):
        make_dispatcher("wepoll")


def test_auto_is_the_best_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOLANDA_DISPATCHER", raising=False)
    with contextlib.closing(make_dispatcher()) as made:
        assert made.name == next(iter(DISPATCHERS))
        assert made.name in ("epoll", "kqueue", "poll")


def test_the_environment_decides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLANDA_DISPATCHER", name)
    with contextlib.closing(make_dispatcher("auto")) as made:
        assert made.name == name
    with contextlib.closing(make_dispatcher("select")) as made:  # what is named goes first
        assert made.name == "select"


@pytest.mark.parametrize("value", ["", "auto"])
def test_the_environment_does_not_decide(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLANDA_DISPATCHER", value)
    with contextlib.closing(make_dispatcher()) as made:
        assert made.name == next(iter(DISPATCHERS))


def test_the_environment_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLANDA_DISPATCHER", "devpoll")
    with pytest.raises(ValueError, match="devpoll"):
        make_dispatcher()
