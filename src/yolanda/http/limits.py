"""How much a client may ask for, and how long it may take."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of an `HttpServer`: sizes in bytes, times in seconds.

    Requests of one connection are served one after the other, so never more than one is in flight;
    `pipeline_size` bounds what is read ahead of it.  Raises `ValueError` for what makes no sense.
    """

    request_line_size: int = 8192
    """Longer request lines are answered with 414."""
    head_size: int = 32768
    """Longer heads (request line and header fields) are answered with 431."""
    header_count: int = 100
    """More header fields are answered with 431."""
    body_size: int = 16 * 1024 * 1024
    """Longer request bodies are answered with 413."""
    pipeline_size: int = 65536
    """Bytes read ahead while a response is being made; then reading rests."""
    discard_size: int = 65536
    """An unread request body up to this size is read and dropped to keep the connection; with a
    longer one the connection is closed."""
    header_timeout: float = 10.0
    """From the first byte of a head to its last; then 408."""
    body_timeout: float = 30.0
    """Between two pieces of a request body; then 408."""
    keep_alive_timeout: float = 75.0
    """An idle connection is closed after so long."""
    write_timeout: float = 60.0
    """A client that takes nothing of its response for so long is reset."""
    linger_timeout: float = 2.0
    """How long a closing connection waits for the client to have read the last response."""
    drain_grace: float = 1.0
    """When the server stops, a request that is on its way on an idle connection is waited for so
    long, and answered."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"the limit {field.name} is more than 0, not {value!r}")
