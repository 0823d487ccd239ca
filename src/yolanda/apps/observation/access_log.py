"""The access log: a line for each exchange, which no request can forge.

=============  ==================================================================================
``common``     ``192.0.2.1 - - [10/Oct/2026:13:55:36 +0200] "GET /a HTTP/1.1" 200 2326``
``combined``   the same, then ``"Referer" "User-Agent"``
``json``       an object: time, client, method, target, version, status, bytes, seconds, complete,
               host, referer, user_agent
=============  ==================================================================================

(The first two are those of the Apache HTTP server, and nginx's.)
"""

import math
import re
import time
from json.encoder import encode_basestring_ascii
from typing import Literal

from yolanda.apps.observation.log_writer import LogWriter
from yolanda.http.exchange_recorder import ExchangeObserver
from yolanda.http.request import HttpRequest, RequestLine
from yolanda.http.response import HttpResponse
from yolanda.reactor.event_loop import EventLoop
from yolanda.reactor.timer_queue import Timer

AccessLogStyle = Literal["common", "combined", "json"]

CLIENT_GONE = 499
"""What is logged as status when the client went before there was a response; it is nginx's."""

FLUSH_INTERVAL = 0.2
"""Seconds that a line waits for others."""

_BATCH = 256  # lines: more would take memory that is not in the processor's cache any more
_KNOWN = 4096
_LONGEST_KNOWN = 512  # bytes of a field's value that may come again
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_UNSAFE = re.compile(r'[^ -~]|["\\]')
_REFERER = b"\r\nreferer:"
_USER_AGENT = b"\r\nuser-agent:"
_HOST = b"\r\nhost:"


class AccessLog:
    """Writes a line for each exchange of one or more servers; its `on_exchange` is for them.

    - ``style``: one of the table above;
    - ``path``: a file, or ``-`` for the standard output;
    - ``loop``: that of the servers, in whose thread all methods are called.

    The client is who a trusted proxy has named, if the handler has asked (`TrustedProxies`), else
    the connection's other end.  Lines are collected for `FLUSH_INTERVAL` seconds and handed to a
    `LogWriter`.  Raises `OSError` for a file that cannot be opened.
    """

    def __init__(self, style: AccessLogStyle, path: str, loop: EventLoop) -> None:
        self.on_exchange: ExchangeObserver = {
            "common": self._log_common,
            "combined": self._log_combined,
            "json": self._log_json,
        }[style]
        """To be given to the servers."""
        self._in_json = style == "json"
        self._loop = loop
        self._lines: list[str] = []
        self._timer: Timer | None = None
        self._stamp = ""  # of this second of the clock on the wall
        self._second_began = 0.0  # by the loop's clock
        self._second_ends = -math.inf
        self._known_lines: dict[RequestLine, str] = {}
        self._known_values: dict[bytes, str] = {}
        self._writer = LogWriter(path, "the access log")

    def reopen(self) -> None:
        """Open the file anew, behind what was logged so far."""
        self._hand_over()
        self._writer.reopen()

    def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
        self._hand_over()
        self._writer.close()

    # ---- lines ---------------------------------------------------------------------------

    # Each of these three is called once a request, so what they have in common is written out.

    def _log_common(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        sent: int,
        seconds: float,
        complete: bool,
    ) -> None:
        lines = self._lines
        if len(lines) >= _BATCH or not lines:
            self._begin_batch()
        if self._loop.now >= self._second_ends:
            self._look_at_the_wall()
        client = request.client or request.connection.peer_address
        line = self._known_lines.get(request.line) or self._understand(request)
        status = CLIENT_GONE if response is None else response.status
        lines.append(f"{client.host or 'unix:'}{self._stamp}{line}{status} {sent}\n")

    def _log_combined(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        sent: int,
        seconds: float,
        complete: bool,
    ) -> None:
        lines = self._lines
        if len(lines) >= _BATCH or not lines:
            self._begin_batch()
        if self._loop.now >= self._second_ends:
            self._look_at_the_wall()
        client = request.client or request.connection.peer_address
        line = self._known_lines.get(request.line) or self._understand(request)
        status = CLIENT_GONE if response is None else response.status
        head = request.head
        lowered = head.lower()
        lines.append(
            f"{client.host or 'unix:'}{self._stamp}{line}{status} {sent} "
            f"{self._value(head, lowered, _REFERER)} {self._value(head, lowered, _USER_AGENT)}\n"
        )

    def _log_json(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        sent: int,
        seconds: float,
        complete: bool,
    ) -> None:
        lines = self._lines
        if len(lines) >= _BATCH or not lines:
            self._begin_batch()
        now = self._loop.now
        if now >= self._second_ends:
            self._look_at_the_wall()
        client = request.client or request.connection.peer_address
        line = self._known_lines.get(request.line) or self._understand(request)
        status = CLIENT_GONE if response is None else response.status
        head = request.head
        lowered = head.lower()
        lines.append(
            f'{self._stamp}{int((now - self._second_began) * 1000):03d}Z", '
            f'"client": "{client.host or "unix:"}", {line}"status": {status}, "bytes": {sent}, '
            f'"seconds": {seconds:.6f}, "complete": {"true" if complete else "false"}, '
            f'"host": {self._value(head, lowered, _HOST)}, '
            f'"referer": {self._value(head, lowered, _REFERER)}, '
            f'"user_agent": {self._value(head, lowered, _USER_AGENT)}}}\n'
        )

    def _begin_batch(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_INTERVAL, self._handle_time)
        self._hand_over()

    def _handle_time(self) -> None:
        self._timer = None
        self._hand_over()

    def _hand_over(self) -> None:
        if self._lines:
            lines = "".join(self._lines)
            self._lines.clear()
            self._writer.write(lines.encode("ascii"))

    def _look_at_the_wall(self) -> None:
        """A second has passed: what time is it?"""
        now = time.time()
        second = int(now)
        self._second_began = self._loop.now - (now - second)
        self._second_ends = self._second_began + 1.0
        if self._in_json:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._stamp = f'{{"time": "{text}.'
        else:
            day = time.localtime(second)
            sign, zone = "+-"[day.tm_gmtoff < 0], abs(day.tm_gmtoff) // 60
            self._stamp = (
                f" - - [{day.tm_mday:02d}/{_MONTHS[day.tm_mon - 1]}/{day.tm_year}:"
                f"{day.tm_hour:02d}:{day.tm_min:02d}:{day.tm_sec:02d} "
                f"{sign}{zone // 60:02d}{zone % 60:02d}] "
            )

    def _understand(self, request: HttpRequest) -> str:
        """Return a request line as it stands in this log, and remember it."""
        line = request.line
        if not request.head:  # it was refused before it was one
            return '"method": null, "target": null, "version": null, ' if self._in_json else '"-" '
        if self._in_json:
            target = encode_basestring_ascii(_readable(line.target.encode("latin-1")))
            text = f'"method": "{line.method}", "target": {target}, "version": "{line.version}", '
        else:
            text = f"{_quoted(request.summary)} "
        if len(line.target) <= _LONGEST_KNOWN:
            if len(self._known_lines) >= _KNOWN:
                self._known_lines.clear()
            self._known_lines[line] = text
        return text

    def _value(self, head: bytes, lowered: bytes, name: bytes) -> str:
        """Return a field's value as it stands in this log."""
        start = lowered.find(name)
        if start < 0:
            return "null" if self._in_json else '"-"'
        start += len(name)
        value = head[start : head.index(b"\r", start)]
        text = self._known_values.get(value)
        if text is None:
            if self._in_json:
                text = encode_basestring_ascii(_readable(value.strip(b" \t")))
            else:
                text = _quoted(value.strip(b" \t").decode("latin-1"))
            if len(value) <= _LONGEST_KNOWN:
                if len(self._known_values) >= _KNOWN:
                    self._known_values.clear()
                self._known_values[value] = text
        return text


def _quoted(text: str) -> str:
    """Put ``text`` in quotes; what could end them or the line is written in hexadecimal."""
    return f'"{_UNSAFE.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02X}"


def _readable(value: bytes) -> str:
    """UTF-8, as it mostly is."""
    return value.decode("utf-8", "backslashreplace")
