"""The helpers of the blocking programs: whole reads and writes, messages, lines, addresses."""

import codecs
import contextlib
import errno
import itertools
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.programs.blocking import (
    LineReader,
    endpoint,
    explain,
    failed,
    local_address,
    local_server,
    read_message,
    readn,
    resolve,
    rot13,
    tcp_client,
    tcp_server_listen,
    udp_server,
    visible,
    writen,
)

HEADER = struct.Struct("!II")
ENDINGS = (b"\n", b"\r\n", b"\r")

pieces = st.lists(st.binary(min_size=1, max_size=20), max_size=8)
line = st.binary(max_size=12).map(lambda text: text.replace(b"\r", b"").replace(b"\n", b""))


class Pieces:
    """A connection whose `recv` gives the pieces that it was made of, one a call."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.left = [piece for piece in pieces if piece]
        self.asked: list[int] = []

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        if not self.left:
            return b""
        piece = self.left.pop(0)
        if len(piece) > size:
            self.left.insert(0, piece[size:])
        return piece[:size]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut ``data`` in pieces at ``places``."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(30)
        other.settimeout(30)
        yield one, other


# readn and writen


@given(pieces, st.integers(0, 200))
def test_readn_reads_what_was_asked_for_and_no_more(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    connection = Pieces(pieces)
    assert readn(connection, size) == data[:size]  # type: ignore[arg-type]
    assert b"".join(connection.left) == data[size:]


def test_readn_waits_for_the_rest(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(readn(other, 6)))
    reader.start()
    for byte in (b"a", b"bc", b"def", b"g"):
        one.sendall(byte)
    reader.join(30)
    assert got == [b"abcdef"]
    assert other.recv(10) == b"g"


def test_readn_asks_for_no_more_memory_than_a_piece_needs() -> None:
    connection = Pieces([b"just for fun"])
    assert readn(connection, 2**32 - 1) == b"just for fun"  # type: ignore[arg-type]
    assert max(connection.asked) <= 1 << 20


def test_readn_raises_a_reset(pair: tuple[socket.socket, socket.socket]) -> None:
    with tcp_server_listen(port=0) as listener, tcp_client(port=listener.getsockname()[1]) as one:
        other, _ = listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        with pytest.raises(ConnectionResetError):
            readn(one, 1)


@pytest.mark.parametrize("blocking", [True, False])
def test_writen_writes_all(pair: tuple[socket.socket, socket.socket], blocking: bool) -> None:
    one, other = pair
    one.setblocking(blocking)
    data = os.urandom(3_000_000)  # more than the kernel's buffers hold
    writer = threading.Thread(target=writen, args=(one, data))
    writer.start()
    assert readn(other, len(data)) == data
    writer.join(30)
    assert not writer.is_alive()


def test_writen_raises_when_nobody_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    other.close()
    with pytest.raises(BrokenPipeError):
        writen(one, b"data")


# read_message


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=30)), max_size=5),
    st.lists(st.integers(0, 500)),
)
def test_messages_survive_any_cutting(messages: list[tuple[int, bytes]], places: list[int]) -> None:
    stream = b"".join(HEADER.pack(len(body), kind) + body for kind, body in messages)
    connection = Pieces(cut(stream, places))
    read: Callable[[], tuple[int, bytes] | None] = partial(
        read_message,
        connection,  # type: ignore[arg-type]
        30,
    )
    assert list(iter(read, None)) == messages
    assert read() is None


@given(st.binary(max_size=30), st.data())
def test_a_message_cut_short_is_an_error(body: bytes, data: st.DataObject) -> None:
    stream = HEADER.pack(len(body), 1) + body
    size = data.draw(st.integers(1, len(stream) - 1))
    with pytest.raises(ValueError, match="the stream ended after"):
        read_message(Pieces([stream[:size]]), 30)  # type: ignore[arg-type]


def test_a_message_over_the_limit_is_refused_before_its_body() -> None:
    connection = Pieces([HEADER.pack(11, 1), b"x" * 11])
    with pytest.raises(ValueError, match="11 bytes is over the limit of 10"):
        read_message(connection, 10)  # type: ignore[arg-type]
    assert connection.left == [b"x" * 11]


def test_the_longest_message_is_taken() -> None:
    connection = Pieces([HEADER.pack(10, 1) + b"x" * 10, HEADER.pack(0, 2)])
    assert read_message(connection, 10) == (1, b"x" * 10)  # type: ignore[arg-type]
    assert read_message(connection, 0) == (2, b"")  # type: ignore[arg-type]


# LineReader


@given(
    st.lists(st.tuples(line, st.sampled_from(ENDINGS)), max_size=6), st.lists(st.integers(0, 200))
)
def test_lines_survive_any_cutting(lines: list[tuple[bytes, bytes]], places: list[int]) -> None:
    # CR and then an empty line ended by LF is CR LF: nobody could tell.
    stream = b"".join(text + ending for text, ending in lines)
    expected = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    reader = LineReader(Pieces(cut(stream, places)).recv)
    assert list(iter(reader.read_line, None)) == expected
    assert reader.read_line() is None


@given(st.binary(max_size=60), st.lists(st.integers(0, 100)))
def test_bytes_of_any_kind_are_the_lines_that_python_sees(data: bytes, places: list[int]) -> None:
    reader = LineReader(Pieces(cut(data, places)).recv)
    assert list(iter(reader.read_line, None)) == data.splitlines()


@given(st.binary(max_size=60), st.lists(st.integers(0, 100)), st.integers(0, 10))
def test_no_line_is_longer_than_the_limit(data: bytes, places: list[int], limit: int) -> None:
    reader = LineReader(Pieces(cut(data, places)).recv, limit)
    expected = data.splitlines()
    fits = next((i for i, text in enumerate(expected) if len(text) > limit), None)
    for text in expected[:fits]:
        assert reader.read_line() == text
    if fits is None:
        assert reader.read_line() is None
    else:
        with pytest.raises(ValueError, match=f"longer than {limit} bytes"):
            reader.read_line()


@given(st.lists(st.tuples(line, st.sampled_from(ENDINGS)), max_size=6))
def test_pending_says_whether_a_line_needs_no_receive(lines: list[tuple[bytes, bytes]]) -> None:
    connection = Pieces([b"".join(text + ending for text, ending in lines)])
    reader = LineReader(connection.recv)
    assert not reader.pending
    while True:
        pending, asked = reader.pending, len(connection.asked)
        if reader.read_line() is None:
            assert not pending
            break
        assert pending == (len(connection.asked) == asked)


def test_a_line_ended_by_cr_is_not_held_back(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    reader = LineReader(other.recv)
    one.sendall(b"good\r")
    assert reader.read_line() == b"good"
    one.sendall(b"\n")
    one.sendall(b"next\n")
    assert reader.read_line() == b"next"


def test_an_lf_that_comes_late_is_no_line(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    reader = LineReader(other.recv)
    one.sendall(b"good\r")
    assert reader.read_line() == b"good"
    one.sendall(b"\n")
    one.close()
    assert reader.read_line() is None


def test_a_line_without_an_end_is_refused_while_it_arrives() -> None:
    connection = Pieces([b"x" * 4000] * 1000)
    reader = LineReader(connection.recv)
    with pytest.raises(ValueError, match="longer than 4096"):
        reader.read_line()
    assert len(connection.asked) == 2


def test_lines_of_a_pipe() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"pwd\nls")
        os.close(writing)
        reader = LineReader(partial(os.read, reading))
        assert list(iter(reader.read_line, None)) == [b"pwd", b"ls"]
    finally:
        os.close(reading)


def test_an_error_of_receive_loses_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    other.setblocking(False)
    reader = LineReader(other.recv)
    one.sendall(b"ha")
    with pytest.raises(BlockingIOError):
        reader.read_line()
    one.sendall(b"lf\n")
    assert reader.read_line() == b"half"


# sockets


def test_a_server_and_a_client_meet() -> None:
    with tcp_server_listen(port=0) as listener:
        port = listener.getsockname()[1]
        with tcp_client("localhost", port, timeout=30) as client:
            assert client.gettimeout() is None
            connection, peer = listener.accept()
            with connection:
                assert peer == client.getsockname()
                client.sendall(b"hello")
                assert readn(connection, 5) == b"hello"


def test_a_server_may_listen_on_ipv6() -> None:
    try:
        listener = tcp_server_listen("::1", 0)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with listener:
        assert endpoint(listener.getsockname()) == f"[::1]:{listener.getsockname()[1]}"
        tcp_client("::1", listener.getsockname()[1]).close()


@pytest.mark.parametrize("reuse", [True, False])
def test_reuse_address_is_set_or_not(reuse: bool) -> None:
    with tcp_server_listen(port=0, reuse_address=reuse) as listener:
        value = listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert bool(value) == reuse


def test_a_used_port_is_named() -> None:
    with tcp_server_listen(port=0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"bind 127.0.0.1:{port}: ") as raised:
            tcp_server_listen(port=port)
    assert raised.value.errno == errno.EADDRINUSE


def test_a_used_udp_port_is_named() -> None:
    with udp_server(port=0) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"bind 127.0.0.1:{port}: ") as raised:
            udp_server(port=port)
    assert raised.value.errno == errno.EADDRINUSE


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(OSError, match=r"bind 192\.0\.2\.1:0: ") as raised:
        tcp_server_listen("192.0.2.1", 0)
    assert raised.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("make", [tcp_server_listen, tcp_client, udp_server, resolve])
@pytest.mark.parametrize(
    "host", ["no such name", "256.256.256.256", "a" * 70, "xn--\udcff", "a\0b"]
)
def test_a_name_that_is_none_is_an_oserror(make: Callable[[str, int], object], host: str) -> None:
    with pytest.raises(OSError, match=r"[a-z]") as raised:
        make(host, 43211)
    assert "\n" not in str(raised.value)


def test_a_refused_connection_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectionRefusedError, match=f"connect 127.0.0.1:{port}: ") as raised:
            tcp_client(port=port)
    assert explain(raised.value).endswith("[ECONNREFUSED]")


def fill(port: int, waiting: contextlib.ExitStack) -> None:
    """Connect to a server that accepts nobody until its queue takes no more."""
    for _ in range(10):
        waiting.enter_context(tcp_client(port=port, timeout=0.3))


def test_a_connection_that_takes_too_long_is_named() -> None:
    with tcp_server_listen(port=0, backlog=0) as listener:
        port = listener.getsockname()[1]
        with (
            contextlib.ExitStack() as waiting,
            pytest.raises(OSError, match=f"connect 127.0.0.1:{port}: ") as raised,
        ):
            fill(port, waiting)
    assert raised.value.errno == errno.ETIMEDOUT


# local sockets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, since the way to it may be too long for an address."""
    monkeypatch.chdir(tmp_path)
    return Path()


KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM]


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_server_leaves_no_path(folder: Path, kind: socket.SocketKind) -> None:
    path = folder / "sock"
    for _ in range(2):
        with local_server(str(path), kind) as server:
            assert server.getsockname() == str(path)
            assert path.is_socket()
        assert not path.exists()
        assert server.fileno() == -1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dead", KINDS)
def test_a_path_left_over_is_taken(
    folder: Path, kind: socket.SocketKind, dead: socket.SocketKind
) -> None:
    path = str(folder / "sock")
    with socket.socket(socket.AF_UNIX, dead) as left_over:
        left_over.bind(path)
    with local_server(path, kind):
        pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("living", KINDS)
def test_the_path_of_a_living_server_is_not(
    folder: Path, kind: socket.SocketKind, living: socket.SocketKind
) -> None:
    path = str(folder / "sock")
    with local_server(path, living) as server:
        if living == socket.SOCK_STREAM:
            server.listen()
        with pytest.raises(OSError, match=f"bind {path} failed: ") as raised:
            local_server(path, kind).__enter__()
        assert raised.value.errno == errno.EADDRINUSE
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # it was not disturbed
            server.accept() if living == socket.SOCK_STREAM else server.recv(1)


@pytest.mark.parametrize("make", ["file", "folder", "link to nowhere"])
def test_what_is_no_socket_is_not_removed(folder: Path, make: str) -> None:
    path = folder / "precious"
    if make == "file":
        path.write_text("years of work")
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to(folder / "nowhere")
    before = path.lstat()
    with pytest.raises(OSError, match="no socket") as raised:
        local_server(str(path), socket.SOCK_STREAM).__enter__()
    assert raised.value.errno == errno.EADDRINUSE
    assert os.path.samestat(path.lstat(), before)


def test_a_local_server_removes_no_path_but_its_own(folder: Path) -> None:
    path = folder / "sock"
    with local_server(str(path), socket.SOCK_STREAM):
        path.rename(folder / "away")
        path.write_text("another's")
    assert path.read_text() == "another's"
    with local_server(str(folder / "second"), socket.SOCK_STREAM):
        (folder / "second").unlink()


@pytest.mark.parametrize(
    ("name", "number"),
    [("no/such/folder", errno.ENOENT), ("file/sock", errno.ENOTDIR)],
)
def test_a_path_that_leads_nowhere_is_named(folder: Path, name: str, number: int) -> None:
    (folder / "file").touch()
    with pytest.raises(OSError, match=f"bind {folder / name} failed: ") as raised:
        local_server(str(folder / name), socket.SOCK_DGRAM).__enter__()
    assert raised.value.errno == number


@pytest.mark.usefixtures("folder")
def test_a_local_path_is_neither_empty_nor_too_long() -> None:
    with socket.socket(socket.AF_UNIX) as other:
        longest = next(size for size in range(200, 0, -1) if fits(other, "x" * size))
    for path in ("网" * (longest // 3) + "x" * (longest % 3), "x"):
        with local_server(local_address(path), socket.SOCK_STREAM):
            pass
    with pytest.raises(OSError, match=f"at most {longest} bytes, not {longest + 1}") as raised:
        local_address("x" * (longest + 1))
    assert raised.value.errno == errno.ENAMETOOLONG
    with pytest.raises(OSError, match="cannot be empty") as raised:
        local_address("")
    assert raised.value.errno == errno.ENOENT


def fits(sock: socket.socket, path: str) -> bool:
    """Whether Python can make an address of the path; nobody listens there."""
    try:
        sock.connect(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    raise AssertionError(f"{path} is there")


# words


@pytest.mark.parametrize(
    ("address", "written"),
    [
        (("127.0.0.1", 43211), "127.0.0.1:43211"),
        (("::1", 43211, 0, 0), "[::1]:43211"),
        ("/tmp/socket", "/tmp/socket"),
        (b"\0hidden", "@hidden"),
        ("", ""),
    ],
)
def test_endpoint(address: object, written: str) -> None:
    assert endpoint(address) == written


def test_explain_names_the_number() -> None:
    error = OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    assert explain(error) == "Connection reset by peer [ECONNRESET]"
    assert explain(TimeoutError("timed out")).endswith("[ETIMEDOUT]")
    assert explain(OSError("no number")) == "no number"


def test_failed_says_what_was_being_done() -> None:
    error = failed("send", BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert isinstance(error, BrokenPipeError)
    assert explain(error) == "send: Broken pipe [EPIPE]"
    assert explain(failed("read", TimeoutError("timed out"))) != ""
    assert explain(failed("look up", OSError("no such name"))) == "look up: no such name"


@given(st.binary())
def test_rot13_is_the_codec_on_letters_and_leaves_the_rest(data: bytes) -> None:
    assert rot13(data).decode("latin-1") == codecs.encode(data.decode("latin-1"), "rot13")
    assert rot13(rot13(data)) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße, 你好\u3000世界\t!".encode(), "Grüße, 你好\u3000世界\t!"),
        (b"two\r\nlines\n", "two\nlines\n"),
        (b"\x1b[2J\x07\x00\r\x9b", "\\x1b[2J\\x07\\x00\\r\ufffd"),
        ("\x9b31m\u202e\u2028".encode(), "\\x9b31m\\u202e\\u2028"),
        (b"\xff\xe4\xb8", "\ufffd\ufffd"),
    ],
)
def test_what_others_send_does_nothing_to_a_terminal(data: bytes, text: str) -> None:
    assert visible(data) == text


def test_an_empty_name_of_a_host_is_seen() -> None:
    with pytest.raises(OSError, match=r"^'': ."):
        resolve("", 0)
