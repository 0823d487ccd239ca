"""What every HTTP contender answers with."""

PAGE = (
    b"<html><head><title>This is network programming</title></head>"
    b"<body><h1>Hello, network programming</h1></body></html>"
)
"""At ``/``: the page of the course's HTTP server."""

LARGE = b"0123456789abcdef" * 62_500
"""At ``/large``: a million bytes.  At ``/upload`` the answer is how many bytes came."""

TURNS = 4000
"""At ``/work``: the page, after so many turns of a loop, about 0.2 ms of Python."""


def work() -> int:
    """Take the processor for as long as a small application does."""
    total = 0
    for number in range(TURNS):
        total += number
    return total
