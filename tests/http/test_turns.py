"""What is ready in a turn of the loop is read, decoded, served, then sent; and all in its order.

The turns are made here, one by one, so that it is known which requests one of them finds.
"""

import functools
import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from yolanda.buffer import Buffer
from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.http.codec import RequestDecoder
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop

from .conftest import PATIENCE, Client

Handler = Callable[[HttpRequest, HttpResponse], object]

GET = b"GET /%b HTTP/1.1\r\nHost: test\r\n\r\n"


class Turns:
    """A server whose loop turns when it is told to."""

    def __init__(self, stack: ExitStack, dispatcher: str, **options: Any) -> None:
        self._stack = stack
        self.loop = stack.enter_context(EventLoop(dispatcher))
        self.handle: Handler = _echo_path
        self.server = HttpServer(
            "127.0.0.1:0",
            lambda request, response: self.handle(request, response),
            loop=self.loop,
            **options,
        )
        stack.callback(self.server.close)
        self.server.start()

    def connect(self, count: int) -> list[Client]:
        """Return clients that have been accepted."""
        clients = [self._stack.enter_context(Client(self.server.address)) for _ in range(count)]
        self.turn_until(lambda: self.server.connections == count)
        return clients

    def turn_until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            self.loop.run_once(0.1)
        raise AssertionError("it did not come to that")

    def serve(self, requests: dict[Client, bytes]) -> None:
        """Make one turn that finds all the ``requests``; they are sent in their order."""
        for client, request in requests.items():
            client.send(request)
        descriptors = [each._channel.fd for each in self.server.open_connections()]
        ends = time.monotonic() + PATIENCE
        while len(select.select(descriptors, [], [], 0)[0]) < len(requests):
            assert time.monotonic() < ends
        assert self.loop.run_once(0) == len(requests)


def _echo_path(request: HttpRequest, response: HttpResponse) -> None:
    response.text(request.path)


def interrupted(served: list[str], number: int) -> Handler:
    """Return a handler that notes in ``served`` what it is asked, and is interrupted once."""

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        served.append(request.path)
        if len(served) == number:
            raise KeyboardInterrupt
        _echo_path(request, response)

    return handle


def has_something(client: Client) -> bool:
    return bool(select.select([client.socket], [], [], 0)[0])


@pytest.fixture(params=[name for name in ("select", "epoll", "epoll-et") if name in DISPATCHERS])
def turns(request: pytest.FixtureRequest) -> Iterator[Turns]:
    with ExitStack() as stack:
        yield Turns(stack, request.param)


def test_no_response_leaves_before_all_that_is_ready_was_handled(turns: Turns) -> None:
    clients = turns.connect(3)
    seen: list[bool] = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        seen.extend(map(has_something, clients))
        _echo_path(request, response)

    turns.handle = handle
    turns.serve({client: GET % b"%d" % i for i, client in enumerate(clients)})
    assert seen == [False] * 9
    assert [client.read().text for client in clients] == ["/0", "/1", "/2"]


def test_all_that_is_ready_is_read_and_decoded_before_any_of_it_is_served(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = turns.connect(3)
    steps: list[str] = []
    read_from, decode_head = Buffer.read_from, RequestDecoder.decode_head

    def read(buffer: Buffer, fd: int, size: int) -> int:
        steps.append("read")
        return read_from(buffer, fd, size)

    def decode(decoder: RequestDecoder, data: bytes, position: int) -> int:
        steps.append("decode")
        return decode_head(decoder, data, position)

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        steps.append("serve")
        _echo_path(request, response)

    monkeypatch.setattr(Buffer, "read_from", read)
    monkeypatch.setattr(RequestDecoder, "decode_head", decode)
    turns.handle = handle
    turns.serve(dict.fromkeys(clients, GET % b""))
    if turns.loop.edge_triggered:
        # Who is told of edges has to be able to stop between two reads.
        assert [step for step in steps if step != "read"] == ["decode", "serve"] * 3
    else:
        assert steps == ["read"] * 3 + ["decode"] * 3 + ["serve"] * 3
    assert all(client.read().text == "/" for client in clients)


def test_a_request_is_not_served_when_another_has_closed_its_connection(turns: Turns) -> None:
    clients = turns.connect(2)
    served: list[str] = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        served.append(request.path)
        for connection in turns.server.open_connections():
            if connection is not request.connection:
                connection.close()
        _echo_path(request, response)

    turns.handle = handle
    for client in clients:
        client.send(GET % b"")
    turns.turn_until(lambda: turns.server.connections == 1 and bool(served))
    turns.loop.run_once(0)
    assert served == ["/"]


def test_many_responses_do_not_wait_for_many_more(turns: Turns) -> None:
    clients = turns.connect(80)
    answered: list[int] = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        answered.append(sum(map(has_something, clients)))
        _echo_path(request, response)

    turns.handle = handle
    turns.serve(dict.fromkeys(clients, GET % b""))
    assert answered == [0] * 64 + [64] * 16
    assert all(client.read().text == "/" for client in clients)


def test_a_response_that_waits_keeps_its_place_before_what_others_send(turns: Turns) -> None:
    """One client is answered, and then by the handler of another, within one turn."""
    first, second = turns.connect(2)
    held: list[HttpResponse] = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/held":
            response.defer()
            held.append(response)
        elif request.path == "/other":
            held[0].write("from another")
            held[0].finish()
            _echo_path(request, response)
        else:
            _echo_path(request, response)

    turns.handle = handle
    turns.serve({first: GET % b"own" + GET % b"held", second: GET % b"other"})
    assert [first.read().text, first.read().text] == ["/own", "from another"]
    assert second.read().text == "/other"


def test_what_waits_leaves_before_a_job_closes_the_server(turns: Turns) -> None:
    (client,) = turns.connect(1)

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        turns.loop.queue_in_loop(turns.server.stop, 0)
        _echo_path(request, response)

    turns.handle = handle
    turns.serve({client: GET % b"last"})
    assert client.read().text == "/last"


def test_nothing_else_is_lost_when_a_handler_is_interrupted(turns: Turns) -> None:
    """What waits leaves, and who was not served yet is served in the next turn."""
    clients = turns.connect(3)
    served: list[str] = []
    turns.handle = interrupted(served, 2)
    with pytest.raises(KeyboardInterrupt):
        turns.serve({client: GET % b"%d" % i for i, client in enumerate(clients)})
    assert [has_something(client) for client in clients].count(True) == 1
    turns.loop.run_once(PATIENCE)
    assert len(served) == 3
    answered = [client.read().text for client in clients if has_something(client)]
    assert answered == [served[0], served[2]]


@pytest.mark.parametrize("cut", [0, 10, len(GET % b"first")])
def test_what_comes_after_an_interrupt_follows_what_was_there_before_it(
    turns: Turns, cut: int
) -> None:
    clients = turns.connect(2)
    served: list[str] = []
    turns.handle = interrupted(served, 1)
    requests = GET % b"first" + GET % b"second"
    before = requests[:cut] or GET % b"zeroth"
    with pytest.raises(KeyboardInterrupt):
        turns.serve(
            {
                clients[0]: GET % b"",
                clients[1]: before,
            }
        )
    turns.handle = _echo_path
    clients[1].send(requests[cut:])
    turns.turn_until(lambda: has_something(clients[1]))
    expected = ["/first", "/second"] if cut else ["/zeroth", "/first", "/second"]
    turns.loop.run_once(0.1)
    turns.loop.run_once(0)
    assert [clients[1].read().text for _ in expected] == expected


def test_an_outer_loop_is_told_of_what_an_interrupt_has_left() -> None:
    with ExitStack() as stack:
        turns = Turns(stack, "epoll" if "epoll" in DISPATCHERS else "kqueue")
        fd = turns.loop.fileno()
        clients = turns.connect(2)
        served: list[str] = []
        turns.handle = interrupted(served, 1)
        with pytest.raises(KeyboardInterrupt):
            turns.serve(dict.fromkeys(clients, GET % b""))
        assert select.select([fd], [], [], 0)[0]
        turns.loop.run_once(0)
        assert served == ["/", "/"]


def test_what_is_wrong_with_one_connection_keeps_no_other_from_its_response(
    turns: Turns, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a handler, of which the server takes care, but in the server itself."""
    clients = turns.connect(3)
    decode_head = RequestDecoder.decode_head

    def fail(decoder: RequestDecoder, data: bytes, position: int) -> int:
        if b"/bad" in data:
            raise LookupError("a fault of the server")
        return decode_head(decoder, data, position)

    monkeypatch.setattr(RequestDecoder, "decode_head", fail)
    turns.serve(dict(zip(clients, (GET % b"0", GET % b"bad", GET % b"2"), strict=True)))
    assert [clients[0].read().text, clients[2].read().text] == ["/0", "/2"]
    with pytest.raises(ConnectionResetError):
        clients[1].socket.recv(1)
    assert "a fault of the server" in caplog.text


def test_a_response_that_is_finished_between_two_turns_is_sent_at_once(turns: Turns) -> None:
    (client,) = turns.connect(1)
    held: list[HttpResponse] = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/held":
            response.defer()
            held.append(response)
        else:
            _echo_path(request, response)

    turns.handle = handle
    turns.serve({client: GET % b"held" + GET % b"next"})
    assert not has_something(client)
    held[0].text("late")
    held[0].finish()
    assert [client.read().text, client.read().text] == ["late", "/next"]


def test_a_response_that_is_finished_by_a_job_leaves_in_the_same_turn(turns: Turns) -> None:
    (client,) = turns.connect(1)

    def finish(response: HttpResponse) -> None:
        response.text("by a job")
        response.finish()

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        turns.loop.queue_in_loop(finish, response)

    turns.handle = handle
    turns.serve({client: GET % b""})
    assert client.read().text == "by a job"


def test_exchanges_are_told_of_when_they_have_left() -> None:
    told: list[tuple[str, int, bool]] = []
    with ExitStack() as stack:
        turns = Turns(
            stack,
            "auto",
            on_exchange=lambda request, response, sent, seconds, complete: told.append(
                (request.path, sent, complete)
            ),
        )
        (client,) = turns.connect(1)
        client.send(GET % b"a" + GET % b"b")
        turns.turn_until(lambda: bool(told))
        assert told == [("/a", 2, True), ("/b", 2, True)]
        assert [client.read().text, client.read().text] == ["/a", "/b"]


def test_one_that_fails_to_send_keeps_no_other_from_it() -> None:
    sent: list[str] = []
    reported: list[tuple[str, str]] = []

    class Keeper:
        def __init__(self, name: str) -> None:
            self._name = name

        def __repr__(self) -> str:
            return f"<Keeper {self._name}>"

        def flush(self) -> None:
            if self._name == "bad":
                raise ValueError("no")
            sent.append(self._name)

    def keep(name: str) -> None:
        assert loop.outbox is not None
        loop.outbox.append(Keeper(name))

    with EventLoop() as loop:
        loop.on_exception = lambda error, whose: reported.append((str(error), whose))
        assert loop.outbox is None
        for name in ("first", "bad", "last"):
            loop.queue_in_loop(functools.partial(keep, name))
        loop.run_once(0)
        assert loop.outbox is None
    assert sent == ["first", "last"]
    assert reported == [("no", "<Keeper bad>")]
