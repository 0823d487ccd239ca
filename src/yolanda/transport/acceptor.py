"""The listening socket's side of a loop: takes connections and passes them on."""

import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from yolanda.address import BoundSocket
from yolanda.reactor.channel import Channel
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer
from yolanda.transport.shared_load import ProcessLoad

log = logging.getLogger("yolanda.transport")

ACCEPTS_A_TURN = 64
"""Connections taken in one turn, so that those that are served already are not starved."""

STAND_BACK = 0.001
"""Seconds for which a process that has more connections than its share lets others go first."""

RETRY_DELAY = 0.1
"""Seconds without accepting after descriptors or memory ran out."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Accepts connections on a listening socket of one loop.  (Course, chapters 32 and 33.)

    - ``bound``: the socket to listen on, which the acceptor owns and closes;
    - ``on_accept(socket, sockaddr)``: gets each connection, non-blocking and closed on exec;
    - ``backlog``: connections that the kernel completes and keeps until they are accepted;
    - ``shared``: other processes accept on the same socket; this is what they and this one have.
      Then connections are taken one by one, in turn with the others.

    Connections are taken until EAGAIN, a bounded number a turn.  A connection that was reset before
    it was accepted is passed over.  When descriptors run out, accepting rests for `RETRY_DELAY`
    seconds: the listener stays, clients wait in the kernel's queue, and the loop does not spin on
    an event that it cannot serve.  All methods belong to the loop's thread.
    """

    def __init__(
        self,
        loop: EventLoop,
        bound: BoundSocket,
        on_accept: Callable[[socket.socket, Any], object],
        *,
        backlog: int = socket.SOMAXCONN,
        shared: ProcessLoad | None = None,
    ) -> None:
        self._shared = shared
        self._loop = loop
        self._bound = bound
        self._socket = bound.socket
        self._on_accept = on_accept
        self._backlog = backlog
        self._channel = Channel(self._socket.fileno(), self._handle_read)
        self._retry: Timer | None = None
        self._paused = False
        self._exhausted = False  # already said so

    def start(self) -> None:
        """Listen, and accept from now on."""
        self._socket.listen(self._backlog)
        self._loop.add_channel(self._channel)
        if self._shared is not None:
            self._shared.join()

    def pause(self) -> None:
        """Leave connections in the kernel's queue for now."""
        self._paused = True
        self._channel.disable_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        self._paused = False
        if self._retry is None:
            self._channel.enable_reading()

    def close(self, *, leave_queue: bool = False) -> None:
        """Accept what the kernel has completed already, then stop listening.

        A client whose connection is complete has perhaps sent its request; to close the listener
        over its head would reset it.  ``leave_queue``: other processes go on listening, and serve
        what waits.
        """
        if self._channel.loop is not None:
            self._loop.remove_channel(self._channel)
            while not leave_queue and not self._paused and self._accept_one():
                continue  # the hook may pause, when no more can be served
        if self._shared is not None:
            self._shared.leave()
        if self._retry is not None:
            self._retry.cancel()
        self._bound.close()

    def _handle_read(self) -> None:
        if self._shared is not None:
            self._accept_in_turn(self._shared)
        else:
            for _ in range(ACCEPTS_A_TURN):
                if self._paused or not self._accept_one():
                    return
        if self._loop.edge_triggered:
            self._channel.rearm()

    def _accept_in_turn(self, shared: ProcessLoad) -> None:
        if self._paused:
            return
        if shared.ahead:
            self._channel.disable_reading()
            self._retry = self._loop.call_later(STAND_BACK, self._take_what_is_left)
        else:
            self._accept_one()

    def _take_what_is_left(self) -> None:
        # One at a time in any case: he who has fewer is perhaps busy, and clients must not wait
        # for him alone.
        self._retry = None
        if not self._paused:
            self._accept_one()
        if not self._paused and self._retry is None:
            self._channel.enable_reading()

    def _accept_one(self) -> bool:
        """Accept one connection; whether to go on."""
        try:
            sock, peer = self._socket.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._rest(error)
                return False
            # ECONNABORTED and its like: that connection broke while it waited (man 2 accept).
            log.debug("a connection was lost before it was accepted: %s", error)
            return error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
        sock.setblocking(False)
        self._exhausted = False
        log.debug("new connection established, socket == %d", sock.fileno())
        try:
            self._on_accept(sock, peer)
        except Exception:
            log.exception("no connection could be made of a socket that was accepted")
            sock.close()
        return True

    def _rest(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            name = errno.errorcode.get(error.errno or 0, "")
            log.warning("cannot accept: %s (%s); trying again", os.strerror(error.errno or 0), name)
        if self._channel.loop is not None and self._retry is None:
            self._channel.disable_reading()
            self._retry = self._loop.call_later(RETRY_DELAY, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if not self._paused:
            self._channel.enable_reading()
