"""What a connection has still to send: pieces of memory and of files, in their order."""

import errno
import os
import socket
from collections import deque
from typing import BinaryIO

_PIECES_AT_ONCE = 64  # far below IOV_MAX (1024), and more than a packet's worth of small ones
_FILE_BYTES_AT_ONCE = 1 << 20

BYTES_A_TURN = 4 << 20
"""Bytes sent in one turn, so that one fast reader of much does not starve the other connections."""

_NO_SENDFILE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP}


class FilePiece:
    """Bytes of a file from ``offset`` on, ``count`` of them; ``close``: then close the file."""

    __slots__ = ("_can_sendfile", "_close", "count", "file", "offset")

    def __init__(self, file: BinaryIO, offset: int, count: int, close: bool = False) -> None:
        self._close = close
        self.file = file
        self.offset = offset
        self.count = count
        self._can_sendfile = hasattr(os, "sendfile")

    def write_to(self, sock: socket.socket) -> int:
        """Send as much as the kernel takes at once.

        Raises `BlockingIOError` when that is nothing, and `OSError` when the file has become
        shorter than what was promised.
        """
        return self._advance(self._send(sock, min(self.count, _FILE_BYTES_AT_ONCE)))

    def read(self, size: int) -> bytes:
        """Take the next bytes, ``size`` at most, to be sent in another way.

        Raises `OSError` when the file has become shorter than what was promised.
        """
        data = os.pread(self.file.fileno(), min(size, self.count), self.offset)
        self._advance(len(data))
        return data

    def finish(self) -> None:
        """No more of it will be sent."""
        if self._close:
            self.file.close()

    def _advance(self, size: int) -> int:
        if size == 0:
            raise OSError(errno.EIO, f"the file ended {self.count} bytes too early")
        self.offset += size
        self.count -= size
        return size

    def _send(self, sock: socket.socket, size: int) -> int:
        if self._can_sendfile:
            try:
                return os.sendfile(sock.fileno(), self.file.fileno(), self.offset, size)
            except OSError as error:
                if error.errno not in _NO_SENDFILE:
                    raise
                self._can_sendfile = False  # a file that is no plain one, say
        data = os.pread(self.file.fileno(), min(size, 65536), self.offset)
        return sock.send(data) if data else 0


class OutputQueue:
    """Pieces that wait for the kernel to have room.  It belongs to its connection's loop.

    Memory is referred to and not copied, so it must not change: what comes from outside is
    ``bytes``.  ``size``: the bytes that wait.
    """

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[memoryview | FilePiece] = deque()
        self.size = 0

    def append(self, piece: memoryview | FilePiece) -> None:
        """Add ``piece`` behind all that waits."""
        size = piece.count if isinstance(piece, FilePiece) else piece.nbytes
        if size:
            self._pieces.append(piece)
            self.size += size
        elif isinstance(piece, FilePiece):
            piece.finish()

    def clear(self) -> None:
        """Drop all that waits."""
        for piece in self._pieces:
            if isinstance(piece, FilePiece):
                piece.finish()
        self._pieces.clear()
        self.size = 0

    def write_to(self, sock: socket.socket) -> int:
        """Send pieces until all are gone or the kernel takes no more; return the bytes sent.

        After `BYTES_A_TURN` it is left at that, though the kernel might take more.  Small pieces
        go together by one ``sendmsg``, a file by ``sendfile``.  Raises `OSError` for a connection
        that is broken, after taking account of what was sent before.
        """
        total = 0
        while self._pieces and total < BYTES_A_TURN:
            first = self._pieces[0]
            try:
                if isinstance(first, FilePiece):
                    sent = first.write_to(sock)
                    if not first.count:
                        self._pieces.popleft()
                        first.finish()
                else:
                    sent = self._write_memory(sock)
            except BlockingIOError:
                break
            total += sent
            self.size -= sent
        return total

    def _write_memory(self, sock: socket.socket) -> int:
        pieces = self._pieces
        batch: list[memoryview] = []
        for piece in pieces:
            if isinstance(piece, FilePiece) or len(batch) == _PIECES_AT_ONCE:
                break
            batch.append(piece)
        sent = left = sock.sendmsg(batch) if len(batch) > 1 else sock.send(batch[0])
        for piece in batch:
            if left < piece.nbytes:
                pieces[0] = piece[left:]
                break
            left -= piece.nbytes
            pieces.popleft()
        return sent
