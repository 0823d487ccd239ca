"""Bytes between two indexes: what was received and not yet read, or written and not yet taken.

::

    +-------------------+------------------+------------------+
    | front spare       | readable         | writable         |
    +-------------------+------------------+------------------+
    0              read index         write index         capacity

The picture is the course's (chapter 34).  One thing is added to it: while a buffer is empty it
*adopts* the ``bytes`` that it is given, so that a message which arrives whole is never copied on
its way to the application.  An adopted buffer has no writable room; the first append makes some.
"""

import os
import threading

BytesLike = bytes | bytearray | memoryview

READ_SIZE = 65536
"""Bytes that one `Buffer.read_from` asks for: what a loop gives a connection in one turn.

More is not better: glibc serves requests over 128 KiB with a system call of their own, until one
has been returned that was used as a whole."""

_SMALLEST_STORAGE = 512
_LARGEST_IDLE_STORAGE = 65536  # storage above this is given back once the buffer runs empty
_PREPEND_ROOM = 16

_spare = threading.local()  # one spare a thread: a loop fills it and empties it within one call


class Buffer:
    """A queue of bytes with cheap reading at its front and writing at its end.

    ``data``: what it holds at first.  A buffer belongs to one thread at a time.
    ``len(buffer)`` is the number of readable bytes.  (Course, chapters 32 and 34.)
    """

    __slots__ = ("_data", "_delimiter", "_read", "_searched", "_write")

    _data: bytes | bytearray  # ``bytes`` are adopted: read-only, and full up to the end
    _read: int  # both are 0 while it is empty
    _write: int

    def __init__(self, data: BytesLike = b"") -> None:
        self._data = bytes(data)
        self._read = 0
        self._write = len(self._data)
        self._searched = 0  # readable bytes that are known not to begin `_delimiter`
        self._delimiter = b""

    def __len__(self) -> int:
        return self._write - self._read

    def __bool__(self) -> bool:
        return self._write != 0

    def __repr__(self) -> str:
        head = self.peek(min(len(self), 32))
        return f"<Buffer readable={self.readable} writable={self.writable} {head!r}>"

    # ---- sizes ---------------------------------------------------------------------------

    @property
    def readable(self) -> int:
        """Bytes that can be read: those between the two indexes."""
        return self._write - self._read

    @property
    def writable(self) -> int:
        """Bytes that can be appended before `make_room` has to do anything."""
        if isinstance(self._data, bytes):
            return 0
        return len(self._data) - self._write

    @property
    def front_spare(self) -> int:
        """Bytes before the read index: used up, and free for `prepend` or for compacting."""
        return self._read

    # ---- writing -------------------------------------------------------------------------

    def make_room(self, size: int) -> None:
        """Make `writable` at least ``size`` bytes: compact where that is enough, else grow.

        Compacting moves the readable bytes to the front.  It is done only when no more bytes
        move than were used up since, and growing doubles, so that appending is linear over all.
        """
        data = self._data
        readable = self._write - self._read
        if isinstance(data, bytearray):
            if len(data) - self._write >= size:
                return
            if len(data) - readable >= size and readable <= self._read:
                data[:readable] = data[self._read : self._write]
                self._read = 0
                self._write = readable
                return
        # A new storage instead of a longer one: views that are still held stay valid.
        storage = bytearray(max(readable + size, 2 * readable, _SMALLEST_STORAGE))
        storage[:readable] = memoryview(data)[self._read : self._write]
        self._data = storage
        self._read = 0
        self._write = readable

    def append(self, data: BytesLike) -> None:
        """Add ``data`` at the end.  ``bytes`` given to an empty buffer are taken without a copy."""
        if not self._write and type(data) is bytes:
            self._data = data
            self._write = len(data)
            return
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        self.make_room(size)
        end = self._write + size
        self._data[self._write : end] = data  # type: ignore[index]
        self._write = end

    def prepend(self, data: BytesLike) -> None:
        """Put ``data`` before all that is readable, as a header whose length came last."""
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if not size:
            return
        if isinstance(self._data, bytes) or self._read < size:
            readable = self._write - self._read
            front = size + _PREPEND_ROOM
            storage = bytearray(max(front + readable, _SMALLEST_STORAGE))
            storage[front : front + readable] = memoryview(self._data)[self._read : self._write]
            self._data = storage
            self._read = front
            self._write = front + readable
        start = self._read - size
        self._data[start : self._read] = data
        self._read = start
        self._searched = 0

    def append_int(self, value: int, bits: int = 32, signed: bool = False) -> None:
        """Add ``value`` in network byte order, as 8, 16, 32 or 64 ``bits``.

        Raises `OverflowError` when it does not fit.
        """
        self.append(value.to_bytes(_width(bits), "big", signed=signed))

    def prepend_int(self, value: int, bits: int = 32, signed: bool = False) -> None:
        """Put ``value`` in front, in network byte order; see `append_int`."""
        self.prepend(value.to_bytes(_width(bits), "big", signed=signed))

    # ---- reading -------------------------------------------------------------------------

    def peek(self, size: int | None = None) -> bytes:
        """Copy the first ``size`` readable bytes (all by default) and leave them there.

        Raises `ValueError` when fewer are readable, like every method that takes a size.
        """
        if size is None:
            size = self._write - self._read
        else:
            self._require(size)
        if type(self._data) is bytes:
            return self._data[self._read : self._read + size]
        return bytes(memoryview(self._data)[self._read : self._read + size])

    def view(self, start: int = 0, size: int | None = None) -> memoryview:
        """See the readable bytes from ``start`` on, without a copy.

        The view is read-only, and true until the buffer is next changed.
        """
        self._require(start)
        if size is None:
            size = self._write - self._read - start
        else:
            self._require(size)
            self._require(start + size)
        first = self._read + start
        return memoryview(self._data)[first : first + size].toreadonly()

    def retrieve(self, size: int) -> bytes:
        """Take the first ``size`` bytes out."""
        if size == self._write - self._read:
            return self.retrieve_all()
        data = self.peek(size)
        self.skip(size)
        return data

    def retrieve_all(self) -> bytes:
        """Take everything out; no copy when it came in one piece."""
        data = self._data
        if type(data) is bytes and not self._read:
            self._data = b""
            self._write = self._searched = 0
            return data
        data = bytes(memoryview(data)[self._read : self._write])
        self._empty()
        return data

    def skip(self, size: int) -> None:
        """Drop the first ``size`` bytes unseen."""
        self._require(size)
        self._read += size
        if self._read == self._write:
            self._empty()
        elif self._searched > size:
            self._searched -= size
        else:
            self._searched = 0

    def peek_int(self, bits: int = 32, signed: bool = False, offset: int = 0) -> int:
        """Read an integer in network byte order, ``offset`` bytes in, and leave it there."""
        width = _width(bits)
        self._require(offset)
        self._require(offset + width)
        start = self._read + offset
        return int.from_bytes(self._data[start : start + width], "big", signed=signed)

    def retrieve_int(self, bits: int = 32, signed: bool = False) -> int:
        """Take an integer in network byte order out."""
        value = self.peek_int(bits, signed)
        self.skip(bits // 8)
        return value

    def find(self, delimiter: bytes) -> int:
        """Say how many bytes stand before the first ``delimiter``, or -1 if there is none.

        What was searched in vain is not searched again for the same delimiter, so looking after
        each received piece is linear over all.  Raises `ValueError` for an empty delimiter.
        """
        if not delimiter:
            raise ValueError("find() needs a delimiter of at least one byte")
        if delimiter != self._delimiter:
            self._delimiter = delimiter
            self._searched = 0
        found = self._data.find(delimiter, self._read + self._searched, self._write)
        if found < 0:
            # The delimiter may have begun in the last bytes.
            self._searched = max(self._searched, self._write - self._read - len(delimiter) + 1)
            return -1
        self._searched = found - self._read
        return self._searched

    def find_crlf(self) -> int:
        """`find` the end of a line of most text protocols."""
        return self.find(b"\r\n")

    def find_lf(self) -> int:
        """`find` a line feed."""
        return self.find(b"\n")

    # ---- the socket's side ---------------------------------------------------------------

    def read_from(self, fd: int, size: int = READ_SIZE) -> int:
        """Take what the descriptor ``fd`` has, about ``size`` bytes at most, in one system call.

        An empty buffer adopts what ``read`` returns.  Else ``readv`` scatters into the free room
        and then into a spare, so that room is made only for what really came.

        Returns the number of bytes, 0 at the end of the stream.  Raises what the call raises:
        `BlockingIOError` when there is nothing yet.  (Course, chapter 34; man 2 readv.)
        """
        if not self._write:
            self._data = data = os.read(fd, size)
            self._write = size = len(data)
            return size
        spare = _spare_of_this_thread(size)
        if isinstance(self._data, bytes) or self._write == len(self._data):
            count = os.readv(fd, [spare])
            if count:
                self.append(spare[:count])
            return count
        room = len(self._data) - self._write
        with memoryview(self._data) as view:
            count = os.readv(fd, [view[self._write :], spare])
        if count <= room:
            self._write += count
        else:
            self._write += room
            self.append(spare[: count - room])
        return count

    # ---- inside --------------------------------------------------------------------------

    def _require(self, size: int) -> None:
        if not 0 <= size <= self._write - self._read:
            raise ValueError(f"{size} bytes asked of a buffer that holds {self.readable}")

    def _empty(self) -> None:
        if type(self._data) is bytes or len(self._data) > _LARGEST_IDLE_STORAGE:
            self._data = b""
        self._read = self._write = self._searched = 0


def _width(bits: int) -> int:
    if bits not in (8, 16, 32, 64):
        raise ValueError(f"an integer in a buffer has 8, 16, 32 or 64 bits, not {bits}")
    return bits // 8


def _spare_of_this_thread(size: int) -> memoryview:
    spare: memoryview | None = getattr(_spare, "view", None)
    if spare is None or len(spare) < size:
        spare = _spare.view = memoryview(bytearray(size))
    return spare[:size]
