"""What an application wraps a file in, so that the kernel sends it.  (PEP 3333)"""

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

BLOCK_SIZE = 65536


class FileWrapper:
    """Iterates over the blocks of ``file``, where nothing better can be done.

    - ``file``: has ``read(size)``, and perhaps ``close()``;
    - ``block_size``: bytes; small ones only cost more.
    """

    def __init__(self, file: Any, block_size: int = BLOCK_SIZE) -> None:
        self.file = file
        self.block_size = max(block_size, BLOCK_SIZE)
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        while block := self.file.read(self.block_size):
            yield block


def open_again(file: Any) -> tuple[BinaryIO, int, int] | None:
    """Return ``file`` under a descriptor of its own, its position, and the bytes from there on.

    None for what is no plain file: only of the standard library's own objects is it known that
    what they read is what their descriptor has; `gzip.GzipFile` has a descriptor as well.
    """
    if isinstance(file, tempfile._TemporaryFileWrapper):
        file = file.file
    kind = type(file)
    if kind not in (io.FileIO, io.BufferedReader, io.BufferedRandom) or file.closed:
        return None
    if kind is not io.FileIO and type(file.raw) is not io.FileIO:
        return None
    if kind is io.BufferedRandom:
        file.flush()
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    position = min(file.tell(), status.st_size)
    return io.FileIO(os.dup(file.fileno())), position, status.st_size - position
