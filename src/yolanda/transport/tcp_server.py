"""A server: an acceptor in the main loop, connections in the loops of a thread pool."""

import functools
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from yolanda.address import Address, bind_socket
from yolanda.buffer import Buffer
from yolanda.networks import Networks
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.thread_pool import Choice, ThreadPool
from yolanda.reactor.timer_queue import Timer
from yolanda.transport.acceptor import Acceptor
from yolanda.transport.proxy_header_reader import ProxyHeaderReader
from yolanda.transport.shared_load import ProcessLoad
from yolanda.transport.tcp_connection import (
    ConnectionHook,
    ConnectionState,
    MessageHook,
    TcpConnection,
)
from yolanda.transport.tls import TlsConnection
from yolanda.transport.tls_settings import ServerTls
from yolanda.transport.worker_pool import WorkerPool

log = logging.getLogger("yolanda.transport")

STOP_TIMEOUT = 30.0
"""Seconds that a graceful stop gives connections to end by themselves."""


class Traffic(NamedTuple):
    """What has come and gone on some connections: how many they are, and the bytes."""

    connections: int
    bytes_in: int
    bytes_out: int

    def plus(self, other: "Traffic") -> "Traffic":
        """Both together."""
        return Traffic(
            self.connections + other.connections,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
        )


class ConnectionHandler:
    """The four hooks as the methods of a class, one instance a connection.

    (Course, chapter 35: the abstract class in which an application fills in what it needs.)
    """

    def on_connection_completed(self, connection: TcpConnection) -> None:
        """The connection is there."""

    def on_message(self, connection: TcpConnection, buffer: Buffer) -> None:
        """Bytes came; what is not retrieved stays in ``buffer``."""
        buffer.retrieve_all()

    def on_write_completed(self, connection: TcpConnection) -> None:
        """All that was sent is in the kernel's hands."""

    def on_connection_closed(self, connection: TcpConnection) -> None:
        """The connection is gone; nothing follows."""


class TcpServer:
    """Serves connections on one address.  (Course, chapters 27 to 29 and 33.)

    - ``loop``: the main loop; with ``threads=0`` it serves the connections too;
    - ``address``: where to listen, in any form of `Address.parse`; it is bound here and now, so an
      address in use raises its `OSError` from the constructor;
    - ``on_connection_completed(connection)``, ``on_message(connection, buffer)``,
      ``on_write_completed(connection)``, ``on_connection_closed(connection)``: the hooks, called
      in the thread of the connection's loop;
    - ``handler``: instead of hooks, what makes a `ConnectionHandler` for each connection, for
      instance the class itself;
    - ``threads``, ``choice``, ``dispatcher``: see `ThreadPool`;
    - ``workers``: threads for what takes long, reached as `workers`; 0 for none;
    - ``max_connections``: at so many, further ones wait in the kernel's queue;
    - ``backlog``: the length of that queue;
    - ``reuse_port``: share the port with other listeners that do so too (SO_REUSEPORT);
    - ``shared``: other processes accept on the same listening socket (``fd:N``), and this is what
      each has: connections are taken in turn with the others, see `SharedLoad`;
    - ``no_delay``: turn Nagle's algorithm off for every connection;
    - ``tls``: the certificates, if it is to speak TLS;
    - ``proxy_protocol``: the proxies that say for whom they connect, see `Networks`; `True` if
      nobody else can connect.  Their connections must begin with a header of the PROXY protocol,
      and those of others must not.

    Methods belong to the main loop's thread unless they say otherwise.
    """

    def __init__(
        self,
        loop: EventLoop,
        address: str | Address,
        *,
        on_connection_completed: ConnectionHook | None = None,
        on_message: MessageHook | None = None,
        on_write_completed: ConnectionHook | None = None,
        on_connection_closed: ConnectionHook | None = None,
        handler: Callable[[], ConnectionHandler] | None = None,
        threads: int | Literal["auto"] = 0,
        choice: Choice = "round-robin",
        dispatcher: str = "auto",
        workers: int = 0,
        max_connections: int | None = None,
        backlog: int = socket.SOMAXCONN,
        reuse_port: bool = False,
        shared: ProcessLoad | None = None,
        no_delay: bool = True,
        tls: ServerTls | None = None,
        proxy_protocol: bool | Iterable[str] = False,
    ) -> None:
        loop.assert_in_loop_thread()
        hooks = (on_connection_completed, on_message, on_write_completed, on_connection_closed)
        if handler is not None and any(hook is not None for hook in hooks):
            raise ValueError("a server has either a handler or hooks, not both")
        if max_connections is not None and max_connections < 1:
            raise ValueError(f"a server takes 1 connection or more, not {max_connections}")
        self.loop = loop
        self.on_connection_completed = on_connection_completed
        self.on_message = on_message
        self.on_write_completed = on_write_completed
        self.on_connection_closed = on_connection_closed
        self._handler = handler
        self._max_connections = max_connections
        self._no_delay = no_delay
        self._tls = tls
        self._proxies: Networks | None = None
        if proxy_protocol is not False:
            self._proxies = Networks("*" if proxy_protocol is True else proxy_protocol)
        self._pool = ThreadPool(
            loop,
            threads,
            choice=choice,
            dispatcher=dispatcher,
            load=lambda loop: self._loads.get(loop, 0),
        )
        # One set a loop, changed in that loop's thread only; others no more than ask its size.
        self._connections: dict[EventLoop, set[TcpConnection]] = {loop: set()}
        # Handed to a loop and not yet given back, in all and for each; the main loop's own figures,
        # since a connection is handed over before its loop has heard of it.
        self._accepted = 0
        self._loads: dict[EventLoop, int] = {}
        self._traffic = Traffic(0, 0, 0)  # of the connections that are over
        self.workers = WorkerPool(workers) if workers else None
        """The pool for what takes long: ``server.workers.submit(connection, function, ...)``."""
        if isinstance(address, str):
            address = Address.parse(address)
        self._listener = bind_socket(address, reuse_port=reuse_port)
        self.address = self._listener.address
        """Where it listens; a port 0 has been replaced by the kernel's choice."""
        self._acceptor = Acceptor(
            loop, self._listener, self._handle_accept, backlog=backlog, shared=shared
        )
        self._shared = shared
        self.leave_queue = shared is not None
        """Whether `stop` leaves connections that the kernel has completed to other processes."""
        self._started = False
        self._stopping = False
        self._stopped = False
        self._deadline: Timer | None = None
        self._on_stopped: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.address}, {self.connections} connections>"

    @property
    def connections(self) -> int:
        """How many connections are open.  Any thread."""
        return sum(map(len, list(self._connections.values())))

    def open_connections(self) -> list[TcpConnection]:
        """The connections that are open; each belongs to its loop."""
        return [connection for some in list(self._connections.values()) for connection in some]

    def traffic(self) -> Traffic:
        """All connections so far, those that are open among them.  In the main loop's thread."""
        traffic = self._traffic
        for connection in self.open_connections():
            traffic = traffic.plus(Traffic(1, connection.bytes_in, connection.bytes_out))
        return traffic

    @property
    def loops(self) -> list[EventLoop]:
        """The loops that serve connections."""
        return self._pool.loops

    def start(self) -> None:
        """Start the threads, wait until their loops are ready, then listen."""
        self.loop.assert_in_loop_thread()
        if self._started:
            raise RuntimeError(f"{self!r} has been started already")
        self._started = True
        self._pool.start()
        for loop in self._pool.loops:
            self._connections.setdefault(loop, set())
        self._acceptor.start()

    def run(
        self,
        stop_timeout: float = STOP_TIMEOUT,
        on_started: Callable[[], object] | None = None,
    ) -> None:
        """Start, serve until SIGINT or SIGTERM, stop gracefully within ``stop_timeout`` seconds.

        It runs the main loop, and returns when all is done.  ``on_started()`` is called when
        clients can connect.  A second signal ends what is left at once.  Outside the main thread,
        where Python delivers no signals, ``stop(on_stopped=server.loop.stop)`` is what ends it.
        """
        loop = self.loop
        signals = [signal.SIGINT, signal.SIGTERM]
        if threading.current_thread() is not threading.main_thread():
            signals.clear()
        for number in signals:
            loop.add_signal_handler(number, self._handle_signal, stop_timeout)
        try:
            self.start()
            if on_started is not None:
                on_started()
            loop.run()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
            self.close()
            loop.run_once(0)  # for the last hooks of connections that were cut off

    def stop(
        self, timeout: float = STOP_TIMEOUT, on_stopped: Callable[[], object] | None = None
    ) -> None:
        """Stop gracefully: accept no more, let connections end, abort the rest after ``timeout`` s.

        Connections that the kernel had completed are still served, unless others share the socket
        and will do it.  Each one is asked to end by `drain`; when the last is gone the threads end,
        and then ``on_stopped()`` is called, in the main loop.  A second call sets another time:
        ``stop(0)`` aborts what is left.  Any thread.
        """
        if not self.loop.in_loop_thread:
            self.loop.queue_in_loop(self.stop, timeout, on_stopped)
            return
        if on_stopped is not None:
            self._on_stopped = on_stopped
        if self._stopped:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(timeout, self._abort_all)
        if not self._stopping:
            self._acceptor.close(leave_queue=self.leave_queue)
            self._stopping = True
            for loop in self._connections:
                loop.run_in_loop(self._drain_loop, loop)
        self._finish_if_idle()

    def close(self) -> None:
        """End at once: reset every connection, stop the threads.  Harmless when all is done.

        For whoever ran the loop and is back, in its thread; `stop` is the way while it runs.
        """
        self.loop.assert_in_loop_thread()
        if self._stopped:
            return
        self._stopping = self._stopped = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._acceptor.close(leave_queue=self.leave_queue)
        for loop in self._connections:
            if loop is self.loop:
                self._abort_loop(loop)
            else:
                loop.queue_in_loop(self._abort_loop, loop)
        self._pool.stop()
        if self.workers is not None:
            self.workers.close(wait=False)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def drain(self, connection: TcpConnection) -> None:
        """Ask ``connection`` to end; in its loop.  A protocol that knows better overrides it.

        Here the results of the workers are awaited, what is queued is sent, and the connection
        half-closed.
        """
        connection.shutdown_after_jobs()

    def _handle_signal(self, stop_timeout: float) -> None:
        self.stop(0 if self.stopping else stop_timeout, self.loop.stop)

    # ---- a connection's life -------------------------------------------------------------

    def _handle_accept(self, sock: socket.socket, peer: Any) -> None:
        # The host alone: the port is another one for each connection of the same peer.
        loop = self._pool.next_loop(peer[0] if isinstance(peer, tuple) else peer)
        if self._no_delay and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        connection = self._make_connection(loop, sock, peer)
        connection.owner = self
        connection.on_released = _release
        self._accepted += 1
        if self._shared is not None:
            self._shared.add(1)
        self._loads[loop] = self._loads.get(loop, 0) + 1
        if self._accepted == self._max_connections:
            self._acceptor.pause()
        loop.run_in_loop(self._establish, connection)

    def _make_connection(self, loop: EventLoop, sock: socket.socket, peer: Any) -> TcpConnection:
        tls = self._tls
        if tls is None:
            return TcpConnection(loop, sock, peer)
        return TlsConnection(
            loop, sock, peer, wrap=tls.wrap, handshake_timeout=tls.handshake_timeout
        )

    def _establish(self, connection: TcpConnection) -> None:
        """In the connection's loop."""
        self._connections[connection.loop].add(connection)
        if self._handler is None:
            if self.on_message is not None:
                connection.on_message = self.on_message
            connection.on_write_completed = self.on_write_completed
            connection.on_connection_closed = self.on_connection_closed
        if self._proxies is not None and connection.peer_address in self._proxies:
            then = functools.partial(connection.establish, self._handle_completed)
            ProxyHeaderReader(connection, then)
        else:
            connection.establish(self._handle_completed)

    def _handle_completed(self, connection: TcpConnection) -> None:
        """In the connection's loop, perhaps after a handshake."""
        if self._handler is not None:
            self._attach_handler(connection)
        elif self.on_connection_completed is not None:
            self.on_connection_completed(connection)
        if self._stopping and connection.connected:
            self.drain(connection)

    def _attach_handler(self, connection: TcpConnection) -> None:
        assert self._handler is not None
        handler = self._handler()
        connection.on_message = handler.on_message
        if type(handler).on_write_completed is not ConnectionHandler.on_write_completed:
            connection.on_write_completed = handler.on_write_completed
        connection.on_connection_closed = handler.on_connection_closed
        handler.on_connection_completed(connection)

    def _handle_released(self, connection: TcpConnection) -> None:
        """In the connection's loop, after its last hook."""
        self._connections[connection.loop].discard(connection)
        traffic = Traffic(1, connection.bytes_in, connection.bytes_out)
        self.loop.run_in_loop(self._count_released, connection.loop, traffic)

    def _count_released(self, loop: EventLoop, traffic: Traffic) -> None:
        self._traffic = self._traffic.plus(traffic)
        self._loads[loop] -= 1
        if self._accepted == self._max_connections and not self._stopping:
            self._acceptor.resume()
        self._accepted -= 1
        if self._shared is not None:
            self._shared.add(-1)
        self._finish_if_idle()

    # ---- stopping ------------------------------------------------------------------------

    def _drain_loop(self, loop: EventLoop) -> None:
        for connection in list(self._connections[loop]):
            if connection.state is not ConnectionState.CONNECTING:  # see _handle_completed
                connection.guard(self.drain, connection)

    def _abort_all(self) -> None:
        for loop in self._connections:
            loop.run_in_loop(self._abort_loop, loop)

    def _abort_loop(self, loop: EventLoop) -> None:
        for connection in list(self._connections[loop]):
            connection.abort()

    def _finish_if_idle(self) -> None:
        if not self._stopping or self._accepted or self._stopped:
            return
        self._stopped = True
        if self._deadline is not None:
            self._deadline.cancel()
        if self.workers is not None:
            self.workers.close(wait=False)
        self._pool.stop()
        log.debug("server on %s stopped", self.address)
        if self._on_stopped is not None:
            self._on_stopped()


def _release(connection: TcpConnection) -> None:
    """One function for all connections, and not a method bound for each."""
    connection.owner._handle_released(connection)
