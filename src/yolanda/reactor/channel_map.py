"""The channels of a loop, found by descriptor."""

from yolanda.reactor.channel import Channel

_FIRST_SIZE = 32


class ChannelMap:
    """A list indexed by descriptor, since the kernel always gives the lowest free number.

    It starts empty and grows to 32, 64, 128 ... entries.  (Course, chapters 32 and 35.)
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[Channel | None] = []

    def __len__(self) -> int:
        return len(self.entries) - self.entries.count(None)

    def add(self, channel: Channel) -> None:
        """Enter ``channel``; raises `ValueError` when its descriptor has one already."""
        fd = channel.fd
        if fd < 0:
            raise ValueError(f"a channel needs an open descriptor, not {fd}")
        if fd >= len(self.entries):
            self._make_space(fd)
        if self.entries[fd] is not None:
            raise ValueError(f"descriptor {fd} has a channel in this loop already")
        self.entries[fd] = channel

    def remove(self, fd: int) -> None:
        """Take the channel of ``fd`` out."""
        self.entries[fd] = None

    def get(self, fd: int) -> Channel | None:
        """The channel of ``fd``, if it has one."""
        return self.entries[fd] if 0 <= fd < len(self.entries) else None

    def channels(self) -> list[Channel]:
        """Every channel that is in."""
        return [channel for channel in self.entries if channel is not None]

    def _make_space(self, fd: int) -> None:
        size = len(self.entries) or _FIRST_SIZE
        while size <= fd:
            size *= 2
        self.entries.extend([None] * (size - len(self.entries)))
