"""Is the other side still there?  A heartbeat asks a silent peer, and gives up a dead one.

TCP does not notice that a peer lost its power or its cable while nobody sends; the kernel's own
keep-alive does so after two hours.  (Course, chapter 12.)
"""

import errno
import logging
from collections.abc import Callable

from yolanda.framing import FrameHook, Message, encode_message
from yolanda.transport.tcp_connection import ConnectionHook, TcpConnection

log = logging.getLogger("yolanda.heartbeat")

PING = 1
"""The type of the message that asks, in the course's protocol."""
PONG = 2
"""The type of the message that answers."""


class Heartbeat:
    """Sends a ping over a silent connection, a few more, and aborts it if nothing comes back.

    - ``send_ping(connection)``: sends whatever makes a living peer answer; `send_ping` of this
      module does so where messages have a length in front;
    - ``idle``: seconds without anything received, after which the first ping is sent;
    - ``interval``: seconds between two pings, and from the last one to the end;
    - ``probes``: pings that may stay unanswered;
    - ``on_dead(connection)``: called when the connection was given up, before its
      ``on_connection_closed``; ``connection.error`` is then ETIMEDOUT, as with the kernel's
      keep-alive.

    It runs from now on until the connection closes or `stop` is called, and nobody need keep it;
    ``on_connection_completed`` is a good place to make one.  Any byte received is a sign of life,
    and the connection notes the time of it, so there is nothing to report here, and a busy
    connection costs one timer each ``idle`` seconds.  To notice the end, it takes the place of
    ``on_connection_closed`` and calls the hook that it found there; if that is replaced later on,
    the heartbeat does no more than keep the closed connection in memory until its timer is due.

    A connection that does not read (paused, or after the peer's half-close) or may not send (after
    `TcpConnection.shutdown`) is not judged, as no answer could be asked for or heard;
    `TcpConnection.set_timeouts` is for those.  Everything here belongs to the thread of the
    connection's loop.  Raises `ValueError` for a time or number that is not positive.
    (Course, chapter 12.)
    """

    __slots__ = (
        "_connection",
        "_idle",
        "_interval",
        "_next_hook",
        "_on_dead",
        "_probes",
        "_send_ping",
        "_silent_since",
        "_timer",
        "unanswered",
    )

    def __init__(
        self,
        connection: TcpConnection,
        *,
        send_ping: ConnectionHook,
        idle: float = 10.0,
        interval: float = 3.0,
        probes: int = 3,
        on_dead: ConnectionHook | None = None,
    ) -> None:
        if not (idle > 0 and interval > 0):
            raise ValueError(f"times are more than 0 seconds, not idle {idle}, interval {interval}")
        if probes < 1:
            raise ValueError(f"a heartbeat needs 1 probe or more, not {probes}")
        self._connection = connection
        self._send_ping = send_ping
        self._idle = idle
        self._interval = interval
        self._probes = probes
        self._on_dead = on_dead
        self.unanswered = 0
        """Pings sent since anything was received; while one is sent, it is counted already."""
        self._silent_since = connection.last_read
        self._next_hook = connection.on_connection_closed
        connection.on_connection_closed = self._handle_closed
        self._timer = connection.loop.call_at(self._silent_since + idle, self._check)

    def stop(self) -> None:
        """Send no more pings, and let the connection be.  Harmless when repeated."""
        self._timer.cancel()

    def _check(self) -> None:
        # Reading comes before timers in a turn of the loop, so an answer that came while the loop
        # itself was late has been read by now.
        connection = self._connection
        if connection.closed:
            return
        now = connection.loop.time()
        if connection.last_read != self._silent_since:
            self._silent_since = connection.last_read
            self.unanswered = 0
        if not self.unanswered and now < self._silent_since + self._idle:
            self._check_at(self._silent_since + self._idle)
        elif not connection.connected or not connection.reading:
            self.unanswered = 0
            self._check_at(now + self._idle)
        elif self.unanswered < self._probes:
            self.unanswered += 1
            self._check_at(now + self._interval)
            connection.guard(self._send_ping, connection)
        else:
            self._give_up(now - self._silent_since)

    def _check_at(self, when: float) -> None:
        self._timer = self._connection.loop.call_at(when, self._check)

    def _give_up(self, silence: float) -> None:
        connection = self._connection
        reason = f"nothing received for {silence:.1f} s, {self._probes} pings unanswered"
        connection.abort()
        connection.error = TimeoutError(errno.ETIMEDOUT, reason)
        log.warning("gave up %s of %s: %s", connection.name, connection.peer_address, reason)
        if self._on_dead is not None:
            connection.guard(self._on_dead, connection)

    def _handle_closed(self, connection: TcpConnection) -> None:
        self.stop()
        if self._next_hook is not None:
            self._next_hook(connection)


# ---- over messages with a length in front ----------------------------------------------------

_PING_MESSAGE = encode_message(PING)


def send_ping(connection: TcpConnection) -> None:
    """Send a PING with an empty body, for a `Heartbeat` over `yolanda.framing.messages`."""
    connection.send(_PING_MESSAGE)


def answering(on_frame: FrameHook[Message]) -> Callable[[TcpConnection, Message], None]:
    """Make a hook for `yolanda.framing.messages` that sees to PING and PONG by itself.

    A PING is answered by a PONG with the same body, a PONG has done its work by coming in, and all
    else goes to ``on_frame(connection, message)``::

        on_message = framing.messages(heartbeat.answering(on_frame))
    """

    def answer(connection: TcpConnection, message: Message) -> None:
        if message.type == PING:
            connection.send(encode_message(PONG, message.body))
        elif message.type != PONG:
            on_frame(connection, message)

    return answer
