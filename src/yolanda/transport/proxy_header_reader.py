"""Reads what a proxy says of its client, before the connection reads its stream."""

import logging
import socket
from collections.abc import Callable

from yolanda.reactor.timer_queue import Timer
from yolanda.transport.proxy_protocol import ProxyHeaderDecoder, ProxyProtocolError
from yolanda.transport.tcp_connection import TcpConnection

log = logging.getLogger("yolanda.transport")

HEADER_TIMEOUT = 5.0
"""Seconds from the connection to the end of its header."""

_PEEK_SIZE = 4096


class ProxyHeaderReader:
    """Reads the header of one connection, before the connection itself reads anything.

    - ``connection``: it is not established yet, and is aborted if there is no header in time;
    - ``then()``: called when there is; ``peer_address`` is the client's then.

    In the connection's loop.
    """

    def __init__(self, connection: TcpConnection, then: Callable[[], object]) -> None:
        self._connection = connection
        self._then = then
        self._decoder = ProxyHeaderDecoder()
        self._timer: Timer | None = None
        if connection.read_before_stream(self._handle_read):
            self._timer = connection.loop.call_later(HEADER_TIMEOUT, self._handle_timeout)

    def _handle_read(self) -> None:
        sock = self._connection.socket
        while (header := self._decoder.header) is None:
            try:
                # Looked at, and only then taken: what follows the header is not ours.
                data = sock.recv(_PEEK_SIZE, socket.MSG_PEEK)
                if not data:
                    self._refuse("the stream ended before its PROXY header", logging.DEBUG)
                    return
                sock.recv(self._decoder.feed(data))
            except BlockingIOError:
                return
            except ProxyProtocolError as error:
                self._refuse(str(error))
                return
            except OSError as error:
                self._refuse(error.strerror or str(error), logging.DEBUG)
                return
        self._end_timer()
        log.debug("%s passes %s on", self._connection.peer_address, header.source)
        self._connection.proxy_header = header
        if header.source is not None:
            self._connection.peer_address = header.source
        self._then()

    def _refuse(self, reason: str, level: int = logging.INFO) -> None:
        log.log(level, "%s: %s", self._connection.peer_address, reason)
        self._end_timer()
        self._connection.abort()

    def _handle_timeout(self) -> None:
        if not self._connection.closed:
            self._refuse(f"no PROXY header within {HEADER_TIMEOUT:g} seconds")

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
