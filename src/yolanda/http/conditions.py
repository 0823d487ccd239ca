"""Conditional requests: whether a client's copy is still good.  (RFC 9110, section 13.)"""

import re
import time
from calendar import timegm
from datetime import date

from yolanda.http.headers import Headers

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_TAG_LIST = re.compile(r'[ \t,]*(?:W/)?"[^"]*"(?:[ \t]*,[ \t,]*(?:W/)?"[^"]*")*[ \t,]*')

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# The three forms that a recipient must accept (RFC 9110, 5.6.7).
_DATES = tuple(
    re.compile(form)
    for form in (
        rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)


def failed_condition(headers: Headers, etag: str, modified: int | None) -> int | None:
    """The status with which a GET or HEAD ends early: 304, 412, or `None` to go on.

    - ``headers``: the request's;
    - ``etag``: of what would be sent, with its quotes;
    - ``modified``: when it was last modified, in seconds since 1970; `None` where nobody knows.

    The order is that of section 13.2.2: a date counts only where there is no tag of its kind, and
    what cannot be read as a date is passed over.
    """
    wanted = headers.get_all("if-match")
    if wanted:
        if not _matches(wanted, etag, weak=False):
            return 412
    elif modified is not None:
        limit = _date(headers, "if-unmodified-since")
        if limit is not None and modified > limit:
            return 412
    known = headers.get_all("if-none-match")
    if known:
        if _matches(known, etag, weak=True):
            return 304
    elif modified is not None:
        since = _date(headers, "if-modified-since")
        if since is not None and modified <= since:
            return 304
    return None


def range_counts(headers: Headers, etag: str, modified: int | None) -> bool:
    """Whether If-Range, if there is one, lets the Range count.  (RFC 9110, 13.1.5.)"""
    values = headers.get_all("if-range")
    if not values:
        return True
    if len(values) > 1:
        return False
    if _TAG.fullmatch(values[0]):
        return values[0] == etag and not etag.startswith("W/")
    # A date says little of a file that may have changed twice in that second (8.8.2.2).
    when = parse_date(values[0])
    return when is not None and when == modified and modified < time.time() - 1


def parse_date(text: str) -> int | None:
    """An HTTP-date in seconds since 1970; `None` for what is none.  (RFC 9110, 5.6.7.)"""
    for form in _DATES:
        found = form.fullmatch(text)
        if found is not None:
            break
    else:
        return None
    year, day = int(found["year"]), int(found["day"])
    month = _MONTHS.index(found["month"]) + 1
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if len(found["year"]) == 2:  # never more than 50 years ahead
        this_year = time.gmtime().tm_year
        year += this_year - this_year % 100
        if year > this_year + 50:
            year -= 100
    try:
        date(year, month, day)
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        return None
    return timegm((year, month, day, hour, minute, second))


def _date(headers: Headers, name: str) -> int | None:
    values = headers.get_all(name)
    return parse_date(values[0]) if len(values) == 1 else None


def _matches(values: list[str], etag: str, weak: bool) -> bool:
    """Whether a list of tags, or ``*``, holds ``etag``.  A list that is malformed holds nothing."""
    if values == ["*"]:
        return True
    text = ", ".join(values)
    if not _TAG_LIST.fullmatch(text):
        return False
    tags = _TAG.findall(text)
    if weak:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    return etag in tags and not etag.startswith("W/")
