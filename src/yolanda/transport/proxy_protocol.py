"""The PROXY protocol: a proxy that passes a stream on says first for whom.

A header in one of two forms stands before the first byte of the stream, and before TLS if that is
spoken.  Whether there is one is never guessed: a server expects it of the addresses that it is told
to trust, and of nobody else.

(HAProxy, "The PROXY protocol, versions 1 & 2".)
"""

import os
import re
import socket
from dataclasses import dataclass

from yolanda.address import Address

_LONGEST_LINE = 107  # the longest header of version 1, with its CRLF
_LINE_START = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_PART = 16  # bytes of a header of version 2 before the addresses

_LOCAL, _PROXY = 0, 1  # commands
_STREAM, _DATAGRAM = 1, 2  # transports
_INET, _INET6, _UNIX = 1, 2, 3  # families
_ADDRESSES_SIZE = {_INET: 12, _INET6: 36, _UNIX: 216}
_FAMILIES = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")


class ProxyProtocolError(ValueError):
    """What came is no header of the PROXY protocol."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a proxy says: where its client comes from, and where that has connected to.

    Both are `None` when it speaks for itself (a health check), or does not know.
    """

    source: Address | None = None
    destination: Address | None = None


class ProxyHeaderDecoder:
    """Bytes in, a header out; no socket in sight."""

    def __init__(self) -> None:
        self.header: ProxyHeader | None = None
        """The header, when it is complete."""
        self._held = bytearray()
        self._size = 0  # of a header of version 2, once it is known

    def feed(self, data: bytes) -> int:
        """Take what of ``data`` belongs to the header; return how many bytes that are.

        Never a byte more: what follows is the stream.  Raises `ProxyProtocolError` as soon as it is
        certain that this is no header.
        """
        held = self._held
        position = 0
        while self.header is None and position < len(data):
            size = self._wanted(data, position)
            held += data[position : position + size]
            position = min(position + size, len(data))
            self._look()
        return position

    def _wanted(self, data: bytes, position: int) -> int:
        """How many bytes from ``position`` on belong to the header whatever they are."""
        held = self._held
        if not held:
            return 1
        if held[0] == _LINE_START[0]:
            end = data.find(b"\n", position)
            size = (len(data) if end < 0 else end + 1) - position
            return min(size, _LONGEST_LINE - len(held))
        return (self._size or _FIXED_PART) - len(held)

    def _look(self) -> None:
        held = self._held
        start = _LINE_START if held[0] == _LINE_START[0] else _SIGNATURE
        if held[: len(start)] != start[: len(held)]:
            raise ProxyProtocolError(f"no PROXY header, but {bytes(held[:16])!r}")
        if start is _LINE_START:
            if held[-1] == 0x0A:
                self.header = _read_line(bytes(held))
            elif len(held) == _LONGEST_LINE:
                raise ProxyProtocolError(f"a PROXY line of more than {_LONGEST_LINE} bytes")
        elif len(held) >= _FIXED_PART:
            self._size = _FIXED_PART + int.from_bytes(held[14:16], "big")
            if len(held) == self._size:
                self.header = _read_binary(bytes(held))


def _read_line(line: bytes) -> ProxyHeader:
    """Version 1.  (Section 2.1.)"""
    if not line.endswith(b"\r\n"):
        raise ProxyProtocolError("a PROXY line that does not end with CRLF")
    parts = line[len(_LINE_START) : -2].split(b" ")
    if parts[0] == b"UNKNOWN":
        return ProxyHeader()  # and whatever follows means nothing
    family = _FAMILIES.get(parts[0])
    if family is None or len(parts) != 5:
        raise ProxyProtocolError(f"a PROXY line of a wrong form: {line!r}")
    source, destination, source_port, destination_port = parts[1:]
    return ProxyHeader(
        _read_address(family, source, source_port, line),
        _read_address(family, destination, destination_port, line),
    )


def _read_address(family: int, host: bytes, port: bytes, line: bytes) -> Address:
    try:
        packed = socket.inet_pton(family, host.decode("ascii"))
    except (OSError, UnicodeDecodeError):
        raise ProxyProtocolError(f"a PROXY line with a wrong address: {line!r}") from None
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ProxyProtocolError(f"a PROXY line with a wrong port: {line!r}")
    return Address(_host(family, packed), int(port))


def _read_binary(header: bytes) -> ProxyHeader:
    """Version 2; what stands behind the addresses (TLVs) is passed over.  (Section 2.2.)"""
    version, command = divmod(header[12], 16)
    family, transport = divmod(header[13], 16)
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError(f"a PROXY header of an unknown kind: 0x{header[12]:02x}")
    if command == _LOCAL:
        return ProxyHeader()
    if family > _UNIX or transport > _DATAGRAM:
        raise ProxyProtocolError(f"a PROXY header of an unknown family: 0x{header[13]:02x}")
    addresses = header[_FIXED_PART:]
    if family not in _ADDRESSES_SIZE or transport != _STREAM:
        return ProxyHeader()
    if len(addresses) < _ADDRESSES_SIZE[family]:
        raise ProxyProtocolError(f"a PROXY header with {len(addresses)} bytes of addresses")
    if family == _UNIX:
        return ProxyHeader(_local(addresses[:108]), _local(addresses[108:216]))
    kind, width = (socket.AF_INET, 4) if family == _INET else (socket.AF_INET6, 16)
    ports = addresses[2 * width :]
    return ProxyHeader(
        Address(_host(kind, addresses[:width]), int.from_bytes(ports[:2], "big")),
        Address(_host(kind, addresses[width : 2 * width]), int.from_bytes(ports[2:4], "big")),
    )


def _host(family: int, packed: bytes) -> str:
    return Address.from_sockaddr(family, (socket.inet_ntop(family, packed), 0)).host


def _local(path: bytes) -> Address:
    if path[0] == 0 and path.strip(b"\0"):  # abstract
        return Address.from_sockaddr(socket.AF_UNIX, path.rstrip(b"\0"))
    return Address.from_sockaddr(socket.AF_UNIX, os.fsdecode(path.partition(b"\0")[0]))
