"""The list of channels grows as the course's does, and a number has one channel."""

import pytest

from yolanda.reactor.channel import Channel
from yolanda.reactor.channel_map import ChannelMap


def test_is_empty_at_first() -> None:
    channels = ChannelMap()
    assert len(channels) == 0
    assert channels.entries == []
    assert channels.channels() == []
    assert channels.get(0) is None


@pytest.mark.parametrize(
    ("fd", "size"), [(0, 32), (31, 32), (32, 64), (63, 64), (64, 128), (128, 256), (5000, 8192)]
)
def test_grows_by_doubling(fd: int, size: int) -> None:
    channels = ChannelMap()
    channel = Channel(fd)
    channels.add(channel)
    assert len(channels.entries) == size
    assert channels.get(fd) is channel
    assert len(channels) == 1


def test_keeps_what_it_has_when_it_grows() -> None:
    channels = ChannelMap()
    entries = channels.entries
    many = [Channel(fd) for fd in (3, 31, 32, 100)]
    for channel in many:
        channels.add(channel)
    assert channels.channels() == many
    assert channels.entries is entries  # the loop holds on to it through a turn
    assert [channels.get(fd) for fd in (3, 31, 32, 100)] == many


def test_refuses_a_second_channel() -> None:
    channels = ChannelMap()
    first = Channel(7)
    channels.add(first)
    with pytest.raises(ValueError, match="descriptor 7 has a channel"):
        channels.add(Channel(7))
    assert channels.get(7) is first


def test_refuses_a_closed_descriptor() -> None:
    channels = ChannelMap()
    with pytest.raises(ValueError, match="-1"):
        channels.add(Channel(-1))
    assert len(channels) == 0


def test_remove() -> None:
    channels = ChannelMap()
    channels.add(Channel(7))
    channels.remove(7)
    assert channels.get(7) is None
    assert len(channels) == 0
    channels.add(Channel(7))
    assert len(channels) == 1


@pytest.mark.parametrize("fd", [-1, -32, 32, 10_000])
def test_a_number_that_it_never_saw(fd: int) -> None:
    channels = ChannelMap()
    channels.add(Channel(31))
    assert channels.get(fd) is None
