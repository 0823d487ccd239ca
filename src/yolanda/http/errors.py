"""What is wrong with a request, as the status that says so."""

from http import HTTPStatus

from yolanda.http.request import HttpRequest

# What RFC 9110 calls otherwise than the RFCs before it, and Python only since 3.13.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class HttpError(Exception):
    """A request that cannot be served: ``status`` is the answer, ``detail`` what was wrong.

    The connection is closed after the answer, since what follows may not be what it seems.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {reason_of(status)}: {detail}")
        self.status = status
        self.detail = detail
        self.request: HttpRequest | None = None
        """What was asked, if it was understood before it was refused."""


def reason_of(status: int) -> str:
    """The reason phrase that goes with ``status`` (RFC 9110, section 15)."""
    if status in _RENAMED:
        return _RENAMED[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
