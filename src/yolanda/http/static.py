"""The files of a folder, and nothing outside of it.

A path is walked name by name, each opened in the folder before it (man 2 openat) and never through
a link, so nothing that is renamed or linked meanwhile can lead out of the folder: no moment passes
between a check and the opening.  What was opened is then looked at, and only a plain file is sent.
"""

import errno
import functools
import io
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from yolanda.http.conditions import failed_condition, range_counts
from yolanda.http.errors import reason_of
from yolanda.http.field_lines import FieldLines
from yolanda.http.headers import Headers
from yolanda.http.listing import make_listing
from yolanda.http.media_types import content_type_of, is_compressible, suffix_of
from yolanda.http.ranges import content_range, multipart, parse_ranges
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse

log = logging.getLogger("yolanda.http")

_METHODS = "GET, HEAD, OPTIONS"
_SMALL = (
    65536  # bytes; up to here to read a file and send it with its head costs less than sendfile
)
_KNOWN_FILES = 4096
_LONGEST_KNOWN = 256

# Without O_NONBLOCK, to open a FIFO would wait for somebody to write to it.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY

_STATUS = {
    errno.ENOENT: 404,
    errno.ENOTDIR: 404,
    errno.ELOOP: 404,  # a link where none is followed
    errno.ENAMETOOLONG: 404,
    errno.ENXIO: 404,  # a socket, or a device that is not there
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.EAGAIN: 503,  # somebody writes to it just now
    errno.EMFILE: 503,
    errno.ENFILE: 503,
    errno.ENOMEM: 503,
}

# Content codings and the endings of the files that hold them, the best first.
_CODINGS = (("br", b".br"), ("zstd", b".zst"), ("gzip", b".gz"))

_CONDITIONAL = re.compile(rb"\n(?:if-|range:)", re.IGNORECASE)
_ACCEPT_ENCODING = re.compile(rb"\naccept-encoding:([^\r]*)", re.IGNORECASE)
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)

CacheControl = str | Callable[[str], str | None] | None


class _Folder(NamedTuple):
    """Where names are opened: ``lead`` stands before each, which is then looked up from ``fd``."""

    lead: bytes
    fd: int | None

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


class _Known(NamedTuple):
    """What there is to say of a file as long as it is the same."""

    signature: tuple[int, int, int, int]
    etag: str
    modified: int | None
    content_type: str
    fields: FieldLines
    """For a response with a body; the next is for a 304 (RFC 9110, 15.4.5)."""
    fields_unmodified: FieldLines


class StaticFiles:
    """Serves the files of a folder: a handler for `HttpServer`, or for a handler to call.

    - ``directory``: the folder;
    - ``prefix``: what stands before the names in a request's path, such as ``"/static"``; other
      paths are answered with 404;
    - ``index``: the file that is sent for a folder; empty for none;
    - ``listing``: whether a folder without that file is listed;
    - ``precompressed``: send ``app.js.br``, ``.zst`` or ``.gz`` in place of ``app.js``, to clients
      that accept it;
    - ``cache_control``: the Cache-Control of files, or a function that gives it for a path below
      the folder; `None` for none.  By default a copy may be kept, and is asked about each time;
    - ``follow_links``: follow symbolic links, wherever they lead;
    - ``hidden``: serve what begins with a dot, too.  ``/.well-known`` is served in any case;
    - ``fallback``: the file, directly in the folder, that is sent for a path that is not there and
      has no ending in its last name: the page of an application that has its routes in the browser;
    - ``types``: Content-Types by ending, such as ``{".html": "text/html; charset=gb18030"}``,
      beside those that are known.

    It answers GET and HEAD, also conditional and for ranges (RFC 9110, sections 13 and 14).  It may
    be used by several loops; files are opened, and small ones read, in the loop's thread.  Raises
    `OSError` when the folder cannot be opened, and `ValueError` for what makes no sense.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        prefix: str = "",
        index: str = "index.html",
        listing: bool = False,
        precompressed: bool = True,
        cache_control: CacheControl = "no-cache",
        follow_links: bool = False,
        hidden: bool = False,
        fallback: str = "",
        types: Mapping[str, str] | None = None,
    ) -> None:
        path = os.path.abspath(os.fspath(directory))
        os.close(os.open(path, _WALK))  # it can be entered, or the error says why not
        self.directory = path
        self._root = os.path.join(os.fsencode(path), b"")
        if prefix and (prefix[0] != "/" or prefix[-1] == "/"):
            raise ValueError(f"a prefix begins with a slash and does not end with one: {prefix!r}")
        for what, name in (("an index", index), ("a fallback", fallback)):
            if "/" in name or "\0" in name or name in (".", ".."):
                raise ValueError(f"{what} is the name of a file in the folder, not {name!r}")
        self._prefix = prefix.encode().split(b"/")
        self._index = os.fsencode(index)
        self._listing = listing
        self._precompressed = precompressed
        self._cache_control = cache_control
        self._follow_links = follow_links
        self._hidden = hidden
        self._fallback = os.fsencode(fallback)
        self._types = {suffix.lower(): kind for suffix, kind in (types or {}).items()}
        fields = Headers()  # refuses now what could not be sent later
        for kind in self._types.values():
            fields["Content-Type"] = kind
        if isinstance(cache_control, str):
            fields["Cache-Control"] = cache_control
        self._flags = _OPEN if follow_links else _OPEN | os.O_NOFOLLOW
        # Shared by loops, and used in single steps of a dictionary, which are whole.
        self._known: dict[tuple[bytes, str], _Known] = {}
        self._known_names: dict[str, list[bytes]] = {}
        self._known_types: dict[bytes, tuple[str, bool]] = {}

    def __call__(self, request: HttpRequest, response: HttpResponse) -> None:
        """Answer ``request``."""
        method = request.method
        if method not in ("GET", "HEAD"):
            response.status = 204 if method == "OPTIONS" else 405
            response.headers["Allow"] = _METHODS
            return
        names = self._find_names(request.raw_path)
        if names is None:
            self._refuse(response, 404)
            return
        try:
            self._answer(request, response, names)
        except OSError as error:
            status = _STATUS.get(error.errno or 0, 500)
            if status >= 500:
                log.warning("%s: %s", request.summary, error)
            if status == 404 and self._fallback and b"." not in names[-1]:
                self._answer_fallback(request, response)
            else:
                self._refuse(response, status)

    # ---- names ---------------------------------------------------------------------------

    def _find_names(self, raw_path: str) -> list[bytes] | None:
        """`_names`, remembered for the paths that come again and again."""
        try:
            return self._known_names[raw_path]
        except KeyError:
            names = self._names(raw_path)
        if names is not None and len(raw_path) <= _LONGEST_KNOWN:
            if len(self._known_names) >= _KNOWN_FILES:
                self._known_names.clear()
            self._known_names[raw_path] = names
        return names

    def _names(self, raw_path: str) -> list[bytes] | None:
        """The names that lead to a file; the last is empty for a folder.

        `None` for a path that leads nowhere.  A name is decoded once, after the path has been
        divided, so that an encoded slash is part of a name, which then is no file's.
        """
        names = raw_path.encode("latin-1").split(b"/")
        if b"%" in names[-1] or "%" in raw_path:
            names = [unquote_to_bytes(name) for name in names]
        count = len(self._prefix)
        if names[:count] != self._prefix:
            return None
        del names[:count]
        for place, name in enumerate(names, 1):
            if not name:
                if place < len(names):
                    return None
            elif name[0] == 46:  # a dot
                if name in (b".", b".."):
                    return None
                if not self._hidden and not (place == 1 and name == b".well-known"):
                    return None
            if b"\0" in name or b"/" in name:
                return None
        return names

    def _enter(self, names: list[bytes]) -> _Folder:
        """Open the folder to which ``names`` lead, each of them in the one before."""
        if not names or self._follow_links:
            return _Folder(self._root + b"".join(name + b"/" for name in names), None)
        folder = _Folder(self._root, None)
        for name in names:
            try:
                fd = os.open(folder.lead + name, _WALK | os.O_NOFOLLOW, dir_fd=folder.fd)
            finally:
                folder.close()
            folder = _Folder(b"", fd)
        return folder

    # ---- answers -------------------------------------------------------------------------

    def _answer(self, request: HttpRequest, response: HttpResponse, names: list[bytes]) -> None:
        if not names:  # the prefix alone
            self._redirect(request, response)
            return
        *folders, name = names
        folder = self._enter(folders)
        try:
            if not name:
                self._answer_folder(request, response, folder, names)
                return
            if not self._answer_file(request, response, folder, names):
                self._redirect(request, response)
        finally:
            folder.close()

    def _answer_folder(
        self, request: HttpRequest, response: HttpResponse, folder: _Folder, names: list[bytes]
    ) -> None:
        names = names[:-1]
        try:
            if self._index and self._answer_file(request, response, folder, [*names, self._index]):
                return
            raise _error(errno.ENOENT)
        except FileNotFoundError:
            if not self._listing:
                raise
            fd = os.open(folder.lead or b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder.fd)
            try:
                page = make_listing(fd, names, self._follow_links, self._hidden)
            finally:
                os.close(fd)
            response.html(page)
            response.headers["Cache-Control"] = "no-cache"
            response.headers["Content-Security-Policy"] = (
                "default-src 'none'; style-src 'unsafe-inline'"
            )
            response.headers["X-Content-Type-Options"] = "nosniff"

    def _answer_fallback(self, request: HttpRequest, response: HttpResponse) -> None:
        folder = _Folder(self._root, None)
        try:
            if not self._answer_file(request, response, folder, [self._fallback]):
                self._refuse(response, 404)
        except OSError as error:
            log.warning("the fallback %r: %s", os.fsdecode(self._fallback), error)
            self._refuse(response, _STATUS.get(error.errno or 0, 500))

    def _answer_file(
        self, request: HttpRequest, response: HttpResponse, folder: _Folder, names: list[bytes]
    ) -> bool:
        """Send the file to which ``names`` lead, the last from ``folder`` on; `False`: a folder."""
        fd, status = self._open(folder, names[-1])
        try:
            if stat.S_ISDIR(status.st_mode):
                return False
            coding = ""
            for candidate, ending in self._accepted_codings(request, names[-1]):
                # Mostly there is none, and to be told so is cheaper than to catch it.
                if not os.access(folder.lead + names[-1] + ending, os.F_OK, dir_fd=folder.fd):
                    continue
                try:
                    other, status_of_other = self._open(folder, names[-1] + ending)
                except OSError as error:
                    if _STATUS.get(error.errno or 0) == 503:
                        raise
                    continue
                if stat.S_ISDIR(status_of_other.st_mode):
                    os.close(other)
                    continue
                os.close(fd)
                fd, status, coding = other, status_of_other, candidate
                break
            known = self._describe(names, coding, status)
            fd = self._send(request, response, known, fd, status.st_size)
        finally:
            if fd >= 0:
                os.close(fd)
        return True

    def _open(self, folder: _Folder, name: bytes) -> tuple[int, os.stat_result]:
        """Open a plain file or a folder; nothing else is ever given away."""
        fd = os.open(folder.lead + name, self._flags, dir_fd=folder.fd)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            return fd, status
        os.close(fd)
        raise _error(errno.ENXIO)

    def _send(
        self, request: HttpRequest, response: HttpResponse, known: _Known, fd: int, size: int
    ) -> int:
        """Answer with the file ``fd`` of ``size`` bytes; its number, or -1 if it is given away."""
        pieces = [(0, size)]
        content_type = known.content_type
        ranged = False
        if _CONDITIONAL.search(request.head):
            headers = request.headers
            failed = failed_condition(headers, known.etag, known.modified)
            if failed is not None:
                response.status = failed
                _add(response, known.fields_unmodified)
                return fd
            ranges = headers.get_all("range")
            if request.method == "GET" and len(ranges) == 1:
                parts = parse_ranges(ranges[0], size)
                if parts is not None and range_counts(headers, known.etag, known.modified):
                    if not parts:
                        self._refuse(response, 416)
                        response.headers["Content-Range"] = f"bytes */{size}"
                        return fd
                    ranged = True
                    pieces = parts
        _add(response, known.fields)
        if request.method == "HEAD":
            response.headers["Content-Length"] = str(size)
            return fd
        if ranged:
            response.status = 206
            if len(pieces) > 1:
                content_type, framed = multipart(pieces, size, content_type)
                response.headers["Content-Type"] = content_type
                response.file_pieces(io.FileIO(fd), framed, content_type)
                return -1
            response.headers["Content-Range"] = content_range(pieces[0], size)
        offset, count = pieces[0]
        if count > _SMALL:
            response.file_pieces(io.FileIO(fd), pieces, content_type)
            return -1
        data = os.pread(fd, count, offset)
        if len(data) != count:
            raise OSError(errno.EAGAIN, "the file was cut while it was read")
        response.body = data
        return fd

    def _redirect(self, request: HttpRequest, response: HttpResponse) -> None:
        """Send a client that named a folder without its slash to the right place.

        The way there is told from where the client is: it holds behind any proxy that has its own
        ideas of the path before it, and cannot lead to another host, whatever the name is.
        """
        last = unquote_to_bytes(request.raw_path.rpartition("/")[2].encode("latin-1"))
        query = f"?{request.query}" if request.query else ""
        response.status = 301
        response.headers["Location"] = f"./{quote(last)}/{query}"

    def _refuse(self, response: HttpResponse, status: int) -> None:
        response.status = status
        response.text(f"{status} {reason_of(status)}\n")
        response.headers["X-Content-Type-Options"] = "nosniff"
        if status == 503:
            response.headers["Retry-After"] = "1"

    # ---- what is known of a file ---------------------------------------------------------

    def _accepted_codings(self, request: HttpRequest, name: bytes) -> tuple[tuple[str, bytes], ...]:
        if not self._precompressed:
            return ()
        values = _ACCEPT_ENCODING.findall(request.head)
        if not values or not self._type_of(name)[1]:
            return ()
        return _read_accept_encoding(b",".join(values).decode("latin-1"))

    def _type_of(self, name: bytes) -> tuple[str, bool]:
        """The Content-Type of a file that is there, and whether it may be worth compressing."""
        found = self._known_types.get(name)
        if found is None:
            text = os.fsdecode(name)
            content_type = self._types.get(suffix_of(text)) or content_type_of(text)
            found = content_type, is_compressible(content_type)
            if len(self._known_types) >= _KNOWN_FILES:
                self._known_types.clear()
            self._known_types[name] = found
        return found

    def _describe(self, names: list[bytes], coding: str, status: os.stat_result) -> _Known:
        """Its validators and fields, made anew when it has changed."""
        key = (b"/".join(names), coding)
        signature = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
        known = self._known.get(key)
        if known is None or known.signature != signature:
            known = self._describe_anew(names, coding, signature)
            if len(self._known) >= _KNOWN_FILES:
                self._known.clear()
            # A date to come is not told (8.8.2.1), but may be tomorrow.
            if known.modified is not None:
                self._known[key] = known
        return known

    def _describe_anew(
        self, names: list[bytes], coding: str, signature: tuple[int, int, int, int]
    ) -> _Known:
        mtime_ns, size, inode, _ = signature
        content_type, compressible = self._type_of(names[-1])
        etag = f'"{mtime_ns:x}-{size:x}-{inode:x}"'
        seconds = mtime_ns // 10**9
        modified = seconds if seconds <= time.time() else None
        cache_control = self._cache_control
        if callable(cache_control):
            cache_control = cache_control(os.fsdecode(b"/".join(names)))
        fields = {"ETag": etag}
        if modified is not None:
            fields["Last-Modified"] = formatdate(modified, usegmt=True)
        if cache_control is not None:
            fields["Cache-Control"] = cache_control
        if self._precompressed and compressible:
            fields["Vary"] = "Accept-Encoding"
        unmodified = _lines(fields)
        fields["Content-Type"] = content_type
        fields["Accept-Ranges"] = "bytes"
        fields["X-Content-Type-Options"] = "nosniff"
        if coding:
            fields["Content-Encoding"] = coding
        return _Known(signature, etag, modified, content_type, _lines(fields), unmodified)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _lines(fields: Mapping[str, str]) -> FieldLines:
    return FieldLines([(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields.items()])


def _add(response: HttpResponse, fields: FieldLines) -> None:
    """Give ``response`` these fields, beside those that it has."""
    if response.extra_fields is None and response.field_lines is None:
        response.field_lines = fields
    else:
        for name, value in fields.to_headers().items():
            response.headers[name] = value


@functools.lru_cache(maxsize=256)
def _read_accept_encoding(text: str) -> tuple[tuple[str, bytes], ...]:
    """The codings that a client accepts, the best first.  (RFC 9110, 12.5.3.)"""
    weights: dict[str, float] = {}
    for element in text.lower().split(","):
        name, *parameters = (part.strip(" \t") for part in element.split(";"))
        weight = 1.0
        for parameter in parameters:
            found = _WEIGHT.fullmatch(parameter)
            weight = float(found[1]) if found else 0.0  # not understood: better not
        weights["gzip" if name == "x-gzip" else name] = weight
    least = weights.get("identity", 0.0)
    wanted = [
        (-weight, place, coding)
        for place, coding in enumerate(_CODINGS)
        if (weight := weights.get(coding[0], weights.get("*", 0.0))) > 0 and weight >= least
    ]
    return tuple(coding for _, _, coding in sorted(wanted))
