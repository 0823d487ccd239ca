"""Conditional requests: what counts before what, and what does not count at all."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.http import Headers
from yolanda.http.conditions import failed_condition, parse_date, range_counts

TAG = '"abc"'
MODIFIED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
NOW = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    "text", [NOW, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert parse_date(text) == MODIFIED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 NOV 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        f"{NOW}, {NOW}",
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


def test_two_digits_of_a_year_are_never_far_ahead() -> None:
    this_year = time.gmtime().tm_year
    for ahead in range(-49, 51):
        text = f"Monday, 01-Jan-{(this_year + ahead) % 100:02} 00:00:00 GMT"
        seconds = parse_date(text)
        assert seconds is not None
        assert time.gmtime(seconds).tm_year == this_year + ahead


@given(st.integers(-62135596800, 253402300799))
def test_a_date_that_was_written_is_read(seconds: int) -> None:
    text = formatdate(seconds, usegmt=True)
    if len(text) == len(NOW):  # years before 1000 are written with fewer digits
        assert parse_date(text) == seconds


@given(st.text(max_size=40))
def test_any_text_is_no_error(text: str) -> None:
    parse_date(text)
    for name in ("if-match", "if-none-match", "if-modified-since", "if-range"):
        headers = Headers()
        headers._fields.append((name, text))
        assert failed_condition(headers, TAG, MODIFIED) in (None, 304, 412)
        range_counts(headers, TAG, MODIFIED)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, None),
        ({"If-Match": TAG}, None),
        ({"If-Match": "*"}, None),
        ({"If-Match": f'"x", {TAG}'}, None),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": f"W/{TAG}"}, 412),  # compared strongly
        ({"If-Match": "abc"}, 412),
        ({"If-Match": f"{TAG} {TAG}"}, 412),
        ({"If-None-Match": TAG}, 304),
        ({"If-None-Match": f"W/{TAG}"}, 304),  # compared weakly
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": f'"x",{TAG}'}, 304),
        ({"If-None-Match": f', "a,b" ,, {TAG},'}, 304),
        ({"If-None-Match": '"x"'}, None),
        ({"If-None-Match": '"ab"c"'}, None),
        ({"If-None-Match": "abc"}, None),
        ({"If-None-Match": ""}, None),
        ({"If-None-Match": f"*, {TAG}"}, None),
        ({"If-Modified-Since": BEFORE}, None),
        ({"If-Modified-Since": NOW}, 304),
        ({"If-Modified-Since": AFTER}, 304),
        ({"If-Modified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),
        ({"If-Modified-Since": "never"}, None),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": NOW}, None),
        ({"If-Unmodified-Since": AFTER}, None),
        ({"If-Unmodified-Since": "never"}, None),
        # A date does not count beside a tag.
        ({"If-None-Match": '"x"', "If-Modified-Since": AFTER}, None),
        ({"If-None-Match": TAG, "If-Modified-Since": BEFORE}, 304),
        ({"If-Match": TAG, "If-Unmodified-Since": BEFORE}, None),
        # First whether it may be done, then whether it need not be.
        ({"If-Match": '"x"', "If-None-Match": TAG}, 412),
        ({"If-Match": TAG, "If-None-Match": TAG}, 304),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": TAG}, 412),
        ({"If-Unmodified-Since": NOW, "If-Modified-Since": NOW}, 304),
    ],
)
def test_conditions(fields: dict[str, str], status: int | None) -> None:
    assert failed_condition(Headers(fields.items()), TAG, MODIFIED) == status


@pytest.mark.parametrize("name", ["If-None-Match", "If-Match"])
def test_a_list_may_come_in_several_fields(name: str) -> None:
    headers = Headers([(name, '"x"'), (name, TAG)])
    assert failed_condition(headers, TAG, None) == (304 if name == "If-None-Match" else None)


def test_two_dates_are_none() -> None:
    headers = Headers([("If-Modified-Since", NOW), ("If-Modified-Since", NOW)])
    assert failed_condition(headers, TAG, MODIFIED) is None


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since"])
def test_dates_do_not_count_where_nobody_knows_one(name: str) -> None:
    for date in (BEFORE, NOW, AFTER):
        assert failed_condition(Headers([(name, date)]), TAG, None) is None


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (TAG, True),
        (f"W/{TAG}", False),
        ('"x"', False),
        (f"{TAG}, {TAG}", False),
        ("*", False),
        (NOW, True),
        (BEFORE, False),
        (AFTER, False),  # exactly the same, and no later one
        ("", False),
    ],
)
def test_if_range(value: str, counts: bool) -> None:
    assert range_counts(Headers([("If-Range", value)]), TAG, MODIFIED) is counts


def test_without_if_range_the_range_counts() -> None:
    assert range_counts(Headers(), TAG, None)


def test_a_weak_tag_is_good_for_no_range() -> None:
    assert not range_counts(Headers([("If-Range", f"W/{TAG}")]), f"W/{TAG}", MODIFIED)


def test_a_date_of_just_now_is_good_for_no_range() -> None:
    now = int(time.time())
    headers = Headers([("If-Range", formatdate(now, usegmt=True))])
    assert not range_counts(headers, TAG, now)
