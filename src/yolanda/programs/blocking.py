"""The helpers that the course's blocking programs share: listen, connect, read all, write all.

What the course keeps in its `lib` folder, in Python: each is short enough to be copied out with
the program that uses it.  Any thread may call them; a socket belongs to whoever holds it.
"""

import contextlib
import errno
import io
import os
import select
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

PORT = 43211
"""The course's port (`SERV_PORT`)."""

MAX_LINE = 4096
"""The course's longest line, in bytes (`MAXLINE`)."""

# sun_path has 108 bytes on Linux and 104 elsewhere, one of which ends it.
_LONGEST_PATH = 107 if sys.platform.startswith("linux") else 103
_PIECE = 65536
_HEADER = struct.Struct("!II")
_ROT13 = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    b"NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm",
)


def resolve(
    host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM
) -> tuple[socket.AddressFamily, Any]:
    """Find the family and the socket address that ``host`` and ``port`` stand for.

    - ``host``: an IPv4 or IPv6 address, or a name; of a name's addresses the first is taken.

    Raises `OSError` for a name that is not known.  (`getaddrinfo(3)`)
    """
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except socket.gaierror as error:
        raise OSError(f"{named(host)}: {error.strerror}") from error
    except UnicodeError as error:  # too long a label, or letters that no name may have
        raise OSError(f"{named(host)}: not the name of a host") from error
    family, _, _, _, address = found[0]
    return family, address


def tcp_server_listen(
    host: str = "127.0.0.1", port: int = PORT, *, backlog: int = 1024, reuse_address: bool = True
) -> socket.socket:
    """Make a listening TCP socket.

    - ``port``: 0 lets the kernel choose one; ``getsockname`` says which;
    - ``backlog``: connections that may wait to be accepted;
    - ``reuse_address``: set SO_REUSEADDR, so that a restarted server is not refused its port for
      connections of its former life that linger in TIME_WAIT (chapter 15).

    Raises `OSError`, which names the endpoint, when it cannot.  (chapter 4; `listen(2)`)
    """
    family, address = resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse_address:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise failed(f"bind {endpoint(address)}", error) from error
    return listener


def tcp_client(
    host: str = "127.0.0.1", port: int = PORT, *, timeout: float | None = None
) -> socket.socket:
    """Connect to a TCP server; the socket returned is a blocking one.

    - ``timeout``: seconds to wait for the server; None: as long as the kernel tries.

    Raises `OSError`, which names the endpoint, when it cannot.  (chapter 4; `connect(2)`)
    """
    family, address = resolve(host, port)
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(address)
    except OSError as error:
        connection.close()
        raise failed(f"connect {endpoint(address)}", error) from error
    connection.settimeout(None)
    return connection


def udp_server(host: str = "127.0.0.1", port: int = PORT) -> socket.socket:
    """Make a UDP socket that is bound to an address, as a server's is.

    Raises `OSError`, which names the endpoint, when it cannot.  (chapter 6; `udp(7)`)
    """
    family, address = resolve(host, port, socket.SOCK_DGRAM)
    server = socket.socket(family, socket.SOCK_DGRAM)
    try:
        server.bind(address)
    except OSError as error:
        server.close()
        raise failed(f"bind {endpoint(address)}", error) from error
    return server


@contextlib.contextmanager
def local_server(path: str, kind: socket.SocketKind) -> Iterator[socket.socket]:
    """Bind a local socket to ``path``; leaving the context closes it and removes the path.

    A path outlives its socket, and cannot be bound again.  So one that a dead process has left
    over is removed first; one that a living process has is not, and no other file is.

    - ``kind``: SOCK_STREAM, which has yet to listen, or SOCK_DGRAM.

    Raises `OSError`, which names the path, when it cannot.  (chapter 7; `unix(7)`)
    """
    with socket.socket(socket.AF_UNIX, kind) as server:
        try:
            _remove_left_over(local_address(path))
            server.bind(path)
            made = os.lstat(path)
        except OSError as error:
            raise failed(f"bind {named(path)} failed", error) from error
        try:
            yield server
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(made, os.lstat(path)):  # and not another's by now
                    os.unlink(path)


def local_address(path: str) -> str:
    """Return the address of a local socket, which is its path.

    Raises `OSError` for a path that is empty or too long for an address.  (`unix(7)`)
    """
    if not path:
        raise OSError(errno.ENOENT, "a local path cannot be empty")
    size = len(os.fsencode(path))
    if size > _LONGEST_PATH:
        message = f"a local path has at most {_LONGEST_PATH} bytes, not {size}"
        raise OSError(errno.ENAMETOOLONG, message)
    return path


def _remove_left_over(path: str) -> None:
    """Remove the path of a local socket that no process has any more, and nothing else."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing is there, or bind will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, "there is something of that name that is no socket")
    # Asked with a datagram socket, a server that is alive notices nothing, of whatever kind it is:
    # connect succeeds, or fails with EPROTOTYPE.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return  # it is somebody's: bind will say so


def readn(connection: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes; fewer only if the stream ends before.

    One ``recv`` returns what has arrived, which may be less than was asked for.  (chapter 5)

    Raises `OSError` as ``recv`` does.
    """
    data = bytearray()
    while len(data) < size:
        # Python takes the memory for all that recv is asked for, be it announced by a liar.
        piece = connection.recv(min(size - len(data), _PIECE))
        if not piece:
            break
        data += piece
    return bytes(data)


def writen(connection: socket.socket, data: bytes) -> None:
    """Write all of ``data``; on a non-blocking socket, wait whenever the kernel's buffer is full.

    Raises `OSError` as ``send`` does; how much was sent by then is not known.  (chapter 22)
    """
    left = memoryview(data)
    while left:
        try:
            left = left[connection.send(left) :]
        except BlockingIOError:
            select.select([], [connection], [])


def read_message(connection: socket.socket, limit: int) -> tuple[int, bytes] | None:
    """Read a message of chapter 16: length and type, four bytes each in network order, and a body.

    - ``limit``: the longest body to accept, in bytes.

    Returns type and body, or None where the stream ends between messages.  Raises `ValueError`
    when the length is over the limit or the stream ends within a message, and `OSError`.
    """
    header = readn(connection, _HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise ValueError(f"the stream ended after {len(header)} of {_HEADER.size} header bytes")
    length, kind = _HEADER.unpack(header)
    if length > limit:
        raise ValueError(f"a message of {length} bytes is over the limit of {limit}")
    body = readn(connection, length)
    if len(body) < length:
        raise ValueError(f"the stream ended after {len(body)} of {length} bytes")
    return kind, body


class LineReader:
    r"""Lines out of a stream, ended by LF, CR LF or CR, however the bytes arrive.

    - ``receive``: called with a size in bytes, returns what is there and b"" at the end, as a
      socket's ``recv`` does, or ``functools.partial(os.read, 0)`` for the standard input;
    - ``limit``: the longest line to accept, in bytes.

    What arrives after a line is kept for the next one.  (chapters 16 and 18, where a buffer that
    is shared by all connections loses it)
    """

    def __init__(self, receive: Callable[[int], bytes], limit: int = MAX_LINE) -> None:
        self._receive = receive
        self._limit = limit
        self._held = bytearray()
        self._after_cr = False

    @property
    def pending(self) -> bool:
        """Whether a whole line is held: ask before waiting in ``select`` for more bytes."""
        self._drop_rest_of_crlf()
        return self._end() >= 0

    def read_line(self) -> bytes | None:
        """Return the next line without its ending, or None at the end of the stream.

        A last line that nothing ends is a line too.  Raises `ValueError` for a line that is
        longer than the limit, and whatever ``receive`` raises.
        """
        while True:
            self._drop_rest_of_crlf()
            end = self._end()
            if (len(self._held) if end < 0 else end) > self._limit:
                raise ValueError(f"a line is longer than {self._limit} bytes")
            if end >= 0:
                # A CR ends the line at once; should an LF follow, it belongs to it.
                self._after_cr = self._held[end] == 0x0D
                return self._take(end, end + 1)
            piece = self._receive(4096)
            if not piece:
                return self._take(len(self._held), len(self._held)) if self._held else None
            self._held += piece

    def _drop_rest_of_crlf(self) -> None:
        if self._after_cr and self._held:
            self._after_cr = False
            if self._held[0] == 0x0A:
                del self._held[0]

    def _end(self) -> int:
        ends = [at for at in (self._held.find(b"\n"), self._held.find(b"\r")) if at >= 0]
        return min(ends, default=-1)

    def _take(self, size: int, consumed: int) -> bytes:
        line = bytes(self._held[:size])
        del self._held[:consumed]
        return line


def rot13(data: bytes) -> bytes:
    """Map a-z and A-Z by 13 places, and leave all else.  (chapter 22)"""
    return data.translate(_ROT13)


def visible(data: bytes) -> str:
    r"""Write what another process sent as text that a terminal shows, and does nothing else with.

    A control character, which might clear the screen or worse, becomes ``\x1b``; the ends of lines
    and tabulators stay.  (chapter 18)
    """
    text = data.decode(errors="replace").replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t\u3000" else ascii(c)[1:-1] for c in text)


def endpoint(address: object) -> str:
    """Write a socket address as people do: ``127.0.0.1:43211``, ``[::1]:43211``, or a path."""
    match address:
        case (str() as host, int() as port, *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case bytes() as name:
            return os.fsdecode(name).replace("\0", "@", 1)  # an abstract name
        case _:
            return str(address)


def named(name: str) -> str:
    """Write the name of a host or a file within a sentence, so that an empty one is seen, too."""
    return name or "''"


def explain(error: OSError) -> str:
    """Say what an error is, with its number's name: ``Connection refused [ECONNREFUSED]``."""
    error = _numbered(error)
    text = error.strerror or str(error)
    if error.filename:
        text = f"{os.fsdecode(error.filename)}: {text}"
    name = errno.errorcode.get(error.errno or 0)
    return f"{text} [{name}]" if name else text


def failed(doing: str, error: OSError) -> OSError:
    """Return the same error with a text that says what was being done, to be raised from it."""
    error = _numbered(error)
    return OSError(error.errno, f"{doing}: {error.strerror or error}")


def run_program(command: click.Command) -> NoReturn:
    """Run a program that is started by its file, ``python streamserver.py``, and end the process.

    Where the course's programs call `error`, ours raise.  Here that becomes one line on the
    standard error, and a status: 2 for an argument that is wrong, 1 for what could not be done,
    130 after Ctrl+C.  (`yolanda run` does the same for all programs)
    """
    name = os.path.basename(sys.argv[0])
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A line is seen when it is printed, also through a pipe, whatever bytes came in.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    wrong = ""
    try:
        with command.make_context(name, sys.argv[1:]) as context:
            for parameter in command.params:
                value = context.params.get(parameter.name or "")
                if isinstance(value, float) and not value <= 1e9:  # inf, and nan
                    raise click.BadParameter(f"{value} is too long a time", context, parameter)
            command.invoke(context)
        status = 0
    except click.exceptions.Exit as end:  # after --help
        status = end.exit_code
    except (KeyboardInterrupt, click.Abort):
        status = 130
    except click.ClickException as error:
        wrong, status = error.format_message(), error.exit_code
    except OSError as error:
        wrong, status = explain(error), 1
    except (ValueError, OverflowError) as error:
        wrong, status = str(error), 2
    if wrong:
        print(f"{name}: error: {wrong}", file=sys.stderr)
    sys.exit(status)


def _numbered(error: OSError) -> OSError:
    """Give a socket's own time-out, which has no number, the number of a kernel's."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    return error
