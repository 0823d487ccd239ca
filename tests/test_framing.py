import gc
import logging
import re
import socket
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda import framing
from yolanda.buffer import Buffer
from yolanda.framing import FrameError, LineDecoder, Message, MessageDecoder, encode_message
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import TcpServer

PATIENCE = 20.0  # seconds after which a test that waits for something has failed


class CountingBuffer(Buffer):
    """Counts the bytes that are looked at through a view."""

    viewed = 0

    def view(self, start: int = 0, size: int | None = None) -> memoryview:
        view = super().view(start, size)
        self.viewed += len(view)
        return view


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The pieces of a stream that is cut at these places."""
    ends = sorted({place % (len(stream) + 1) for place in places} | {len(stream)})
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


def decode_pieces(
    decoder: MessageDecoder | LineDecoder, pieces: Iterable[bytes], buffer: Buffer
) -> tuple[list[Any], str | None]:
    """What comes out when the pieces are received one by one, and the error that ended it."""
    frames: list[Any] = []
    for piece in pieces:
        buffer.append(piece)
        try:
            for frame in decoder.decode(buffer):
                frames.append(frame)  # noqa: PERF402 - those before an error count
        except FrameError as error:
            return frames, str(error)
    return frames, None


places = st.lists(st.integers(0, 10_000), max_size=30)


# ---- messages --------------------------------------------------------------------------------

some_messages = st.lists(
    st.builds(Message, st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=12
)


def test_a_message_is_written_as_in_the_course() -> None:
    assert encode_message(1, b"network\n") == b"\0\0\0\x08\0\0\0\x01network\n"
    assert encode_message(0x0A0B0C0D) == b"\0\0\0\0\x0a\x0b\x0c\x0d"


@pytest.mark.parametrize("body", [bytearray(b"good"), memoryview(b"good")])
def test_any_kind_of_bytes_is_a_body(body: bytearray | memoryview) -> None:
    assert encode_message(1, body) == b"\0\0\0\x04\0\0\0\x01good"


@pytest.mark.parametrize("kind", [-1, 2**32])
def test_a_type_that_does_not_fit_is_named(kind: int) -> None:
    with pytest.raises(ValueError, match=str(kind)):
        encode_message(kind, b"")


def test_a_body_that_does_not_fit_is_refused() -> None:
    class Huge(bytes):
        def __bytes__(self) -> bytes:
            return self

        def __len__(self) -> int:
            return 2**32

    with pytest.raises(ValueError, match=str(2**32)):
        encode_message(1, Huge())


@given(some_messages, st.binary(max_size=7), places)
def test_messages_come_out_whole_however_the_stream_is_cut(
    sent: list[Message], rest: bytes, places: list[int]
) -> None:
    stream = b"".join(encode_message(*message) for message in sent) + rest
    buffer = Buffer()
    assert decode_pieces(MessageDecoder(), cut(stream, places), buffer) == (sent, None)
    assert buffer.peek() == rest  # the beginning of a header


@given(some_messages, st.integers(1, 20), places)
def test_the_limit_of_a_message_holds_however_the_stream_is_cut(
    sent: list[Message], limit: int, places: list[int]
) -> None:
    stream = b"".join(encode_message(*message) for message in sent)
    good: list[Message] = []
    expected = None
    for message in sent:
        if len(message.body) > limit:
            expected = f"a message of {len(message.body)} bytes is over the limit of {limit}"
            break
        good.append(message)
    decoded = decode_pieces(MessageDecoder(limit), cut(stream, places), Buffer())
    assert decoded == (good, expected)


def test_a_length_over_the_limit_is_refused_before_the_body_comes() -> None:
    buffer = Buffer(b"\xff\xff\xff\xff\0\0\0\x01")
    with pytest.raises(FrameError, match=r"4294967295 bytes.*limit of 4096"):
        next(MessageDecoder(4096).decode(buffer))
    assert len(buffer) == 8


def test_a_message_that_nobody_asks_for_stays_in_the_buffer() -> None:
    buffer = Buffer(encode_message(1, b"one") + encode_message(2, b"two"))
    assert next(MessageDecoder().decode(buffer)) == (1, b"one")
    assert buffer.peek() == encode_message(2, b"two")


# ---- lines -----------------------------------------------------------------------------------

some_text = st.lists(
    st.sampled_from([b"\r", b"\n", b"\0", b"\r\n", b"a", b"bcd", b"\xff"]), max_size=40
).map(b"".join)


def split(stream: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a whole stream, and what is left; in the simplest way."""
    *complete, rest = re.split(rb"\r\n|\r\0|\r|\n", stream)
    return complete, rest


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r\0"])
def test_every_end_of_a_line_is_known(end: bytes) -> None:
    buffer = Buffer(b"pwd" + end + end + b"ls -l" + end + b"qu")
    assert list(LineDecoder().decode(buffer)) == [b"pwd", b"", b"ls -l"]
    assert buffer.peek() == b"qu"


@given(some_text, places)
def test_lines_are_the_same_however_the_stream_is_cut(stream: bytes, places: list[int]) -> None:
    complete, rest = split(stream)
    buffer = Buffer()
    assert decode_pieces(LineDecoder(), cut(stream, places), buffer) == (complete, None)
    assert buffer.peek() == rest


@given(some_text, st.integers(1, 6), places)
def test_the_limit_of_a_line_holds_however_the_stream_is_cut(
    stream: bytes, limit: int, places: list[int]
) -> None:
    complete, rest = split(stream)
    good: list[bytes] = []
    expected = None
    for line in [*complete, rest]:
        if len(line) > limit:
            expected = f"a line does not end within the limit of {limit} bytes"
            break
        good.append(line)
    else:
        good = complete
    decoded = decode_pieces(LineDecoder(limit), cut(stream, places), Buffer())
    assert decoded == (good, expected)


def test_a_line_of_just_the_limit_is_taken() -> None:
    assert list(LineDecoder(9).decode(Buffer(b"012345678\n"))) == [b"012345678"]


def test_a_line_over_the_limit_is_refused_again_and_again() -> None:
    decoder = LineDecoder(8)
    buffer = Buffer(b"012345678")
    for _ in range(2):
        with pytest.raises(FrameError, match="limit of 8 bytes"):
            next(decoder.decode(buffer))
        buffer.append(b"\n")


@pytest.mark.parametrize("second", [b"\n", b"\0"])
def test_a_cr_ends_a_line_at_once_and_its_second_byte_is_swallowed_later(second: bytes) -> None:
    decoder = LineDecoder()
    buffer = Buffer(b"ls\r")
    assert list(decoder.decode(buffer)) == [b"ls"]
    buffer.append(second)
    assert list(decoder.decode(buffer)) == []
    assert not buffer
    buffer.append(second + b"\n")
    assert list(decoder.decode(buffer)) == [second.strip(b"\n")] + [b""] * (second == b"\n")


def test_a_line_that_nobody_asks_for_stays_in_the_buffer() -> None:
    buffer = Buffer(b"one\r\ntwo\r\n")
    assert next(LineDecoder().decode(buffer)) == b"one"
    assert buffer.peek() == b"two\r\n"


@pytest.mark.parametrize("pending", [b"", b"x\r"])
def test_no_byte_is_searched_twice(pending: bytes) -> None:
    decoder = LineDecoder(limit=5000)
    buffer = CountingBuffer()
    decode_pieces(decoder, [pending] if pending else [], buffer)
    buffer.viewed = 0
    line = b"a" * 4999
    pieces = [line[place : place + 3] for place in range(0, len(line), 3)]
    assert decode_pieces(decoder, [*pieces, b"b\r\n"], buffer) == ([line + b"b"], None)
    # Of the last piece all but the LF, which belongs to the end; it may be looked at or not.
    assert 5001 <= buffer.viewed <= 5002


def test_no_more_is_searched_than_the_limit_allows() -> None:
    buffer = CountingBuffer(b"a" * 100_000)
    with pytest.raises(FrameError):
        next(LineDecoder(limit=10).decode(buffer))
    assert buffer.viewed == 11


@pytest.mark.parametrize(
    "make",
    [
        MessageDecoder,
        LineDecoder,
        lambda limit: framing.messages(print, limit=limit),
        lambda limit: framing.lines(print, limit=limit),
    ],
)
def test_a_limit_of_nothing_is_refused(make: Callable[[int], object]) -> None:
    with pytest.raises(ValueError, match="not 0"):
        make(0)


# ---- behind the message hook, over real sockets ----------------------------------------------


class Wire:
    """A server in this thread's loop, and clients of it."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.servers: list[TcpServer] = []
        self.clients: list[socket.socket] = []
        self.connections: list[TcpConnection] = []

    def serve(self, on_message: Any, **hooks: Any) -> None:
        server = TcpServer(
            self.loop,
            "127.0.0.1:0",
            on_connection_completed=self.connections.append,
            on_message=on_message,
            **hooks,
        )
        self.servers.append(server)
        server.start()

    def connect(self) -> socket.socket:
        address = self.servers[-1].address
        client = socket.create_connection((address.host, address.port), PATIENCE)
        self.clients.append(client)
        number = len(self.clients)
        self.turn_until(lambda: len(self.connections) == number)
        return client

    def deliver(self, client: socket.socket, data: bytes, index: int = -1) -> None:
        """Send, and turn the loop until the server has read it."""
        connection = self.connections[index]
        expected = connection.bytes_in + len(data)
        client.sendall(data)
        self.turn_until(lambda: connection.bytes_in == expected)

    def turn_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "nothing came of it"
            self.loop.run_once(0.05)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.close()
        self.loop.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def test_messages_reach_their_hook(wire: Wire) -> None:
    def shout(connection: TcpConnection, message: Message) -> None:
        connection.send(encode_message(message.type + 1, message.body.upper()))

    wire.serve(framing.messages(shout))
    client = wire.connect()
    stream = encode_message(1, b"network") + encode_message(7, b"good")
    for piece in (stream[:3], stream[3:18], stream[18:]):
        wire.deliver(client, piece)
    expected = encode_message(2, b"NETWORK") + encode_message(8, b"GOOD")
    assert client.recv(len(expected), socket.MSG_WAITALL) == expected


def test_lines_of_several_connections_are_kept_apart(wire: Wire) -> None:
    seen: list[tuple[TcpConnection, bytes]] = []
    wire.serve(framing.lines(lambda connection, line: seen.append((connection, line))))
    one, two = wire.connect(), wire.connect()
    first, second = wire.connections
    wire.deliver(one, b"pwd\r", 0)
    assert seen == [(first, b"pwd")]
    wire.deliver(two, b"\nls", 1)  # no CR came before this LF
    assert seen[1:] == [(second, b"")]
    wire.deliver(one, b"\ncd\n", 0)
    wire.deliver(two, b" -l\r\n", 1)
    assert seen[2:] == [(first, b"cd"), (second, b"ls -l")]


def test_a_hook_of_the_application_may_call_the_one_for_lines(wire: Wire) -> None:
    seen: list[bytes] = []
    calls: list[int] = []
    hook = framing.lines(lambda connection, line: seen.append(line))

    def on_message(connection: TcpConnection, buffer: Buffer) -> None:
        calls.append(len(buffer))
        hook(connection, buffer)

    wire.serve(on_message)
    client = wire.connect()
    wire.deliver(client, b"one\r")
    wire.deliver(client, b"\ntwo\r\n")
    assert seen == [b"one", b"two"]
    assert calls == [4, 6]


def test_a_frame_error_closes_its_connection_alone_and_names_the_peer(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Message] = []
    wire.serve(framing.messages(lambda connection, message: seen.append(message), limit=16))
    bad, good = wire.connect(), wire.connect()
    host, port = bad.getsockname()
    with caplog.at_level(logging.WARNING, "yolanda.framing"):
        wire.deliver(bad, encode_message(1, b"last") + encode_message(1, b"x" * 17), 0)
    assert wire.connections[0].closed
    [record] = caplog.records
    assert f"{host}:{port}" in record.getMessage()
    assert "17 bytes is over the limit of 16" in record.getMessage()
    wire.deliver(good, encode_message(2, b"fine"), 1)
    assert seen == [(1, b"last"), (2, b"fine")]
    assert not wire.connections[1].closed


def test_after_an_error_there_may_be_last_words_and_nothing_more_is_heard(wire: Wire) -> None:
    errors: list[FrameError] = []

    def on_error(connection: TcpConnection, error: FrameError) -> None:
        errors.append(error)
        connection.send(b"too long\n")
        connection.shutdown()

    seen: list[bytes] = []
    hook = framing.lines(lambda _, line: seen.append(line), limit=4, on_error=on_error)
    wire.serve(hook)
    client = wire.connect()
    wire.deliver(client, b"ok\n12345")
    assert len(wire.connections[0].input) == 0
    wire.deliver(client, b"6789\nagain\n" * 10)
    assert client.recv(100, socket.MSG_WAITALL) == b"too long\n"
    assert len(errors) == 1
    assert seen == [b"ok"]
    assert len(wire.connections[0].input) == 0
    client.close()
    wire.turn_until(lambda: wire.connections[0].closed)


def test_a_frame_error_of_the_application_is_its_own(wire: Wire) -> None:
    errors: list[FrameError] = []

    def on_frame(connection: TcpConnection, message: Message) -> None:
        raise FrameError("inside")

    wire.serve(framing.messages(on_frame, on_error=lambda _, error: errors.append(error)))
    wire.deliver(wire.connect(), encode_message(1))
    assert errors == []
    assert wire.connections[0].closed  # as after any exception


def test_no_message_follows_the_one_that_closed(wire: Wire) -> None:
    seen: list[bytes] = []

    def on_line(connection: TcpConnection, line: bytes) -> None:
        seen.append(line)
        if line == b"quit":
            connection.close()

    wire.serve(framing.lines(on_line))
    wire.deliver(wire.connect(), b"ls\nquit\nrm\n")
    assert seen == [b"ls", b"quit"]


def test_a_new_message_hook_gets_the_rest(wire: Wire) -> None:
    seen: list[object] = []
    in_messages = framing.messages(lambda connection, message: seen.append(message))

    def on_line(connection: TcpConnection, line: bytes) -> None:
        seen.append(line)
        if line == b"upgrade":
            connection.on_message = in_messages

    wire.serve(framing.lines(on_line))
    client = wire.connect()
    wire.deliver(client, b"hello\r\nupgrade\r\n" + encode_message(10, b"one\n"))
    wire.deliver(client, encode_message(13, b"two\n"))
    assert seen == [b"hello", b"upgrade", (10, b"one\n"), (13, b"two\n")]
    client = wire.connect()
    wire.deliver(client, b"upgrade\r\n")
    wire.deliver(client, encode_message(10))
    assert seen[4:] == [b"upgrade", (10, b"")]


def test_the_decoder_of_a_connection_goes_with_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[LineDecoder]] = []

    class Watched(LineDecoder):
        __slots__ = ("__weakref__",)

        def __init__(self, limit: int) -> None:
            super().__init__(limit)
            made.append(weakref.ref(self))

    monkeypatch.setattr(framing, "LineDecoder", Watched)
    wire.serve(framing.lines(lambda connection, line: None))
    client = wire.connect()
    wire.deliver(client, b"one\rtwo")
    wire.deliver(client, b"three")
    assert [reference() is not None for reference in made] == [True]
    client.close()
    wire.turn_until(lambda: wire.servers[0].connections == 0)
    wire.connections.clear()
    gc.collect()
    assert made[0]() is None
