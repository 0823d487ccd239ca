"""How a WebSocket is kept alive, bounded and compressed."""

from dataclasses import dataclass, fields
from typing import Any

_MAY_BE_NONE = {"ping_interval", "ping_timeout", "write_timeout"}
_MAY_BE_ZERO = {"low_water", "compress_from"}


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """Options of a `WebSocket`: sizes in bytes, times in seconds.

    Raises `ValueError` for what makes no sense.
    """

    max_message_size: int = 1 << 20
    """A longer message, after decompression and in all its fragments, ends in 1009."""
    high_water: int = 262144
    """At more queued bytes ``on_high_water`` is called, and nothing more is read from the client,
    so that who asks much and takes little is held back by TCP itself."""
    low_water: int = 65536
    """At so many ``on_low_water`` is called, and reading goes on."""
    max_queued: int = 16 << 20
    """A client for which still more is queued when something is sent to it is reset: a bound on
    its memory, for an application that does not heed ``on_high_water``."""
    ping_interval: float | None = 20.0
    """A client from which nothing came for so long is sent a ping; `None`: never."""
    ping_timeout: float | None = 20.0
    """If nothing comes for so long after it, the connection ends in 1011; `None`: never."""
    close_timeout: float = 10.0
    """How long a closing connection waits for the client; then it is reset."""
    write_timeout: float | None = 60.0
    """A client that takes nothing of what is queued for so long is reset; `None`: never."""
    compression: bool = True
    """Whether messages are compressed when the client offers it (permessage-deflate, RFC 7692)."""
    compress_from: int = 128
    """Shorter messages are sent as they are: to compress them costs more than it saves."""
    context_takeover: bool = True
    """Whether what earlier messages held helps to compress the later ones.  It costs memory for
    each connection (see `window_bits`), and saves most where messages are short and alike."""
    window_bits: int = 12
    """How far back the compression looks, for both sides: 2 to the power of this, 9 to 15.
    A connection takes about 50 KiB with 12 and 190 KiB with 15."""
    compression_level: int = 6
    """1 is fastest, 9 is smallest."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        if not self.low_water < self.high_water:
            raise ValueError(
                f"low_water is less than high_water, not {self.low_water} and {self.high_water}"
            )
        if not 9 <= self.window_bits <= 15:
            raise ValueError(f"window_bits is from 9 to 15, not {self.window_bits}")
        if not 1 <= self.compression_level <= 9:
            raise ValueError(f"compression_level is from 1 to 9, not {self.compression_level}")


def _check(name: str, value: Any) -> None:
    if isinstance(value, bool) or (value is None and name in _MAY_BE_NONE):
        return
    if name in _MAY_BE_ZERO and value == 0:
        return
    if value is None or not value > 0:
        raise ValueError(f"{name} is more than 0, not {value!r}")
