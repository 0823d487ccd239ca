"""Datagrams in the loop: UDP, connected or not, and local datagram sockets."""

import ctypes
import errno
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any

from yolanda.address import Address, BoundSocket, bind_socket, open_socket, resolve
from yolanda.buffer import BytesLike
from yolanda.reactor.channel import Channel
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer

log = logging.getLogger("yolanda.transport")

DATAGRAM_SIZE = 65535
"""The largest datagram that IP can carry, headers included."""

QUEUE_SIZE = 256
"""Datagrams that may wait for the kernel to have room; more are dropped, as a network would."""

RETRY_DELAY = 0.01
"""Seconds after which a full local receiver is tried again, where the kernel cannot tell."""

_RECEIVES_A_TURN = 64

DatagramHook = Callable[["DatagramEndpoint", bytes, Address | None], object]


class DatagramEndpoint:
    """A socket for datagrams.  (Course, chapters 6, 7 and 14.)

    - ``loop``: the loop to which it belongs;
    - ``address``: its own, in any form of `Address.parse`; `None` lets the kernel choose when the
      first datagram is sent (a local client that wants answers needs one);
    - ``peer``: where it is connected to, or `None`.  A connected endpoint hears from that peer
      only, and learns of errors such as "nobody listens there";
    - ``on_datagram(endpoint, data, sender)``: called for each one; ``sender`` is `None` when it has
      no address, as an unbound local client;
    - ``on_error(endpoint, error)``: told of what ICMP reports (ECONNREFUSED for a connected
      endpoint); by default it is logged;
    - ``broadcast``: allow sending to broadcast addresses;
    - ``reuse_port``: share the port with other endpoints that do so too.

    It receives from `start` on.  A name is looked up in the constructor, which waits for it.
    Raises `OSError` or `AddressError`.
    """

    def __init__(
        self,
        loop: EventLoop,
        address: str | Address | None = None,
        *,
        peer: str | Address | None = None,
        on_datagram: DatagramHook | None = None,
        on_error: "Callable[[DatagramEndpoint, OSError], object] | None" = None,
        broadcast: bool = False,
        reuse_port: bool = False,
    ) -> None:
        loop.assert_in_loop_thread()
        if address is None and peer is None:
            raise ValueError("a datagram endpoint needs an address of its own or a peer")
        own = Address.parse(address) if isinstance(address, str) else address
        self.loop = loop
        self.on_datagram = on_datagram
        self.on_error = on_error
        self.received = 0
        """Datagrams received."""
        self.sent = 0
        """Datagrams taken by the kernel."""
        self.dropped = 0
        """Datagrams that found the queue full."""
        self._bound: BoundSocket | None = None
        self._queue: deque[tuple[bytes, Any]] = deque()
        self._retry: Timer | None = None
        self._closed = False
        target = Address.parse(peer) if isinstance(peer, str) else peer
        candidates = [] if target is None else resolve(target, socket.SOCK_DGRAM)
        if own is not None:
            self._bound = bind_socket(own, socket.SOCK_DGRAM, reuse_port=reuse_port)
            self._socket = self._bound.socket
        else:
            self._socket = open_socket(candidates[0][0], socket.SOCK_DGRAM)
        try:
            if broadcast:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if target is not None:
                self._connect(target, candidates)
        except BaseException:
            self._close_socket()
            raise
        self.peer = target
        """Where it is connected to."""
        self._channel = Channel(self._socket.fileno(), self._handle_read, self._handle_write)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"on {self.address}"
        return f"<DatagramEndpoint {state}, peer {self.peer}>"

    @property
    def address(self) -> Address:
        """Its own address.  Raises `OSError` once it is closed."""
        return Address.from_sockaddr(self._socket.family, self._socket.getsockname())

    @property
    def socket(self) -> socket.socket:
        """The socket, for options that have no method here."""
        return self._socket

    def start(self) -> None:
        """Receive from now on.  In the loop's thread."""
        self.loop.add_channel(self._channel)

    def send(self, data: BytesLike) -> None:
        """Send a datagram to the peer.  Any thread.

        Raises `OSError` (EDESTADDRREQ) when there is none.
        """
        if self.peer is None:
            raise OSError(errno.EDESTADDRREQ, "send() needs a connected endpoint; use send_to()")
        self._send(bytes(data), None)

    def send_to(self, data: BytesLike, address: str | Address) -> None:
        """Send a datagram to ``address``, best a number: a name is looked up here and now.

        Any thread.  Raises `AddressError`.
        """
        target = Address.parse(address) if isinstance(address, str) else address
        sockaddr = self._choose(target, resolve(target, socket.SOCK_DGRAM))
        self._send(bytes(data), sockaddr)

    def connect(self, peer: str | Address | None) -> None:
        """Change the peer; `None` disconnects (AF_UNSPEC).  In the loop's thread.

        (Course, chapter 18: a datagram socket may be connected again and again.)
        """
        if peer is None:
            own = self._socket.getsockname()
            _disconnect(self._socket)
            self.peer = None
            if self._bound is not None and self._socket.getsockname() != own:
                self._socket.bind(own)  # Linux has taken a port away that was its own choice
            return
        target = Address.parse(peer) if isinstance(peer, str) else peer
        self._connect(target, resolve(target, socket.SOCK_DGRAM))
        self.peer = target

    def join(self, group: str, interface: str | None = None) -> None:
        """Receive what is sent to the multicast ``group``, on ``interface`` (default: any).

        For IPv4 the interface is one of its addresses, for IPv6 its name.  (man 7 ip, ipv6.)
        """
        self._membership(group, interface, True)

    def leave(self, group: str, interface: str | None = None) -> None:
        """Undo `join`."""
        self._membership(group, interface, False)

    def close(self) -> None:
        """Close it; what waits is dropped.  In the loop's thread; harmless when repeated."""
        self.loop.assert_in_loop_thread()
        if self._closed:
            return
        self._closed = True
        if self._channel.loop is not None:
            self.loop.remove_channel(self._channel)
        if self._retry is not None:
            self._retry.cancel()
        self._queue.clear()
        self._close_socket()

    # ---- in the loop ---------------------------------------------------------------------

    def _handle_read(self) -> None:
        for _ in range(_RECEIVES_A_TURN):
            try:
                data, sender = self._socket.recvfrom(DATAGRAM_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self._report(error)
                if self._closed:
                    return
                continue
            self.received += 1
            if self.on_datagram is not None:
                family = self._socket.family
                address = Address.from_sockaddr(family, sender) if sender else None
                try:
                    self.on_datagram(self, data, address)
                except Exception:
                    log.exception("the datagram hook of %r raised", self)
            if self._closed:
                return
        if self.loop.edge_triggered:
            self._channel.rearm()

    def _handle_write(self) -> None:
        progress = False
        while self._queue:
            if not self._send_now(*self._queue[0]):
                if not progress:
                    self._rest()
                return
            if self._closed:
                return  # the error hook did
            self._queue.popleft()
            progress = True
        self._channel.disable_writing()

    def _rest(self) -> None:
        """The socket is said to be writable, and takes nothing; wait a little.

        So it is with a local socket that is not connected: it is its own queue that the kernel
        looks at, and the receiver's queue that is full.
        """
        self._channel.disable_writing()
        self._retry = self.loop.call_later(RETRY_DELAY, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._handle_write()
        if self._queue and self._retry is None:
            self._channel.enable_writing()

    def _send(self, data: bytes, sockaddr: Any) -> None:
        if get_ident() == self.loop.thread_id:
            self._send_in_loop(data, sockaddr)
        else:
            self.loop.queue_in_loop(self._send_in_loop, data, sockaddr)

    def _send_in_loop(self, data: bytes, sockaddr: Any) -> None:
        if self._closed:
            return
        if not self._queue and self._send_now(data, sockaddr):
            return
        if len(self._queue) >= QUEUE_SIZE:
            self.dropped += 1
            return
        self._queue.append((data, sockaddr))
        if self._retry is None:
            self._channel.enable_writing()

    def _send_now(self, data: bytes, sockaddr: Any) -> bool:
        """Whether nothing is left to do for this datagram."""
        try:
            if sockaddr is None:
                self._socket.send(data)
            else:
                self._socket.sendto(data, sockaddr)
        except BlockingIOError:
            return False
        except OSError as error:
            self._report(error)
        else:
            self.sent += 1
        return True

    def _connect(self, target: Address, candidates: list[tuple[int, Any]]) -> None:
        sockaddr = self._choose(target, candidates)
        try:
            self._socket.connect(sockaddr)
        except OSError as error:
            text = f"{os.strerror(error.errno or 0)} ({target})"
            raise OSError(error.errno, text) from error

    def _choose(self, target: Address, candidates: list[tuple[int, Any]]) -> Any:
        """That sockaddr of ``target`` which this socket can reach."""
        family = self._socket.family
        for candidate, sockaddr in candidates:
            if candidate == family:
                return sockaddr
        both = family == socket.AF_INET6 and not self._socket.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        for candidate, sockaddr in candidates:
            if both and candidate == socket.AF_INET:  # dual stack: IPv4 in IPv6's form
                return f"::ffff:{sockaddr[0]}", sockaddr[1]
        raise OSError(errno.EAFNOSUPPORT, f"{target} is of another family than {self.address}")

    def _report(self, error: OSError) -> None:
        if self.on_error is None:
            log.warning("%r: %s", self, error)
            return
        try:
            self.on_error(self, error)
        except Exception:
            log.exception("the error hook of %r raised", self)

    def _membership(self, group: str, interface: str | None, join: bool) -> None:
        if ":" in group:
            option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
            index = socket.if_nametoindex(interface) if interface else 0
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
            self._socket.setsockopt(socket.IPPROTO_IPV6, option, request)
        else:
            option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
            request = socket.inet_aton(group) + socket.inet_aton(interface or "0.0.0.0")
            self._socket.setsockopt(socket.IPPROTO_IP, option, request)

    def _close_socket(self) -> None:
        if self._bound is not None:
            self._bound.close()
        else:
            self._socket.close()


def _disconnect(sock: socket.socket) -> None:
    """``connect`` to an address of the family AF_UNSPEC, which Python's own method cannot do."""
    libc = ctypes.CDLL(None, use_errno=True)
    nowhere = ctypes.create_string_buffer(16)  # AF_UNSPEC is 0
    if libc.connect(sock.fileno(), nowhere, 16) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
