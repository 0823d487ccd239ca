"""Options that make no sense are refused by their name."""

from typing import Any

import pytest

from yolanda.websocket import WebSocketOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_message_size", 0),
        ("max_message_size", None),
        ("high_water", -1),
        ("ping_interval", 0),
        ("ping_timeout", -3),
        ("close_timeout", None),
        ("write_timeout", 0),
        ("compress_from", -1),
        ("window_bits", 8),
        ("window_bits", 16),
        ("compression_level", 10),
        ("low_water", 262144),
    ],
)
def test_an_option_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        WebSocketOptions(**{name: value})


def test_some_may_be_none_or_zero() -> None:
    WebSocketOptions(ping_interval=None, ping_timeout=None, write_timeout=None)
    WebSocketOptions(low_water=0, compress_from=0, compression=False)
