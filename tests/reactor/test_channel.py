"""Who is called for which event; the loop's part is tested with the loop."""

import pytest

from yolanda.reactor.channel import Channel
from yolanda.reactor.dispatcher import ERROR, HANGUP, READ, WRITE


def calls_of(watched: int, events: int) -> list[str]:
    calls: list[str] = []
    channel = Channel(
        3,
        lambda: calls.append("read"),
        lambda: calls.append("write"),
        lambda: calls.append("hang-up"),
    )
    channel.events = watched
    channel.handle(events)
    return calls


@pytest.mark.parametrize(
    ("watched", "events", "calls"),
    [
        (READ, READ, ["read"]),
        (WRITE, WRITE, ["write"]),
        (READ | WRITE, READ, ["read"]),
        (READ | WRITE, WRITE, ["write"]),
        (READ | WRITE, READ | WRITE, ["read", "write"]),
        (READ, HANGUP, ["read"]),
        (READ, READ | HANGUP, ["read"]),
        (READ, ERROR, ["read"]),
        (WRITE, ERROR | HANGUP, ["write"]),
        (READ | WRITE, HANGUP, ["read", "write"]),
        (READ | WRITE, WRITE | ERROR, ["read", "write"]),
        (0, HANGUP, ["hang-up"]),
        (0, ERROR, ["hang-up"]),
        (0, ERROR | HANGUP, ["hang-up"]),
        (0, READ | WRITE, []),  # left over from before it was turned off
        (READ, WRITE, []),
        (WRITE, READ, []),
    ],
)
def test_who_is_called(watched: int, events: int, calls: list[str]) -> None:
    assert calls_of(watched, events) == calls


def test_reading_may_end_writing() -> None:
    calls: list[str] = []
    channel = Channel(3, lambda: channel.disable_writing(), lambda: calls.append("write"))
    channel.enable_writing()
    channel.handle(READ | WRITE)
    assert calls == []


def test_what_is_watched() -> None:
    channel = Channel(3)
    assert repr(channel) == "<Channel fd=3 watched for nothing>"
    assert (channel.reading, channel.writing) == (False, False)
    channel.enable_reading()
    assert repr(channel) == "<Channel fd=3 watched for reading>"
    channel.enable_writing()
    assert repr(channel) == "<Channel fd=3 watched for both>"
    channel.disable_reading()
    assert repr(channel) == "<Channel fd=3 watched for writing>"
    assert (channel.reading, channel.writing) == (False, True)
    assert Channel(3, lambda: None).reading
    assert not Channel(3, None, lambda: None).writing


def test_a_hang_up_without_a_loop_is_harmless() -> None:
    Channel(3).handle(HANGUP)


def test_end_lets_go_of_the_callbacks() -> None:
    calls: list[str] = []
    channel = Channel(
        3,
        lambda: calls.append("read"),
        lambda: calls.append("write"),
        on_exception=lambda error: calls.append("exception"),
    )
    channel.end()
    for events in (READ, WRITE, HANGUP):
        channel.handle(events)
    assert calls == []
    assert channel.on_exception is None


def test_calls_the_dispatcher_only_for_a_change() -> None:
    updates: list[int] = []

    class Loop:
        def update_channel(self, channel: Channel) -> None:
            updates.append(channel.events)

    channel = Channel(3, lambda: None)
    channel.loop = Loop()  # type: ignore[assignment]
    channel.enable_reading()
    channel.enable_writing()
    channel.enable_writing()
    channel.disable_writing()
    channel.disable_writing()
    channel.rearm()
    assert updates == [READ | WRITE, READ, READ]
