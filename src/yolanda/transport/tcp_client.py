"""A client: connects without blocking, tries again, and comes back when the connection is lost."""

import errno
import functools
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from yolanda.address import Address, AddressError, open_socket, resolve
from yolanda.reactor.channel import Channel
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer
from yolanda.transport.backoff import Backoff
from yolanda.transport.tcp_connection import ConnectionHook, MessageHook, TcpConnection
from yolanda.transport.tls import TlsConnection
from yolanda.transport.tls_settings import ClientTls

log = logging.getLogger("yolanda.transport")

CONNECT_TIMEOUT = 10.0
"""Seconds that one address has to answer."""

FailureHook = Callable[["TcpClient", OSError], object]


class TcpClient:
    """Keeps one connection to a server.

    - ``loop``: the loop to which everything here belongs;
    - ``address``: of the server, in any form of `Address.parse` but ``fd:``;
    - ``on_connection_completed``, ``on_message``, ``on_write_completed``,
      ``on_connection_closed``: the hooks of `TcpConnection`;
    - ``on_connect_failed(client, error)``: called when no address of the server could be reached
      and it is not tried again;
    - ``connect_timeout``: seconds for each address;
    - ``retry``: the waiting between tries; `None` for one try only;
    - ``reconnect``: connect again when the connection is lost, that is, ended by anything but
      `close`;
    - ``tls``: whom to trust, if it is to speak TLS.  A handshake that fails counts as an address
      that could not be reached.

    Every address of a name is tried in turn (IPv6 and IPv4).  A name is looked up in a thread of
    its own, since that blocks.  Methods belong to the loop's thread.  (Course, chapters 8 and 22;
    man 2 connect: EINPROGRESS.)
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
        on_connect_failed: FailureHook | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        retry: Backoff | None = None,
        reconnect: bool = False,
        tls: ClientTls | None = None,
    ) -> None:
        self.loop = loop
        self.address = Address.parse(address) if isinstance(address, str) else address
        if self.address.fd is not None:
            raise AddressError(f"{self.address}: a client connects to an address, not a descriptor")
        if not connect_timeout > 0:
            raise ValueError(f"a connect time-out is more than 0 seconds, not {connect_timeout}")
        self.on_connection_completed = on_connection_completed
        self.on_message = on_message
        self.on_write_completed = on_write_completed
        self.on_connection_closed = on_connection_closed
        self.on_connect_failed = on_connect_failed
        self.connection: TcpConnection | None = None
        """The connection while there is one."""
        self._connect_timeout = connect_timeout
        self._retry = retry if retry is not None or not reconnect else Backoff()
        self._reconnect = reconnect
        if tls is not None:
            tls.check(self.address.host)
        self._tls = tls
        self._beginning: TcpConnection | None = None  # connected, perhaps in a handshake
        self._wanted = False  # between connect() and close()
        self._round = 0  # what belongs to an earlier one is out of date
        self._failures = 0
        self._candidates: deque[tuple[int, Any]] = deque()
        self._socket: socket.socket | None = None  # while it connects
        self._channel: Channel | None = None
        self._timer: Timer | None = None
        self._error = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    def __repr__(self) -> str:
        state = "connected" if self.connection else "connecting" if self._wanted else "idle"
        return f"<TcpClient of {self.address}, {state}>"

    def connect(self) -> None:
        """Begin to connect; one of the hooks tells what came of it."""
        self.loop.assert_in_loop_thread()
        if self.connection is not None and self.connection.closed and not self._reconnect:
            self.connection = None  # over, though its last hook is perhaps the one that runs now
            self._wanted = False
        if self._wanted:
            raise RuntimeError(f"{self!r} has been told to connect already")
        self._wanted = True
        self._failures = 0
        self._look_up()

    def close(self) -> None:
        """Close the connection, or stop trying to get one.  It can be connected again."""
        self.loop.assert_in_loop_thread()
        self._wanted = False
        self._round += 1
        self._abandon()
        beginning, self._beginning = self._beginning, None
        if beginning is not None:
            beginning.close()
        if self.connection is not None:
            self.connection.close()

    # ---- one round: look the name up, try every address ----------------------------------

    def _look_up(self) -> None:
        self._round += 1
        self._timer = None
        if self.address.path is not None or _is_number(self.address.host):
            self._handle_candidates(self._round, resolve(self.address))
        else:
            thread = threading.Thread(
                target=self._look_up_in_thread, args=(self._round,), name="lookup", daemon=True
            )
            thread.start()

    def _look_up_in_thread(self, number: int) -> None:
        found: list[tuple[int, Any]] | AddressError
        try:
            found = resolve(self.address)
        except AddressError as error:
            found = error
        try:
            self.loop.queue_in_loop(self._handle_candidates, number, found)
        except RuntimeError:
            log.debug("%s was looked up for a loop that is closed", self.address)

    def _handle_candidates(self, number: int, found: list[tuple[int, Any]] | AddressError) -> None:
        if number != self._round:
            return
        if isinstance(found, AddressError):
            self._error = OSError(errno.ENOENT, str(found))
            self._candidates.clear()
        else:
            self._candidates = deque(found)
        self._try_next()

    def _try_next(self) -> None:
        while self._candidates:
            family, sockaddr = self._candidates.popleft()
            try:
                sock = open_socket(family)
            except OSError as error:
                self._error = error
                continue
            code = sock.connect_ex(sockaddr)
            if code == 0:
                self._succeed(sock)
                return
            if code in (errno.EINPROGRESS, errno.EINTR):
                self._await(sock)
                return
            sock.close()
            self._note(code)
        self._fail()

    def _await(self, sock: socket.socket) -> None:
        self._socket = sock
        self._channel = channel = Channel(sock.fileno(), on_write=self._handle_outcome)
        channel.enable_writing()
        self.loop.add_channel(channel)
        self._timer = self.loop.call_later(self._connect_timeout, self._handle_timeout)

    def _handle_outcome(self) -> None:
        """Writable, or an error: the attempt has ended, and SO_ERROR says how."""
        sock = self._socket
        assert sock is not None
        self._socket = None  # ours is the local one now
        self._abandon()
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self._succeed(sock)
        else:
            sock.close()
            self._note(code)
            self._try_next()

    def _handle_timeout(self) -> None:
        self._timer = None
        self._abandon()
        self._note(errno.ETIMEDOUT)
        self._try_next()

    def _succeed(self, sock: socket.socket) -> None:
        try:
            code = errno.ECONNREFUSED if _is_connected_to_itself(sock) else 0
        except OSError as error:  # it was lost again just now
            code = error.errno or errno.ENOTCONN
        if code:
            sock.close()
            self._note(code)
            self._try_next()
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._beginning = connection = self._make_connection(sock)
        connection.owner = self
        connection.on_released = self._handle_released
        if self.on_message is not None:
            connection.on_message = self.on_message
        connection.on_write_completed = self.on_write_completed
        connection.on_connection_closed = self.on_connection_closed
        connection.establish(self._handle_completed)

    def _make_connection(self, sock: socket.socket) -> TcpConnection:
        tls = self._tls
        if tls is None:
            return TcpConnection(self.loop, sock)
        wrap = functools.partial(tls.wrap, host=self.address.host)
        return TlsConnection(self.loop, sock, wrap=wrap, handshake_timeout=tls.handshake_timeout)

    def _handle_completed(self, connection: TcpConnection) -> None:
        self._beginning = None
        self._failures = 0
        self.connection = connection
        if self.on_connection_completed is not None:
            self.on_connection_completed(connection)

    def _note(self, code: int) -> None:
        self._error = OSError(code, f"{os.strerror(code)} ({self.address})")
        log.debug("no connection: %s", self._error)

    # ---- what comes after ----------------------------------------------------------------

    def _fail(self) -> None:
        self._failures += 1
        delay = None if self._retry is None else self._retry.delay(self._failures)
        if delay is None:
            self._wanted = False
            log.info("no connection: %s", self._error)
            if self.on_connect_failed is not None:
                self.on_connect_failed(self, self._error)
        else:
            log.info("no connection: %s; trying again in %.1f s", self._error, delay)
            self._timer = self.loop.call_later(delay, self._look_up)

    def _handle_released(self, connection: TcpConnection) -> None:
        if connection is self._beginning:
            self._beginning = None
            self._error = connection.error or self._error
            log.debug("no connection: %s", self._error)
            self._try_next()
            return
        if connection is not self.connection:
            return
        self.connection = None
        if not self._wanted:
            return
        if self._reconnect and self._retry is not None:
            delay = self._retry.delay(1) or self._retry.first
            self._timer = self.loop.call_later(delay, self._look_up)
        else:
            self._wanted = False

    def _abandon(self) -> None:
        """Drop the attempt that is being made, and the wait for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._channel is not None:
            self.loop.remove_channel(self._channel)
            self._channel = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _is_number(host: str) -> bool:
    try:
        socket.getaddrinfo(host or None, 0, flags=socket.AI_NUMERICHOST)
    except OSError:
        return False
    return True


def _is_connected_to_itself(sock: socket.socket) -> bool:
    """Whether both ends are one socket.

    A client that connects to a free port of its own machine may be given that very port as its
    own; then TCP's simultaneous open succeeds with nobody else there.
    """
    return sock.family != socket.AF_UNIX and sock.getsockname() == sock.getpeername()
