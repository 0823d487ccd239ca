import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.transport import output_queue
from yolanda.transport.output_queue import FilePiece, OutputQueue

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected sockets; the first is non-blocking and its kernel buffer small."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.settimeout(30)
        yield ours, theirs


def filled(*pieces: bytes) -> OutputQueue:
    queue = OutputQueue()
    for piece in pieces:
        queue.append(memoryview(piece))
    return queue


def transfer(queue: OutputQueue, pair: Pair) -> bytes:
    """Send all of ``queue``, read by turns at the other end, and return what arrived."""
    ours, theirs = pair
    size = queue.size
    arrived = bytearray()
    sent = 0
    while len(arrived) < size:
        sent += queue.write_to(ours)
        assert queue.size == size - sent
        arrived += theirs.recv(65536)
    return bytes(arrived)


def test_an_empty_queue_writes_nothing(pair: Pair) -> None:
    queue = OutputQueue()
    assert queue.size == 0
    assert queue.write_to(pair[0]) == 0


def test_an_empty_piece_does_not_wait(pair: Pair) -> None:
    queue = filled(b"", b"a", b"")
    assert queue.size == 1
    assert queue.write_to(pair[0]) == 1
    assert queue.size == 0


def test_one_piece_goes_whole(pair: Pair) -> None:
    queue = filled(b"hello")
    assert queue.write_to(pair[0]) == 5
    assert queue.size == 0
    assert pair[1].recv(100) == b"hello"


def test_small_pieces_keep_their_order(pair: Pair) -> None:
    pieces = [b"%d," % number for number in range(300)]  # more than go by one sendmsg
    queue = filled(*pieces)
    assert queue.size == sum(map(len, pieces))
    assert transfer(queue, pair) == b"".join(pieces)
    assert queue.size == 0


def test_what_the_kernel_does_not_take_stays_queued(pair: Pair) -> None:
    data = os.urandom(1 << 20)
    queue = filled(data)
    first = queue.write_to(pair[0])
    assert 0 < first < len(data)
    assert queue.size == len(data) - first
    assert queue.write_to(pair[0]) == 0  # full: EAGAIN is no error
    assert queue.size == len(data) - first


def test_a_large_piece_arrives_by_many_partial_sends(pair: Pair) -> None:
    data = os.urandom(1 << 20)
    assert transfer(filled(data), pair) == data


def test_partial_sends_may_end_within_any_piece(pair: Pair) -> None:
    pieces = [os.urandom(size) for size in (1, 3000, 7, 5000, 70000, 2, 2, 100_000, 1)]
    assert transfer(filled(*pieces), pair) == b"".join(pieces)


def test_pieces_may_be_added_while_others_wait(pair: Pair) -> None:
    first, second = os.urandom(200_000), os.urandom(300)
    queue = filled(first)
    sent = queue.write_to(pair[0])
    queue.append(memoryview(second))
    assert queue.size == len(first) - sent + len(second)
    arrived = bytearray()
    while len(arrived) < len(first) + len(second):
        arrived += pair[1].recv(65536)
        queue.write_to(pair[0])
    assert bytes(arrived) == first + second


def test_one_turn_sends_a_bounded_amount(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_queue, "BYTES_A_TURN", 1000)
    path = tmp_path / "file"
    path.write_bytes(bytes(600))
    with path.open("rb") as file:
        queue = filled(b"x" * 600)
        for _ in range(3):
            queue.append(FilePiece(file, 0, 600))
        assert queue.write_to(pair[0]) == 1200  # a piece is not cut for it
        assert queue.write_to(pair[0]) == 1200
        assert queue.write_to(pair[0]) == 0


def test_clear_drops_all(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    file = path.open("rb")
    queue = filled(b"abc")
    queue.append(FilePiece(file, 0, 100, close=True))
    queue.clear()
    assert queue.size == 0
    assert file.closed
    assert queue.write_to(pair[0]) == 0


def test_a_broken_connection_raises_and_accounts_for_what_was_sent(pair: Pair) -> None:
    queue = filled(b"abc")
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        queue.write_to(pair[0])
    assert queue.size == 3


@pytest.mark.parametrize(("offset", "count"), [(0, 300_000), (0, 1), (12_345, 200_000)])
def test_a_file_is_sent(pair: Pair, tmp_path: Path, offset: int, count: int) -> None:
    data = os.urandom(300_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, offset, count))
        assert queue.size == count
        assert transfer(queue, pair) == data[offset : offset + count]
        assert queue.write_to(pair[0]) == 0
        assert not file.closed


def test_a_file_goes_by_sendfile(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []
    real = os.sendfile

    def spy(*args: int) -> int:
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(os, "sendfile", spy)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, 2, 5))
        assert queue.write_to(pair[0]) == 5
        assert calls == [(pair[0].fileno(), file.fileno(), 2, 5)]
    assert pair[1].recv(100) == b"23456"


def test_the_position_of_a_file_is_left_alone(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.seek(3)
        queue = OutputQueue()
        queue.append(FilePiece(file, 0, 10))
        queue.write_to(pair[0])
        assert file.tell() == 3


def test_files_and_memory_keep_their_order(pair: Pair, tmp_path: Path) -> None:
    data = os.urandom(50_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        queue = filled(b"head", b"er")
        queue.append(FilePiece(file, 0, len(data)))
        queue.append(memoryview(b"between"))
        queue.append(FilePiece(file, 10, 20))
        queue.append(memoryview(b"end"))
        expected = b"header" + data + b"between" + data[10:30] + b"end"
        assert queue.size == len(expected)
        assert transfer(queue, pair) == expected


@pytest.mark.parametrize("sendfile", [True, False])
def test_a_file_that_became_too_short_raises(
    pair: Pair, tmp_path: Path, sendfile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sendfile:
        monkeypatch.delattr(os, "sendfile")
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, 0, 15))
        with pytest.raises(OSError, match="ended 5 bytes too early") as caught:
            queue.write_to(pair[0])
    assert caught.value.errno == errno.EIO
    assert queue.size == 5
    assert pair[1].recv(100) == b"x" * 10


def test_without_sendfile_it_is_read_and_sent(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sendfile")
    data = os.urandom(200_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, 100, 199_000))
        assert transfer(queue, pair) == data[100:199_100]


@pytest.mark.parametrize("code", sorted(output_queue._NO_SENDFILE))
def test_a_file_that_sendfile_refuses_is_read_and_sent(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    calls = 0

    def refuse(*args: Any) -> int:
        nonlocal calls
        calls += 1
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "sendfile", refuse)
    data = os.urandom(200_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, 0, len(data)))
        assert transfer(queue, pair) == data
    assert calls == 1  # it is not asked again


def test_an_error_of_the_file_itself_is_raised(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> int:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "sendfile", fail)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, 0, 1))
        with pytest.raises(OSError, match="bad disk"):
            queue.write_to(pair[0])


@pytest.mark.parametrize("close", [True, False])
def test_a_file_is_closed_when_it_was_asked_for(pair: Pair, tmp_path: Path, close: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        queue = OutputQueue()
        queue.append(FilePiece(file, 0, 3, close=close))
        assert not file.closed
        queue.write_to(pair[0])
        assert file.closed is close


def test_an_empty_file_is_closed_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    file = path.open("rb")
    queue = OutputQueue()
    queue.append(FilePiece(file, 0, 0, close=True))
    assert file.closed
    assert queue.size == 0
