"""One way to write an endpoint everywhere, and the sockets that are opened from it.

=========================  ====================================================================
``127.0.0.1:43211``        IPv4
``[::1]:43211``            IPv6, also with a scope: ``[fe80::1%eth0]:43211``
``localhost:43211``        a name, looked up when a socket is opened
``:43211``                 every interface, IPv6 and IPv4 where the machine has both
``43211``                  that port of 127.0.0.1: a bare number stays on this machine
``unix:/run/y.sock``       a local path; ``unix:@name`` is Linux's abstract namespace
``fd:3``                   a socket that the parent process has opened (systemd, ``pass_fds``)
=========================  ====================================================================

(Course, chapters 4, 5 and 7; man 7 ip, ipv6, unix.)
"""

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import Any

_LONGEST_PATH = 107  # sun_path has 108 bytes, one of which ends it (man 7 unix)


class AddressError(ValueError):
    """A text that is no address, or a name that has none."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket is or is to be: host and port, a local path, or an inherited descriptor."""

    host: str = ""
    """A name or a number; empty for every interface.  An IPv6 scope stands behind a ``%``."""
    port: int = 0
    """0 lets the kernel choose."""
    path: str | None = None
    """The path of a local socket; one that starts with ``@`` is abstract."""
    fd: int | None = None
    """The number of an inherited descriptor."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address in any of the forms above.  Raises `AddressError` for other texts."""
        if text.startswith("unix:"):
            return cls(path=_checked_path(text[5:], text))
        if text.startswith("fd:"):
            return cls(fd=_checked_number(text[3:], text, "a descriptor"))
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or not rest.startswith(":") or ":" not in host:
                raise AddressError(f"{text!r}: an IPv6 address is written [HOST]:PORT")
            return cls(_checked_ipv6(host, text), _checked_port(rest[1:], text))
        if text.isascii() and text.isdigit():
            return cls("127.0.0.1", _checked_port(text, text))
        host, colon, port = text.rpartition(":")
        if not colon:
            raise AddressError(
                f"{text!r} is no address; they are written HOST:PORT, [IPV6]:PORT, :PORT, "
                "unix:PATH or fd:N"
            )
        if ":" in host:
            raise AddressError(f"{text!r}: an IPv6 address is written [HOST]:PORT")
        if any(c.isspace() or not c.isprintable() or c in "[]/@%" for c in host):
            raise AddressError(f"{text!r}: {host!r} is no host")
        return cls(host, _checked_port(port, text))

    @classmethod
    def from_sockaddr(cls, family: int, sockaddr: Any) -> "Address":
        """What ``accept`` or ``getsockname`` returned for a socket of ``family``."""
        if family == socket.AF_UNIX:
            if isinstance(sockaddr, bytes):
                sockaddr = "@" + os.fsdecode(sockaddr[1:])
            return cls(path=sockaddr)
        host = sockaddr[0]
        if family == socket.AF_INET6 and host.startswith("::ffff:") and "." in host:
            host = host[7:]  # an IPv4 client of a dual-stack listener
        return cls(host, sockaddr[1])

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        if self.fd is not None:
            return f"fd:{self.fd}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it is the path of a local socket."""
        return self.path is not None


def resolve(
    address: Address, kind: int = socket.SOCK_STREAM, passive: bool = False
) -> list[tuple[int, Any]]:
    """Look up ``address``: pairs of family and sockaddr, the preferred first.

    ``passive``: for listening.  May wait for a name server, so a loop does it in another thread,
    unless the host is a number.  Raises `AddressError` for a name that has no address.
    """
    if address.path is not None:
        path = address.path
        return [(socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path)]
    if address.fd is not None:
        raise AddressError(f"{address} is open already and has nothing to look up")
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(address.host or None, address.port, type=kind, flags=flags)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AddressError(f"{address}: {reason}") from error
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


class BoundSocket:
    """A socket at its own address, and the file that a local one has left in the file system.

    - ``socket``: the socket itself, non-blocking and closed on exec;
    - ``address``: where it is; a port 0 has been replaced by the kernel's choice.
    """

    def __init__(self, sock: socket.socket, owns_file: bool = False) -> None:
        self.socket = sock
        self.address = Address.from_sockaddr(sock.family, sock.getsockname())
        self._identity: tuple[int, int] | None = None
        if owns_file and self.address.path:
            status = os.stat(self.address.path)
            self._identity = status.st_dev, status.st_ino

    def close(self) -> None:
        """Close the socket, and remove its file if that is still its own.  May be repeated."""
        self.socket.close()
        if self._identity is not None:
            path = self.address.path
            assert path is not None
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)
                if (status.st_dev, status.st_ino) == self._identity:
                    os.unlink(path)
            self._identity = None


def bind_socket(
    address: Address, kind: int = socket.SOCK_STREAM, *, reuse_port: bool = False
) -> BoundSocket:
    """Open a socket of ``kind`` at ``address``, ready to listen or to receive.

    A TCP socket has SO_REUSEADDR, so that a server can be started again while old connections are
    in TIME_WAIT (course, chapter 15).  ``reuse_port``: SO_REUSEPORT, so that several sockets share
    the port.  The file of a local socket is replaced only if it is a socket on which nobody
    listens.  Raises `OSError` or `AddressError`, whose text names the address.
    """
    if address.fd is not None:
        return BoundSocket(_adopt(address, kind))
    candidates = resolve(address, kind, passive=True)
    if address.path is not None:
        return _bind_local(address, candidates[0][1], kind)
    both = not address.host and socket.has_dualstack_ipv6()
    if both:
        candidates = [(socket.AF_INET6, ("::", address.port))]
    elif not address.host:
        candidates = [(socket.AF_INET, ("0.0.0.0", address.port))]
    failure: OSError | None = None
    for family, sockaddr in candidates:
        try:
            return BoundSocket(_bind_inet(family, sockaddr, kind, reuse_port, both))
        except OSError as error:
            failure = failure or error
    assert failure is not None
    raise _named(failure, address) from failure


def open_socket(family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A non-blocking socket that is not bound, for connecting."""
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    return sock


def _bind_inet(
    family: int, sockaddr: Any, kind: int, reuse_port: bool, both: bool
) -> socket.socket:
    sock = open_socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise OSError(errno.ENOTSUP, "this platform has no SO_REUSEPORT")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_local(address: Address, sockaddr: str, kind: int) -> BoundSocket:
    abstract = sockaddr.startswith("\0")
    sock = open_socket(socket.AF_UNIX, kind)
    try:
        if not abstract:
            _remove_stale(sockaddr, kind)
        sock.bind(sockaddr)
        return BoundSocket(sock, owns_file=not abstract)
    except OSError as error:
        sock.close()
        raise _named(error, address) from error


def _remove_stale(path: str, kind: int) -> None:
    """Remove the file of a local socket on which nobody listens, and no other file."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "there is a file of that name that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except BlockingIOError:
            pass  # its queue is full, so it has an owner
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _adopt(address: Address, kind: int) -> socket.socket:
    assert address.fd is not None
    try:
        sock = socket.socket(fileno=address.fd)
    except OSError as error:
        raise _named(error, address) from error
    if sock.type != kind:
        sock.detach()
        raise OSError(errno.EPROTOTYPE, f"{os.strerror(errno.EPROTOTYPE)} ({address})")
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def _named(error: OSError, address: Address) -> OSError:
    """The same error, whose text says where."""
    text = error.strerror or str(error)
    return OSError(error.errno, f"{text} ({address})")


def _checked_number(digits: str, text: str, what: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise AddressError(f"{text!r}: {what} is a number, not {digits!r}")
    return int(digits)


def _checked_port(digits: str, text: str) -> int:
    port = _checked_number(digits, text, "a port")
    if port > 65535:
        raise AddressError(f"{text!r}: a port is at most 65535, not {port}")
    return port


def _checked_ipv6(host: str, text: str) -> str:
    number, _, _ = host.partition("%")
    try:
        socket.inet_pton(socket.AF_INET6, number)
    except OSError:
        raise AddressError(f"{text!r}: {number!r} is no IPv6 address") from None
    return host


def _checked_path(path: str, text: str) -> str:
    if not path or path == "@" or "\0" in path:
        raise AddressError(f"{text!r}: a local socket needs a path")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise AddressError(f"{text!r}: the path of a local socket has at most 107 bytes")
    return path
