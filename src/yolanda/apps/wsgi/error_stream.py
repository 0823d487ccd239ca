"""``wsgi.errors``: what an application writes there becomes lines of the log."""

import io
import logging

log = logging.getLogger("yolanda.wsgi")

_LONGEST = 65536  # characters that are held back for the end of their line


class ErrorStream(io.TextIOBase):
    """Writes to the log whatever is written to it, as far as its line ends go.

    One `write` of several lines is one message.  It belongs to one thread.
    """

    def __init__(self) -> None:
        self._begun = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Log ``text``, or keep it until its line ends."""
        self._begun += text
        if text.endswith("\n") or len(self._begun) > _LONGEST:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Log what was kept."""
        if self._begun:
            begun, self._begun = self._begun.rstrip(), ""
            if begun:
                log.error("%s", begun)
