import os
import socket
from collections.abc import Callable

import pytest

from yolanda.address import Address, BoundSocket, bind_socket
from yolanda.buffer import Buffer
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport.shared_load import SharedLoad
from yolanda.transport.tcp_connection import TcpConnection
from yolanda.transport.tcp_server import TcpServer

RunUntil = Callable[..., None]


def test_a_process_alone_is_never_ahead() -> None:
    load = SharedLoad().take()
    load.join()
    load.add(1000)
    assert not load.ahead


def test_who_has_more_than_his_share_is_ahead() -> None:
    table = SharedLoad()
    first, second = table.take(), table.take()
    first.join()
    second.join()
    first.add(2)
    assert not first.ahead  # a connection above the mean is no matter
    first.add(1)
    assert first.ahead
    assert not second.ahead
    second.add(3)
    assert not first.ahead
    assert sorted(table.loads()) == [3, 3]


def test_who_does_not_accept_is_not_waited_for() -> None:
    table = SharedLoad()
    first, second = table.take(), table.take()
    first.join()
    first.add(10)
    assert not first.ahead  # the second has not begun
    second.join()
    assert first.ahead
    second.leave()
    second.add(-1)  # a connection that it had still
    assert table.loads() == [10]
    assert not first.ahead


def test_places_are_used_again() -> None:
    table = SharedLoad(2)
    first, second = table.take(), table.take()
    first.join()
    second.join()
    second.add(7)
    with pytest.raises(OSError, match="there are 2 processes"):
        table.take()
    table.release(second)
    assert table.loads() == [0]
    table.release(first)
    assert table.loads() == []
    assert table.take().place == first.place


def test_a_forked_process_sees_the_table() -> None:
    table = SharedLoad()
    load = table.take()
    pid = os.fork()
    if pid == 0:
        load.join()
        load.add(5)
        os._exit(0)
    os.waitpid(pid, 0)
    assert table.loads() == [5]


class Fellows:
    """Two servers in one loop, on one socket, as two processes would have them."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.bound: BoundSocket = bind_socket(Address("127.0.0.1", 0))
        self.bound.socket.listen(100)
        table = SharedLoad()
        self.servers = [
            TcpServer(
                loop,
                Address(fd=os.dup(self.bound.socket.fileno())),
                on_message=self.echo,
                shared=table.take(),
            )
            for _ in range(2)
        ]
        self.clients: list[socket.socket] = []

    @staticmethod
    def echo(connection: TcpConnection, buffer: Buffer) -> None:
        connection.send(buffer.retrieve_all())

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.bound.address.port), timeout=5)
        self.clients.append(client)
        return client

    def counts(self) -> list[int]:
        return [server.connections for server in self.servers]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.close()
        self.bound.close()
        self.loop.run_once(0)


@pytest.mark.parametrize("dispatcher", DISPATCHERS)
def test_connections_that_come_at_once_are_shared(dispatcher: str, run_until: RunUntil) -> None:
    with EventLoop(dispatcher) as loop:
        fellows = Fellows(loop)
        for server in fellows.servers:
            server.start()
        for _ in range(40):
            fellows.connect()
        run_until(loop, lambda: sum(fellows.counts()) == 40)
        assert max(fellows.counts()) - min(fellows.counts()) <= 5
        fellows.close()


@pytest.mark.parametrize("dispatcher", DISPATCHERS)
def test_who_is_ahead_accepts_where_the_others_do_not(dispatcher: str, run_until: RunUntil) -> None:
    with EventLoop(dispatcher) as loop, EventLoop() as stuck:
        fellows = Fellows(loop)
        fellows.servers[0].start()
        other = TcpServer(
            stuck, Address(fd=os.dup(fellows.bound.socket.fileno())), shared=SharedLoad().take()
        )
        assert fellows.servers[1]._shared is not None
        fellows.servers[1]._shared.join()  # it seems to accept, but its loop does not turn
        for _ in range(12):
            fellows.connect()
        run_until(loop, lambda: fellows.counts() == [12, 0])
        other.close()
        fellows.close()


def test_a_server_that_stops_leaves_the_queue_to_the_others(run_until: RunUntil) -> None:
    with EventLoop() as loop:
        fellows = Fellows(loop)
        first, second = fellows.servers
        first.start()
        client = fellows.connect()
        first.stop()
        assert first.connections == 0
        client.sendall(b"hello")
        second.start()
        run_until(loop, lambda: second.connections == 1)
        run_until(loop, lambda: _arrived(client))
        assert client.recv(10) == b"hello"
        fellows.close()


def test_the_last_server_serves_the_queue(run_until: RunUntil) -> None:
    with EventLoop() as loop:
        fellows = Fellows(loop)
        first = fellows.servers[0]
        first.start()
        client = fellows.connect()
        client.sendall(b"hello")
        first.leave_queue = False
        first.stop()
        run_until(loop, lambda: _arrived(client))
        assert client.recv(10) == b""  # `TcpServer.drain` closes without reading
        fellows.close()


def _arrived(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        client.settimeout(30)
    return True
