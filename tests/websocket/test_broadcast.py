"""One message to many."""

import contextlib
import resource
import threading
from typing import Any

import pytest
from websockets.sync.client import connect

from yolanda.websocket import broadcast

TEXT, BINARY, CLOSE = 1, 2, 8
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("message", ["to all", b"\0\xff" * 500, "word " * 1000])
def test_all_are_told(serve: Any, eventually: Any, threads: int, message: Any) -> None:
    served = serve(threads=threads)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(connect(f"ws://{served.server.address}/", compression=compression))
            for compression in ("deflate", None) * 4
        ]
        eventually(lambda: served.events.count(("open",)) == 8)
        assert {websocket.compressed for websocket in served.websockets} == {True, False}
        broadcast(served.websockets, message)
        assert [client.recv() for client in clients] == [message] * 8


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("bits", [9, 15])
def test_it_stands_among_other_messages(serve: Any, keep: bool, bits: int) -> None:
    # What the client's decompressor has seen, and ours has not, must do no harm.
    served = serve(context_takeover=keep, window_bits=bits, compress_from=1)
    with connect(f"ws://{served.server.address}/") as client:
        served.wait_for("open")
        for number in range(30):
            text = f"a line that comes again, and hardly changes: {number}. " * 3
            client.send(text)
            assert client.recv() == text
            broadcast(served.websockets, text.upper())
            assert client.recv() == text.upper()
            broadcast(served.websockets, text)
            assert client.recv() == text


def test_it_is_compressed_once(serve: Any) -> None:
    served = serve()
    peers = [served.shake("/", OFFER) for _ in range(3)]
    broadcast(served.websockets, "word " * 1000)
    frames = [peer.read() for peer in peers]
    assert frames[0] == frames[1] == frames[2]
    assert len(frames[0][1]) < 200
    assert {peer.rsv for peer in peers} == {4}


def fill(served: Any, count: int) -> list[Any]:
    """Clients that take nothing, for whom more than high water is queued; and one that does."""
    slow = [served.connect(receive_buffer=4096).shake() for _ in range(count)]
    websockets = list(served.websockets)

    def stuff() -> None:
        for websocket in websockets:
            while websocket.queued <= 100_000:
                websocket.send(b"x" * 50_000)

    served.call(stuff)
    return slow


@pytest.mark.parametrize("slow", ["skip", "close", "queue"])
def test_what_becomes_of_the_slow(serve: Any, slow: Any) -> None:
    served = serve(high_water=100_000, low_water=10_000)
    peer = fill(served, 1)[0]
    fast = served.shake()
    broadcast(served.websockets, "news", slow=slow)
    assert fast.read() == (TEXT, b"news")
    served.call(served.websockets[0].close)  # without effect on what is closing already
    opcode, data = BINARY, b""
    texts = []
    while opcode != CLOSE:
        opcode, data = peer.read()
        if opcode == TEXT:
            texts.append(data)
    assert texts == ([b"news"] if slow == "queue" else [])
    assert int.from_bytes(data[:2], "big") == (1008 if slow == "close" else 1000)


def test_memory_for_the_slow_is_bounded(serve: Any, eventually: Any) -> None:
    served = serve(high_water=100_000, low_water=10_000, max_queued=1_000_000)
    fill(served, 3)
    for _ in range(100):
        broadcast(served.websockets, b"y" * 100_000)
    served.settle()
    assert max(websocket.queued for websocket in served.websockets) < 200_000
    for _ in range(100):
        broadcast(served.websockets, b"y" * 100_000, slow="queue")
    eventually(lambda: [event[:2] for event in served.events].count(("closed", 1006)) == 3)


def test_those_that_are_gone_are_passed_over(serve: Any, wire: Any) -> None:
    served = serve()
    gone, here = served.shake(), served.shake()
    gone.send(wire.close(1000))
    assert gone.read_close() == (1000, "")
    served.wait_for("closed", 1000)
    broadcast(served.websockets, "hello")
    assert here.read() == (TEXT, b"hello")
    broadcast([], "nobody")


def test_wrong_arguments(serve: Any) -> None:
    with pytest.raises(ValueError, match="'wait'"):
        broadcast([], "x", slow="wait")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="NoneType"):
        broadcast([], None)  # type: ignore[arg-type]


def test_a_thousand_clients(serve: Any, wire: Any, eventually: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1000
    wanted = 2 * count + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        count = min(count, (allowed - 200) // 2)
    try:
        served = serve(threads=2)
        peers = [served.shake() for _ in range(count)]
        eventually(lambda: served.events.count(("open",)) == count)
        for peer in peers:
            peer.send(wire.frame(TEXT, b"ready"))
        for peer in peers:
            assert peer.read() == (TEXT, b"ready")
        threads = [
            threading.Thread(target=broadcast, args=(list(served.websockets), f"news {number}"))
            for number in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for peer in peers:
            assert sorted(peer.read()[1] for _ in range(3)) == [b"news 0", b"news 1", b"news 2"]
        for peer in peers:
            peer.send(wire.close(1000))
        for peer in peers:
            assert peer.read_close() == (1000, "")
            peer.socket.close()
        eventually(lambda: served.events.count(("closed", 1000, "")) == count)
        served.wait_empty()
        served.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
