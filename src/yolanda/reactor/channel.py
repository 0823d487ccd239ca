"""A descriptor, the events it is watched for, and who is called when they come."""

import errno
from collections.abc import Callable
from typing import Protocol

from yolanda.reactor.dispatcher.protocol import ERROR, HANGUP, INVALID, READ, WRITE

Callback = Callable[[], object]


def _nobody() -> None:
    """Stands for a callback that was not given: its event is not watched for."""


class ChannelOwner(Protocol):
    """What a channel asks of its loop."""

    def update_channel(self, channel: "Channel") -> None:
        """Watch it for what it wants now."""

    def remove_channel(self, channel: "Channel") -> None:
        """Watch it no longer."""


class Channel:
    """What a loop knows of one descriptor.  (Course, chapter 32.)

    It may be a listening socket, a connection, a wake-up pair: the loop does not care.

    - ``fd``: the descriptor, which the channel does not own;
    - ``on_read``: called when there is something to read, and at the end of the stream;
    - ``on_write``: called when there is room for output;
    - ``on_hangup``: called for an error or a hang-up while neither of the two is watched for
      (default: the channel leaves its loop, since such an event cannot be turned off);
    - ``on_exception``: told of what one of the callbacks raised, after it was logged.

    A channel with an ``on_read`` starts reading.  All methods belong to the loop's thread.
    """

    __slots__ = (
        "events",
        "fd",
        "loop",
        "on_exception",
        "on_hangup",
        "on_read",
        "on_write",
        "since",
    )

    def __init__(
        self,
        fd: int,
        on_read: Callback | None = None,
        on_write: Callback | None = None,
        on_hangup: Callback | None = None,
        on_exception: Callable[[Exception], object] | None = None,
    ) -> None:
        self.fd = fd
        self.events = READ if on_read else 0
        self.on_read: Callback = on_read or _nobody
        self.on_write: Callback = on_write or _nobody
        self.on_hangup: Callback = on_hangup or self._leave
        self.on_exception = on_exception
        self.loop: ChannelOwner | None = None  # set while the channel is in one
        self.since = 0  # the loop's turn in which it was added

    def __repr__(self) -> str:
        watched = {0: "nothing", READ: "reading", WRITE: "writing"}.get(self.events, "both")
        return f"<Channel fd={self.fd} watched for {watched}>"

    @property
    def reading(self) -> bool:
        """Whether it is watched for something to read."""
        return bool(self.events & READ)

    @property
    def writing(self) -> bool:
        """Whether it is watched for room to write."""
        return bool(self.events & WRITE)

    def enable_reading(self) -> None:
        """Watch for something to read from now on."""
        self._watch(self.events | READ)

    def disable_reading(self) -> None:
        """Stop watching for something to read."""
        self._watch(self.events & ~READ)

    def enable_writing(self) -> None:
        """Watch for room to write.  To be ended as soon as nothing waits, or the loop spins."""
        self._watch(self.events | WRITE)

    def disable_writing(self) -> None:
        """Stop watching for room to write."""
        self._watch(self.events & ~WRITE)

    def rearm(self) -> None:
        """Ask for the present state to be reported again: for edges that were not used up."""
        if self.loop is not None:
            self.loop.update_channel(self)

    def handle(self, events: int) -> None:
        """Call whom the ``events`` concern; the loop calls it, in its own thread.

        A hang-up or an error goes to whoever is watching, since reading or writing shows which it
        was, and reading first saves what was sent before it.  A callback may remove the channel;
        then nobody else is called.
        """
        watched = self.events
        loop = self.loop
        if events & (HANGUP | ERROR) and not watched:
            self.on_hangup()
            return
        if events & (READ | HANGUP | ERROR) and watched & READ:
            self.on_read()
        if events & (WRITE | HANGUP | ERROR) and self.events & WRITE and self.loop is loop:
            self.on_write()
        if events & INVALID:
            self._leave()
            raise OSError(errno.EBADF, f"descriptor {self.fd} was closed before its channel left")

    def end(self) -> None:
        """Let go of the callbacks and of all that they refer to; after the loop has."""
        self.on_read = self.on_write = self.on_hangup = _nobody
        self.on_exception = None

    def _watch(self, events: int) -> None:
        if events != self.events:
            self.events = events
            if self.loop is not None:
                self.loop.update_channel(self)

    def _leave(self) -> None:
        if self.loop is not None:
            self.loop.remove_channel(self)
