"""Bodies of every kind: iterables, files, pieces that are written; and those that have none."""

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.http import HttpRequest, HttpResponse
from yolanda.http.field_lines import FieldLines
from yolanda.reactor.dispatcher import DISPATCHERS

everywhere = pytest.mark.parametrize(
    ("dispatcher", "threads"), [(name, threads) for name in DISPATCHERS for threads in (0, 2)]
)
GET10 = b"GET / HTTP/1.0\r\n\r\n"
KEEP10 = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


def answer_with(**attributes: object) -> Callable[[HttpRequest, HttpResponse], None]:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        for name, value in attributes.items():
            setattr(response, name, value() if callable(value) else value)

    return handler


class Pieces:
    """An iterable body that notes what becomes of it."""

    def __init__(self, piece: bytes = b"x" * 65536, count: int = 1 << 30) -> None:
        self.piece = piece
        self.count = count
        self.produced = 0
        self.ended = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self.produced < self.count:
                self.produced += 1
                yield self.piece
        finally:
            self.ended.set()


# ---- whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"bytes", b"bytes"),
        ("text é", "text é".encode()),
        (b"", b""),
        ("", b""),
        (None, b""),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
    ],
)
def test_whole_bodies(serve: Callable[..., Any], body: object, sent: bytes) -> None:
    served = serve(lambda request, response: setattr(response, "body", body))
    with served.connect() as client:
        for _ in range(2):
            answer = client.get()
            assert answer.status == 200
            assert answer.body == sent
            assert answer.get("Content-Length") == str(len(sent))
            assert answer.get("Transfer-Encoding") is None


@pytest.mark.parametrize("status", [400, 404, 418, 500, 503, 599])
def test_an_error_without_a_body_says_what_it_is(serve: Callable[..., Any], status: int) -> None:
    answer = serve(answer_with(status=status)).get()
    assert answer.status == status
    assert answer.text.startswith(f"{status} ")
    assert answer.get("Content-Type") == "text/plain; charset=utf-8"


def test_text_html_and_json(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        getattr(response, request.path[1:])("é")

    served = serve(handler)
    for kind, body, content_type in (
        ("text", "é", "text/plain; charset=utf-8"),
        ("html", "é", "text/html; charset=utf-8"),
        ("json", '"\\u00e9"', "application/json"),
    ):
        answer = served.get("/" + kind)
        assert answer.text == body
        assert answer.get("Content-Type") == content_type


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", [b"never sent", None, [b"never ", b"sent"], "never"])
def test_responses_without_a_body(serve: Callable[..., Any], status: int, body: object) -> None:
    served = serve(answer_with(status=status, body=body))
    with served.connect() as client:
        for _ in range(2):  # nothing of the first is taken for the second
            answer = client.get()
            assert answer.status == status
            assert answer.get("Transfer-Encoding") is None
            assert answer.get("Content-Length") is None
        client.half_close()
        assert client.at_end()


@pytest.mark.parametrize("body", [b"12345", "12345", [b"123", b"45"]])
def test_head_has_the_fields_and_no_body(serve: Callable[..., Any], body: object) -> None:
    served = serve(answer_with(body=body, content_type="text/x"))
    with served.connect() as client:
        for _ in range(2):
            answer = client.get(method="HEAD")
            assert answer.status == 200
            assert answer.get("Content-Length") == (None if isinstance(body, list) else "5")
            assert answer.get("Content-Type") == "text/x"
        client.half_close()
        assert client.at_end()


def test_fields_keep_their_order_and_repetitions(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers.add("Set-Cookie", "a=1")
        response.headers["X-Between"] = "yes"
        response.headers.add("set-cookie", "b=2")
        response.headers["X-Empty"] = ""

    answer = serve(handler).get()
    assert answer.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert [n for n, _ in answer.fields][-3:] == ["X-Between", "set-cookie", "X-Empty"]


# ---- iterables -------------------------------------------------------------------------------


@everywhere
def test_an_iterable_is_chunked(serve: Callable[..., Any], dispatcher: str, threads: int) -> None:
    def body() -> Iterator[bytes | str]:
        yield b"one"
        yield b""
        yield "zwei é"
        yield b"x" * 100_000

    served = serve(answer_with(body=body), dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        for _ in range(3):
            answer = client.get()
            assert answer.clean
            assert answer.chunks == [b"one", "zwei é".encode(), b"x" * 100_000]
            assert answer.get("Content-Length") is None
            assert answer.get("Connection") == "Keep-Alive"
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        for _ in range(3):
            assert len(client.read().chunks) == 3


@pytest.mark.parametrize("body", [[], [b""], ["", b""], iter(())])
def test_an_empty_iterable(serve: Callable[..., Any], body: object) -> None:
    served = serve(answer_with(body=body))
    with served.connect() as client:
        for _ in range(2):
            answer = client.get()
            assert answer.status == 200
            assert answer.body == b""
            assert answer.clean


@pytest.mark.parametrize("request_", [GET10, KEEP10])
def test_an_iterable_for_http_1_0_ends_with_the_connection(
    serve: Callable[..., Any], request_: bytes
) -> None:
    served = serve(answer_with(body=lambda: iter([b"one", b"two"])))
    with served.connect() as client:
        client.send(request_)
        answer = client.read()
        assert answer.body == b"onetwo"
        assert answer.get("Transfer-Encoding") is None
        assert answer.get("Content-Length") is None
        assert answer.get("Connection") == "close"


def test_an_iterable_with_a_length_is_not_chunked(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers["Content-Length"] = "6"
        response.body = iter([b"one", b"two"])

    served = serve(handler)
    with served.connect() as client:
        for _ in range(2):
            answer = client.get()
            assert answer.body == b"onetwo"
            assert answer.get_all("Content-Length") == ["6"]
        client.send(KEEP10)
        answer = client.read()
        assert answer.body == b"onetwo"
        assert answer.get("Connection") == "Keep-Alive"


@pytest.mark.parametrize("pieces", [[b"too short"], [b"way ", b"too long for what was said"]])
def test_a_length_that_is_not_true_ends_the_connection(
    serve: Callable[..., Any], pieces: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers["Content-Length"] = "12"
        response.body = iter(pieces)

    served = serve(handler)
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        try:
            received = client.rest()
        except ConnectionResetError:
            received = client.data
        assert len(received.partition(b"\r\n\r\n")[2]) < 12
    assert "Content-Length" in caplog.text


def test_a_head_request_for_an_endless_iterable(serve: Callable[..., Any]) -> None:
    pieces = Pieces()
    served = serve(answer_with(body=pieces))
    with served.connect() as client:
        assert client.get(method="HEAD").status == 200
        assert pieces.ended.wait(20)
        assert pieces.produced <= 1


def failing(before: int) -> Iterator[bytes]:
    for _ in range(before):
        yield b"piece"
    raise LookupError("in the body")


@everywhere
def test_a_failure_before_the_first_piece_is_a_500(
    serve: Callable[..., Any], dispatcher: str, threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.body = failing(0) if request.path == "/bad" else b"good"

    served = serve(handler, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        assert client.get("/bad").status == 500
        assert client.get("/good").body == b"good"
        client.half_close()
        assert client.at_end()
    assert "GET /bad HTTP/1.1" in caplog.text
    assert "in the body" in caplog.text


@everywhere
@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", GET10])
def test_a_failure_later_is_no_clean_end(
    serve: Callable[..., Any],
    dispatcher: str,
    threads: int,
    request_: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = serve(answer_with(body=lambda: failing(2)), dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        client.send(request_)
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert b"0\r\n\r\n" not in client.data
    assert "in the body" in caplog.text


@everywhere
def test_a_client_that_does_not_read_bounds_what_is_produced(
    serve: Callable[..., Any], dispatcher: str, threads: int, eventually: Any
) -> None:
    pieces = Pieces()
    served = serve(answer_with(body=pieces), dispatcher=dispatcher, threads=threads)
    client = served.connect(receive_buffer=4096)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: pieces.produced)

    def at_rest() -> bool:
        before = pieces.produced
        time.sleep(0.05)
        return pieces.produced == before

    eventually(at_rest)
    at_first = pieces.produced
    assert at_first * len(pieces.piece) < 16 << 20  # socket buffers and one piece or two
    for _ in range(at_first * 2):
        client.take(len(pieces.piece))
    eventually(lambda: pieces.produced > at_first)  # reading makes it go on
    client.reset()
    assert pieces.ended.wait(20)  # and the client's end ends it
    eventually(lambda: served.connections == 0)


def test_an_iterable_does_not_keep_others_waiting(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.body = Pieces() if request.path == "/endless" else b"quick"

    served = serve(handler)
    with served.connect() as endless, served.connect() as other:
        endless.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                endless.take(65536)

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(20):
            assert other.get("/quick").body == b"quick"
        stop.set()
        reader.join()
        endless.reset()


def test_everything_is_freed_after_an_iterable(serve: Callable[..., Any], eventually: Any) -> None:
    references: list[weakref.ref[Any]] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        pieces = Pieces(b"x", 5)
        response.body = pieces
        references.extend(map(weakref.ref, (request, response, pieces)))  # type: ignore[arg-type]

    served = serve(handler)
    with served.connect() as client:
        assert client.get().body == b"xxxxx"

    def freed() -> bool:
        gc.collect()
        return all(reference() is None for reference in references)

    eventually(freed)


# ---- written piece by piece ------------------------------------------------------------------


@everywhere
def test_pieces_from_another_thread(
    serve: Callable[..., Any], dispatcher: str, threads: int
) -> None:
    writers: list[threading.Thread] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        response.content_type = "text/x"

        def work() -> None:
            for number in range(5):
                response.write(f"{number} ")
            response.finish()
            response.write("too late")

        writers.append(threading.Thread(target=work))
        writers[-1].start()

    served = serve(handler, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        for _ in range(3):
            answer = client.read()
            assert answer.clean
            assert answer.text == "0 1 2 3 4 "
            assert answer.get("Content-Type") == "text/x"
        client.send(GET10)
        assert client.read().text == "0 1 2 3 4 "
    for writer in writers:
        writer.join()


def test_pieces_reach_the_client_as_they_are_written(serve: Callable[..., Any]) -> None:
    kept: list[HttpResponse] = []
    arrived = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        response.write("first")
        kept.append(response)
        arrived.set()

    served = serve(handler)
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.until(b"first\r\n").endswith(b"5\r\n")
        assert arrived.wait(20)
        kept[0].write(b"second")
        assert client.until(b"second\r\n") == b"6\r\n"
        kept[0].finish()
        assert client.until(b"\r\n\r\n") == b"0"


def test_on_drain_paces_a_writer(serve: Callable[..., Any], eventually: Any) -> None:
    most: list[int] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        left = [200]

        def more() -> None:
            while left[0] and not response.queued:
                left[0] -= 1
                response.write(b"x" * 50_000)
                most.append(response.queued)
            if not left[0] and not response.queued:
                response.finish()

        response.on_drain = more
        more()

    served = serve(handler)
    with served.connect(receive_buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.read()
        assert answer.clean
        assert len(answer.body) == 200 * 50_000
    assert max(most) <= 50_020


def test_an_exception_after_the_first_piece_is_no_clean_end(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        response.write(b"piece")
        raise LookupError("after a piece")

    served = serve(handler)
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            received = client.rest()
        except ConnectionResetError:
            received = client.data
        assert b"0\r\n\r\n" not in received
        assert b"500" not in received
    assert "after a piece" in caplog.text


# ---- files -----------------------------------------------------------------------------------


class FileKeeper:
    """Answers with a file and remembers the file object."""

    def __init__(self, path: Path, **arguments: Any) -> None:
        self.path = path
        self.arguments = arguments
        self.files: list[Any] = []

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        file = self.path.open("rb")
        self.files.append(file)
        response.file(file, **self.arguments)

    def all_closed(self) -> bool:
        return bool(self.files) and all(file.closed for file in self.files)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_bytes(os.urandom(3_000_000))
    return path


@everywhere
def test_files(
    serve: Callable[..., Any], dispatcher: str, threads: int, path: Path, eventually: Any
) -> None:
    keeper = FileKeeper(path)
    served = serve(keeper, dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        for _ in range(2):
            answer = client.get()
            assert answer.body == path.read_bytes()
            assert answer.get("Content-Length") == "3000000"
            assert answer.get("Content-Type") == "application/octet-stream"
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        for _ in range(3):
            assert client.read().body == path.read_bytes()
    eventually(keeper.all_closed)


def test_a_file_by_its_path(serve: Callable[..., Any], path: Path) -> None:
    served = serve(lambda request, response: response.file(path))
    answer = served.get()
    assert answer.body == path.read_bytes()
    assert answer.get("Content-Type") == "text/html"


@pytest.mark.parametrize(("offset", "count"), [(0, 10), (5, 0), (2_999_999, 1), (100, 100_000)])
def test_a_part_of_a_file(
    serve: Callable[..., Any], path: Path, offset: int, count: int, eventually: Any
) -> None:
    keeper = FileKeeper(path, offset=offset, count=count)
    served = serve(keeper)
    with served.connect() as client:
        assert client.get().body == path.read_bytes()[offset : offset + count]
        assert client.get().status == 200
    eventually(keeper.all_closed)


@pytest.mark.parametrize(
    "arguments", [{"offset": 3_000_001}, {"offset": -1}, {"count": 3_000_001}, {"count": -1}]
)
def test_a_part_that_is_not_there(
    serve: Callable[..., Any],
    path: Path,
    arguments: dict[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper = FileKeeper(path, **arguments)
    assert serve(keeper).get().status == 500
    assert keeper.all_closed()
    assert "a file of 3000000 bytes" in caplog.text


def test_a_file_that_is_missing_is_a_500(
    serve: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(lambda request, response: response.file(tmp_path / "missing"))
    assert served.get().status == 500
    assert "missing" in caplog.text


def test_head_of_a_file(serve: Callable[..., Any], path: Path) -> None:
    keeper = FileKeeper(path)
    served = serve(keeper)
    with served.connect() as client:
        for _ in range(2):
            answer = client.get(method="HEAD")
            assert answer.get("Content-Length") == "3000000"
        assert keeper.all_closed()
        client.half_close()
        assert client.at_end()


def test_a_file_is_closed_when_the_handler_fails(
    serve: Callable[..., Any], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = FileKeeper(path)

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        keeper(request, response)
        raise LookupError("after file()")

    assert serve(handler).get().status == 500
    assert keeper.all_closed()


def test_a_file_is_closed_when_its_head_cannot_be_made(
    serve: Callable[..., Any], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = FileKeeper(path)

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        keeper(request, response)
        response.status = 99

    assert serve(handler).get().status == 500
    assert keeper.all_closed()


@everywhere
def test_a_file_is_closed_when_the_client_vanishes_midway(
    serve: Callable[..., Any], dispatcher: str, threads: int, path: Path, eventually: Any
) -> None:
    with path.open("ab") as file:
        file.truncate(200_000_000)  # sparse
    keeper = FileKeeper(path)
    served = serve(keeper, dispatcher=dispatcher, threads=threads)
    client = served.connect(receive_buffer=4096)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(client.take(100_000)) == 100_000
    assert not keeper.all_closed()
    client.reset()
    eventually(keeper.all_closed)
    eventually(lambda: served.connections == 0)


def test_a_file_that_is_deferred(serve: Callable[..., Any], path: Path, eventually: Any) -> None:
    keeper = FileKeeper(path)
    workers: list[threading.Thread] = []

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()

        def work() -> None:
            keeper(request, response)
            response.finish()

        workers.append(threading.Thread(target=work))
        workers[-1].start()

    served = serve(handler)
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        client.half_close()
        for _ in range(2):
            assert client.read().body == path.read_bytes()
        assert client.at_end()
    for worker in workers:
        worker.join()
    eventually(keeper.all_closed)


def test_a_file_for_a_client_that_is_gone_is_closed(
    serve: Callable[..., Any], path: Path, eventually: Any
) -> None:
    keeper = FileKeeper(path)
    kept: list[HttpResponse] = []
    gone = threading.Event()
    arrived = threading.Event()

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        request.on_disconnect = gone.set
        kept.append(response)
        arrived.set()

    served = serve(handler)
    client = served.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert arrived.wait(20)
    client.reset()
    assert gone.wait(20)
    keeper(kept[0].request, kept[0])
    kept[0].finish()
    eventually(keeper.all_closed)


def test_a_file_that_shrinks_meanwhile_is_no_clean_end(
    serve: Callable[..., Any], path: Path, eventually: Any
) -> None:
    with path.open("ab") as file:
        file.truncate(50_000_000)
    keeper = FileKeeper(path)
    served = serve(keeper)
    with served.connect(receive_buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.take(1000)
        os.truncate(path, 0)
        try:
            received = client.rest()
        except ConnectionResetError:
            received = client.data
        assert len(received) < 50_000_000
    eventually(keeper.all_closed)


def test_endless_empty_pieces_hold_nobody_up(serve: Callable[..., Any]) -> None:
    pieces = Pieces(b"")

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/endless":
            response.body = pieces
        else:
            response.text("still here")

    served = serve(handler)
    with served.connect() as client:
        client.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"still here" in served.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert pieces.ended.wait(20)


def test_head_with_a_length_that_was_not_made(serve: Callable[..., Any]) -> None:
    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers["Content-Length"] = "123456"

    answer = serve(handler).exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"\r\nContent-Length: 123456\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_field_lines_until_headers_are_touched(serve: Callable[..., Any]) -> None:
    pairs = [(b"X-One", b"1"), (b"x-two", b"\xe9"), (b"Content-Type", b"text/x")]
    lines = FieldLines([*pairs, (b"Content-Length", b"4")])
    closing = FieldLines([*pairs, (b"Connection", b"close")])

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.field_lines = closing if request.path == "/close" else lines
        response.body = b"text"
        if request.path != "/":
            response.headers["X-One"] = "another"
            response.headers["X-Three"] = "3"

    served = serve(handler)
    with served.connect() as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.body, answer.get_all("Content-Type")) == (b"text", ["text/x"])
            assert (answer.get_all("X-One"), answer.get_all("X-Two")) == (["1"], ["é"])
            answer = client.get("/more")
            assert (answer.body, answer.get_all("Content-Type")) == (b"text", ["text/x"])
            assert (answer.get_all("X-One"), answer.get_all("X-Two")) == (["another"], ["é"])
            assert (answer.get("X-Three"), answer.get("Content-Length")) == ("3", "4")
        answer = client.get("/close")
        assert (answer.get("Connection"), answer.get("X-One")) == ("close", "another")
        assert client.at_end()
