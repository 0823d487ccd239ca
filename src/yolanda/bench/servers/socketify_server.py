"""The pages with socketify, which is uWebSockets in C++: ``socketify_server.py PORT``."""

import sys
from typing import Any

from pages import LARGE, PAGE
from socketify import App, AppListenOptions

unanswered: set[Any] = set()


def index(response: Any, request: Any) -> None:
    """Answer with the page."""
    response.write_header("Content-Type", "text/html")
    response.end(PAGE)


def large(response: Any, request: Any) -> None:
    """Answer with a million bytes."""
    response.end(LARGE)


def upload(response: Any, request: Any) -> None:
    """Tell how many bytes came."""
    size = 0

    def on_data(response: Any, piece: bytes | None, is_last: bool) -> None:
        nonlocal size
        size += len(piece or b"")
        if is_last:
            unanswered.discard(response)
            response.end(str(size))

    unanswered.add(response)  # the library refers to it, but does not keep it
    response.on_aborted(unanswered.discard)
    response.on_data(on_data)


app = App()
app.get("/", index)
app.get("/large", large)
app.post("/upload", upload)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda options: None)
app.run()
