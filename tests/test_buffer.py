"""The buffer against plain bytes: whatever is done to both, they hold the same."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from yolanda.buffer import Buffer, BytesLike

DELIMITERS = [b"\r\n", b"\n", b"a", b"aab", b"\r\n\r\n"]
WIDTHS = [8, 16, 32, 64]

# Few different bytes, so that delimiters come about, whole, in halves and overlapping.
pieces = st.one_of(
    st.text(alphabet="ab\r\n", max_size=40).map(str.encode),
    st.binary(max_size=20),
    st.integers(400, 3000).map(lambda size: b"ab\r" * (size // 3)),
)
kinds = st.sampled_from([bytes, bytearray, memoryview])


class BufferIsBytes(RuleBasedStateMachine):
    """`expected` is the plain way to do everything that the buffer does."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer()
        self.expected = b""
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def teardown(self) -> None:
        os.close(self.reader)
        os.close(self.writer)

    @rule(data=pieces, kind=kinds)
    def append(self, data: bytes, kind: type[BytesLike]) -> None:
        self.buffer.append(kind(data))
        self.expected += data

    @rule(data=pieces, kind=kinds)
    def prepend(self, data: bytes, kind: type[BytesLike]) -> None:
        self.buffer.prepend(kind(data))
        self.expected = data + self.expected

    @rule(data=pieces, size=st.integers(1, 4000))
    def read_from(self, data: bytes, size: int) -> None:
        if not data:
            with pytest.raises(BlockingIOError):
                self.buffer.read_from(self.reader, size)
            return
        os.write(self.writer, data)
        left = len(data)
        while left:
            count = self.buffer.read_from(self.reader, size)
            assert 0 < count <= left
            left -= count
        self.expected += data

    @rule(fraction=st.floats(0, 1), way=st.sampled_from(["retrieve", "skip"]))
    def take_some(self, fraction: float, way: str) -> None:
        size = int(len(self.expected) * fraction)
        if way == "skip":
            self.buffer.skip(size)
        else:
            assert self.buffer.retrieve(size) == self.expected[:size]
        self.expected = self.expected[size:]

    @rule()
    def retrieve_all(self) -> None:
        assert self.buffer.retrieve_all() == self.expected
        self.expected = b""

    @rule(fraction=st.floats(0, 1))
    def look(self, fraction: float) -> None:
        size = int(len(self.expected) * fraction)
        assert self.buffer.peek(size) == self.expected[:size]
        assert self.buffer.view(size) == self.expected[size:]
        assert self.buffer.view(0, size) == self.expected[:size]

    @rule(size=st.integers(0, 5000))
    def make_room(self, size: int) -> None:
        self.buffer.make_room(size)
        assert self.buffer.writable >= size

    @rule(bits=st.sampled_from(WIDTHS), signed=st.booleans(), front=st.booleans(), data=st.data())
    def put_int(self, bits: int, signed: bool, front: bool, data: st.DataObject) -> None:
        low = -(1 << bits - 1) if signed else 0
        value = data.draw(st.integers(low, low + (1 << bits) - 1))
        coded = value.to_bytes(bits // 8, "big", signed=signed)
        if front:
            self.buffer.prepend_int(value, bits, signed)
            self.expected = coded + self.expected
        else:
            self.buffer.append_int(value, bits, signed)
            self.expected += coded

    @precondition(lambda self: len(self.expected) >= 8)
    @rule(bits=st.sampled_from(WIDTHS), signed=st.booleans(), data=st.data())
    def take_int(self, bits: int, signed: bool, data: st.DataObject) -> None:
        width = bits // 8
        offset = data.draw(st.integers(0, len(self.expected) - width))
        there = int.from_bytes(self.expected[offset : offset + width], "big", signed=signed)
        assert self.buffer.peek_int(bits, signed, offset) == there
        first = int.from_bytes(self.expected[:width], "big", signed=signed)
        assert self.buffer.retrieve_int(bits, signed) == first
        self.expected = self.expected[width:]

    @rule(delimiter=st.sampled_from(DELIMITERS), times=st.integers(1, 2))
    def find(self, delimiter: bytes, times: int) -> None:
        for _ in range(times):
            assert self.buffer.find(delimiter) == self.expected.find(delimiter)

    @rule()
    def find_line_ends(self) -> None:
        assert self.buffer.find_crlf() == self.expected.find(b"\r\n")
        assert self.buffer.find_lf() == self.expected.find(b"\n")

    @rule(beyond=st.integers(1, 9))
    def ask_too_much(self, beyond: int) -> None:
        size = len(self.expected) + beyond
        for ask in (self.buffer.peek, self.buffer.retrieve, self.buffer.skip, self.buffer.view):
            for wrong in (size, -beyond):
                with pytest.raises(ValueError, match=str(wrong)):
                    ask(wrong)

    @invariant()
    def same(self) -> None:
        assert self.buffer.peek() == self.expected
        assert self.buffer.view() == self.expected
        assert len(self.buffer) == self.buffer.readable == len(self.expected)
        assert bool(self.buffer) == bool(self.expected)
        assert self.buffer.writable >= 0
        assert self.buffer.front_spare >= 0


TestBufferIsBytes = BufferIsBytes.TestCase


class FindAfterEverything(BufferIsBytes):
    """Here a delimiter is looked for after every step, so that what `find` remembers is used."""

    @invariant()
    def crlf_is_found(self) -> None:
        assert self.buffer.find_crlf() == self.expected.find(b"\r\n")


TestFindAfterEverything = FindAfterEverything.TestCase


# ---- sizes and storage ---------------------------------------------------------------------


def storages(buffer: Buffer, steps: Iterator[None]) -> int:
    """How often ``buffer`` took a new storage during the ``steps``."""
    changes, last = 0, buffer._data
    for _ in steps:
        if buffer._data is not last:
            changes, last = changes + 1, buffer._data
    return changes


def test_a_new_buffer_is_empty() -> None:
    buffer = Buffer()
    assert (buffer.readable, buffer.writable, buffer.front_spare) == (0, 0, 0)
    assert not buffer
    assert buffer.retrieve_all() == b""
    assert buffer.peek() == b""
    assert buffer.find(b"x") == -1


def test_three_sizes_of_the_course() -> None:
    buffer = Buffer()
    buffer.make_room(100)
    capacity = buffer.writable
    buffer.append(bytearray(60))  # bytes would be adopted
    buffer.skip(10)
    assert (buffer.front_spare, buffer.readable) == (10, 50)
    assert buffer.writable == capacity - 60


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_begins_with_what_it_is_given(kind: type[BytesLike]) -> None:
    buffer = Buffer(kind(b"hello"))
    assert buffer.peek() == b"hello"
    assert repr(buffer) == "<Buffer readable=5 writable=0 b'hello'>"


def test_wide_memoryviews_count_in_bytes() -> None:
    numbers = memoryview(bytes(range(16))).cast("I")
    buffer = Buffer(b"x")
    buffer.append(numbers)
    buffer.prepend(numbers)
    assert buffer.peek() == bytes(range(16)) + b"x" + bytes(range(16))


def test_adopts_bytes_without_a_copy() -> None:
    data = bytes(1000)
    buffer = Buffer()
    buffer.append(data)
    assert buffer.retrieve_all() is data
    assert not buffer
    buffer.append(data)
    assert buffer.retrieve(len(data)) is data


def test_does_not_adopt_what_may_change_under_it() -> None:
    data = bytearray(b"before")
    for buffer in (Buffer(data), Buffer()):
        if not buffer:
            buffer.append(data)
        data[:] = b"after!"
        assert buffer.peek() == b"before"
        data[:] = b"before"


def test_an_adopted_buffer_leaves_the_bytes_alone() -> None:
    data = b"abcdef"
    buffer = Buffer(data)
    buffer.append(b"gh")
    buffer.prepend(b"_")
    assert data == b"abcdef"
    assert buffer.peek() == b"_abcdefgh"


def test_appending_is_linear_over_all() -> None:
    buffer = Buffer()

    def steps() -> Iterator[None]:
        for _ in range(100_000):
            buffer.append(b"0123456789")
            yield

    assert storages(buffer, steps()) < 25  # 20 doublings to a million bytes
    assert len(buffer) == 1_000_000


def test_a_steady_stream_stays_in_one_storage() -> None:
    buffer = Buffer(b"begin")

    def steps() -> Iterator[None]:
        for _ in range(10_000):
            buffer.append(b"0123456789")
            buffer.skip(10)
            yield

    assert storages(buffer, steps()) < 5
    assert len(buffer) == 5


def test_moves_no_more_than_was_used_up() -> None:
    """Little goes in and out of much: compacting each time would be quadratic."""
    buffer = Buffer(b"x")
    buffer.append(bytes(99_999))
    moved = passed = 0
    for _ in range(5_000):
        buffer.skip(50)
        before, spare = buffer._data, buffer.front_spare
        buffer.append(bytearray(50))
        passed += 50
        if buffer._data is not before or buffer.front_spare < spare:
            moved += len(buffer)
    assert len(buffer) == 100_000
    assert moved <= 2 * (100_000 + passed)


def test_gives_the_storage_of_a_burst_back() -> None:
    buffer = Buffer(b"x")
    buffer.make_room(1_000_000)
    assert buffer.writable >= 1_000_000
    buffer.append(bytes(1_000_000))
    buffer.skip(1_000_001)
    assert buffer.writable == 0
    buffer.append(b"x")
    buffer.append(bytes(200_000))
    assert len(buffer.retrieve_all()) == 200_001
    assert buffer.writable == 0


def test_keeps_a_small_storage_when_it_runs_empty() -> None:
    buffer = Buffer(b"x")
    buffer.append(b"y")
    storage = buffer._data
    buffer.skip(2)
    assert buffer._data is storage
    assert buffer.front_spare == 0


def test_prepends_into_the_front_spare() -> None:
    buffer = Buffer(b"x")
    buffer.append(b"12345678")
    buffer.skip(5)
    storage = buffer._data
    buffer.prepend_int(7, 32)
    assert buffer._data is storage
    assert buffer.front_spare == 1
    assert buffer.peek() == b"\0\0\0\x075678"


# ---- views ---------------------------------------------------------------------------------


@pytest.mark.parametrize("adopted", [True, False])
def test_a_view_is_read_only_and_no_copy(adopted: bool) -> None:
    buffer = Buffer(b"hello")
    if not adopted:
        buffer.append(b" world")
    view = buffer.view(1, 3)
    assert view == b"ell"
    assert view.readonly
    assert view.obj is buffer._data
    with pytest.raises(TypeError):
        view[0] = 0


def test_a_view_that_is_still_held_hinders_nothing() -> None:
    buffer = Buffer(b"hello")
    buffer.append(b" world")
    view = buffer.view()
    buffer.append(bytes(5000))
    buffer.prepend(bytes(5000))
    buffer.skip(len(buffer))
    assert view == b"hello world"


def test_a_part_of_itself_can_be_appended() -> None:
    buffer = Buffer(b"x")
    buffer.append(b"-" * 400 + b"abc" * 36)
    buffer.skip(401)
    buffer.append(buffer.view())  # compacts or grows, and must not lose what it copies from
    assert buffer.peek() == b"abc" * 72


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0, 7, 24, 128, -8])
def test_refuses_odd_widths(bits: int) -> None:
    buffer = Buffer(bytes(16))
    with pytest.raises(ValueError, match=str(bits)):
        buffer.append_int(1, bits)
    with pytest.raises(ValueError, match=str(bits)):
        buffer.prepend_int(1, bits)
    with pytest.raises(ValueError, match=str(bits)):
        buffer.peek_int(bits)
    with pytest.raises(ValueError, match=str(bits)):
        buffer.retrieve_int(bits)
    assert len(buffer) == 16


@pytest.mark.parametrize(
    ("value", "bits", "signed"),
    [(256, 8, False), (-1, 16, False), (128, 8, True), (-129, 8, True), (1 << 64, 64, False)],
)
def test_refuses_numbers_that_do_not_fit(value: int, bits: int, signed: bool) -> None:
    buffer = Buffer(b"x")
    with pytest.raises(OverflowError):
        buffer.append_int(value, bits, signed)
    with pytest.raises(OverflowError):
        buffer.prepend_int(value, bits, signed)
    assert buffer.peek() == b"x"


def test_refuses_an_integer_that_is_not_all_there() -> None:
    buffer = Buffer(b"abc")
    with pytest.raises(ValueError, match="4 bytes asked of a buffer that holds 3"):
        buffer.peek_int(32)
    with pytest.raises(ValueError, match="4 bytes"):
        buffer.retrieve_int(32)
    assert buffer.peek() == b"abc"


def test_nothing_outside_the_readable_bytes_is_shown() -> None:
    buffer = Buffer(b"secret-open")
    buffer.skip(7)
    with pytest.raises(ValueError, match="-3"):
        buffer.peek_int(32, offset=-3)
    with pytest.raises(ValueError, match="-2"):
        buffer.view(3, -2)


def test_refuses_an_empty_delimiter() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        Buffer(b"abc").find(b"")


# ---- finding -------------------------------------------------------------------------------


def test_find_does_not_search_again_what_it_searched_in_vain() -> None:
    buffer = Buffer(b"x" * 1000)
    assert buffer.find_crlf() == -1
    assert buffer._searched == 999  # the last byte may be half of the delimiter
    buffer.append(b"y" * 500)
    assert buffer.find_crlf() == -1
    assert buffer._searched == 1499
    buffer.skip(100)
    assert buffer._searched == 1399
    buffer.append(b"\r")
    assert buffer.find_crlf() == -1
    buffer.append(b"\n")
    assert buffer.find_crlf() == 1400
    assert buffer.find_crlf() == 1400


def test_find_starts_anew_for_another_delimiter() -> None:
    buffer = Buffer(b"one;two\r\n")
    assert buffer.find_crlf() == 7
    assert buffer.find(b";") == 3
    assert buffer.find_crlf() == 7


@pytest.mark.parametrize("way", ["retrieve_all", "retrieve", "skip"])
@pytest.mark.parametrize("adopted", [True, False])
def test_find_starts_anew_when_the_buffer_ran_empty(way: str, adopted: bool) -> None:
    buffer = Buffer(b"no line end")
    if not adopted:
        buffer.append(b", still")
    assert buffer.find_lf() == -1
    getattr(buffer, way)(*(() if way == "retrieve_all" else (len(buffer),)))
    buffer.append(b"a\nb")
    assert buffer.find_lf() == 1


def test_find_sees_what_was_prepended() -> None:
    buffer = Buffer(b"no line end")
    assert buffer.find_lf() == -1
    buffer.prepend(b"a\n")
    assert buffer.find_lf() == 1


@given(st.lists(st.text(alphabet="ab\r\n", min_size=1, max_size=6).map(str.encode)))
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes]) -> None:
    buffer = Buffer()
    lines = []
    for part in parts:
        buffer.append(part)
        while (end := buffer.find_crlf()) >= 0:
            lines.append(buffer.retrieve(end))
            buffer.skip(2)
    assert [*lines, buffer.peek()] == b"".join(parts).split(b"\r\n")


# ---- the socket's side ---------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def test_an_empty_buffer_adopts_what_it_reads(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"hello")
    buffer = Buffer()
    assert buffer.read_from(ours.fileno()) == 5
    assert type(buffer._data) is bytes
    data = buffer._data
    assert buffer.retrieve_all() is data


def test_an_emptied_buffer_adopts_again(pair: Pair) -> None:
    ours, theirs = pair
    buffer = Buffer(b"x")
    buffer.append(b"y")
    assert buffer.find_lf() == -1
    buffer.skip(2)
    theirs.send(b"a\nhello")
    assert buffer.read_from(ours.fileno()) == 7
    assert buffer.find_lf() == 1
    assert buffer.peek() == b"a\nhello"


def test_reads_into_the_free_room(pair: Pair) -> None:
    ours, theirs = pair
    buffer = Buffer(b"x")
    buffer.append(b"y")
    storage = buffer._data
    theirs.send(b"z" * 100)
    assert buffer.read_from(ours.fileno()) == 100
    assert buffer._data is storage
    assert buffer.peek() == b"xy" + b"z" * 100


def test_reads_exactly_the_free_room(pair: Pair) -> None:
    ours, theirs = pair
    buffer = Buffer(b"x")
    buffer.append(b"y")
    room = buffer.writable
    theirs.send(b"z" * room)
    assert buffer.read_from(ours.fileno()) == room
    assert buffer.writable == 0
    theirs.send(b"end")
    assert buffer.read_from(ours.fileno()) == 3
    assert buffer.peek() == b"xy" + b"z" * room + b"end"


def test_reads_more_than_the_free_room_in_one_call(pair: Pair) -> None:
    ours, theirs = pair
    buffer = Buffer(b"x")
    buffer.append(b"y")
    data = os.urandom(50_000)
    assert theirs.send(data) == len(data)
    assert buffer.writable < len(data)
    assert buffer.read_from(ours.fileno()) == len(data)
    assert buffer.peek() == b"xy" + data


def test_reads_behind_adopted_bytes(pair: Pair) -> None:
    ours, theirs = pair
    buffer = Buffer(b"adopted ")
    theirs.send(b"and more")
    assert buffer.read_from(ours.fileno()) == 8
    assert buffer.peek() == b"adopted and more"


@pytest.mark.parametrize("held", [b"", b"some"])
def test_reads_no_more_than_it_is_told(pair: Pair, held: bytes) -> None:
    ours, theirs = pair
    theirs.send(bytes(1000))
    buffer = Buffer(held)
    assert buffer.read_from(ours.fileno(), 300) == 300
    assert len(buffer) == len(held) + 300


def fill(buffer: Buffer, held: int) -> None:
    """Put bytes in, as adopted ones and as the buffer's own."""
    for _ in range(held):
        buffer.append(b"x")


@pytest.mark.parametrize("held", [0, 1, 2])
def test_nothing_to_read_yet(pair: Pair, held: int) -> None:
    buffer = Buffer()
    fill(buffer, held)
    with pytest.raises(BlockingIOError):
        buffer.read_from(pair[0].fileno())
    assert buffer.peek() == b"x" * held


@pytest.mark.parametrize("held", [0, 1, 2])
def test_end_of_the_stream(pair: Pair, held: int) -> None:
    buffer = Buffer()
    fill(buffer, held)
    pair[1].close()
    assert buffer.read_from(pair[0].fileno()) == 0
    assert buffer.peek() == b"x" * held


@pytest.mark.parametrize("held", [0, 1, 2])
def test_a_bad_descriptor(held: int) -> None:
    buffer = Buffer()
    fill(buffer, held)
    with pytest.raises(OSError, match="Bad file descriptor"):
        buffer.read_from(-1)
    assert buffer.peek() == b"x" * held


@given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 1)), max_size=8))
def test_a_stream_comes_through_whole(steps: list[tuple[int, float]]) -> None:
    """Large pieces, read and consumed by parts: what comes out is what went in, in order."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        buffer, sent, received = Buffer(), bytearray(), bytearray()
        for size, fraction in steps:
            data = os.urandom(size)
            sent += data[: theirs.send(data)]
            with contextlib.suppress(BlockingIOError):
                assert buffer.read_from(ours.fileno()) <= len(sent)
            received += buffer.retrieve(int(len(buffer) * fraction))
        theirs.close()
        while buffer.read_from(ours.fileno()):
            pass
        received += buffer.retrieve_all()
        assert received == sent


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("put", [Buffer.append, Buffer.prepend])
def test_nothing_leaves_an_empty_buffer_empty(
    put: Callable[[Buffer, BytesLike], None], kind: type[BytesLike]
) -> None:
    for buffer in (Buffer(), Buffer(b"x"), Buffer()):
        buffer.append(bytearray(b"y"))  # gives it storage of its own
        buffer.skip(len(buffer))
        for _ in range(2):
            put(buffer, kind(b""))
            assert not buffer
            assert len(buffer) == 0
    buffer = Buffer()
    put(buffer, kind(b""))
    assert not buffer
    buffer.append(b"next")
    assert buffer.retrieve_all() == b"next"
