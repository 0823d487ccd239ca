import contextlib
import select
import socket
import threading
from array import array
from collections.abc import Callable, Iterator

import pytest

from yolanda.bench.clients.models import Client
from yolanda.bench.clients.percentiles import percentiles
from yolanda.bench.servers.model_work import MUCH, NONE, SIZE, SOME, message

PATIENCE = 10.0
"""Seconds; only in a test that fails, or where an answer never comes, are they waited for."""


@contextlib.contextmanager
def served_by(serve: Callable[[socket.socket], None]) -> Iterator[Client]:
    """A client of ``serve``, which runs in a thread and is given the listening socket."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            serve(listener)
        except BaseException as error:
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=run)
        thread.start()
        client = Client(listener.getsockname()[1])
        try:
            yield client
        finally:
            client.close()
            thread.join()
    assert not failures, failures


def accept(listener: socket.socket, stack: contextlib.ExitStack, count: int) -> list[socket.socket]:
    """Take so many clients and answer the first message of each."""
    taken = []
    for _ in range(count):
        connection = stack.enter_context(listener.accept()[0])
        connection.settimeout(PATIENCE)
        taken.append(connection)
    for connection in taken:
        connection.sendall(receive(connection))
    return taken


def receive(connection: socket.socket) -> bytes:
    """Read a message, or nothing where the client has gone."""
    with contextlib.suppress(ConnectionError):
        return connection.recv(SIZE, socket.MSG_WAITALL)
    return b""


def echo(connections: list[socket.socket], seen: list[socket.socket] | None = None) -> None:
    """Answer whoever asks until one has gone; no more than one may be waiting at a time."""
    while True:
        readable, _, _ = select.select(connections, [], [], PATIENCE)
        for connection in readable:
            data = receive(connection)
            if not data:
                return
            if seen is not None:
                assert len(readable) == 1
                seen.append(connection)
            connection.sendall(data)


def test_messages_that_are_answered_are_counted_and_timed() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            echo(accept(listener, stack, 3))

    with served_by(serve) as client:
        connected = client.connect(3, PATIENCE)
        assert (connected["open"], connected["answered"], connected["problem"]) == (3, 3, "")
        done = client.load(NONE, 0.05, 3, PATIENCE)
        assert done["messages"] > 0
        assert done["late"] == 3  # those under way when the time was over
        assert done["unanswered"] == 0
        assert done["served"] == 3
        assert 0 < done["trips"]["p50"] <= done["elapsed"]
        assert done["elapsed"] >= done["seconds"] >= 0.05


def test_a_limit_to_what_is_under_way_lets_connections_take_turns() -> None:
    seen: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            echo(accept(listener, stack, 3), seen)

    with served_by(serve) as client:
        client.connect(3, PATIENCE)
        client.load(NONE, 0.05, 1, PATIENCE)
    assert len(set(seen[:3])) == 3
    assert seen[3:] == seen[:-3]


def test_an_answer_may_come_in_pieces() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            one, other = connections = accept(listener, stack, 2)
            cut = receive(one)
            one.sendall(cut[:10])
            other.sendall(receive(other))
            again = receive(other)  # so the client has read what came before, the piece too
            one.sendall(cut[10:])
            other.sendall(again)
            echo(connections)

    with served_by(serve) as client:
        client.connect(2, PATIENCE)
        done = client.load(NONE, 0.05, 2, PATIENCE)
        assert done["unanswered"] == 0
        assert done["served"] == 2


def test_connections_that_the_server_closes_are_counted() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            listener.accept()[0].close()
            echo(accept(listener, stack, 2))

    with served_by(serve) as client:
        connected = client.connect(3, PATIENCE)
        assert (connected["closed"], connected["open"], connected["served"]) == (1, 2, 2)
        assert client.load(NONE, 0.05, 100, PATIENCE)["messages"] > 0


def test_whoever_is_not_answered_asks_no_more_until_he_is() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            served = accept(listener, stack, 1)
            late = stack.enter_context(listener.accept()[0])
            served[0].sendall(receive(served[0]))  # the first of the load
            late.sendall(receive(late))
            echo([*served, late])

    with served_by(serve) as client:
        assert client.connect(1, PATIENCE)["served"] == 1
        assert client.connect(1, 0.2)["served"] == 1
        done = client.load(SOME, 0.05, 100, PATIENCE)
        assert done["served"] == 2
        assert done["unanswered"] == 0


def test_what_is_never_answered_ends_the_load() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            [connection] = accept(listener, stack, 1)
            assert receive(connection)
            assert not receive(connection)

    with served_by(serve) as client:
        client.connect(1, PATIENCE)
        done = client.load(NONE, 0.05, 1, 0.2)
        assert (done["messages"], done["unanswered"], done["served"]) == (0, 1, 0)
        assert done["trips"] == {}


def test_a_wrong_answer_is_an_error() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            [connection] = accept(listener, stack, 1)
            receive(connection)
            connection.sendall(message(MUCH))
            receive(connection)

    with served_by(serve) as client:
        client.connect(1, PATIENCE)
        with pytest.raises(RuntimeError, match="was answered with"):
            client.load(NONE, 0.05, 1, PATIENCE)


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with contextlib.closing(Client(port)) as client:
        connected = client.connect(5, PATIENCE)
        assert connected["problem"] == "Connection refused [ECONNREFUSED]"
        assert (connected["attempts"], connected["open"]) == (1, 0)
        assert client.load(NONE, 0.05, 1, PATIENCE)["messages"] == 0  # and is over at once


def test_percentiles_are_exact_and_left_out_where_trips_are_too_few() -> None:
    assert percentiles(array("d")) == {}
    assert percentiles(array("d", [3.0, 1.0, 2.0])) == {"p50": 2.0}
    trips = percentiles(array("d", range(10_000, 0, -1)))
    assert trips == {"p50": 5000, "p99": 9900, "p999": 9990}
