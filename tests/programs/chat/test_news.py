"""What a process of the chat believes of what a broker brings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.programs.chat.news import NEWS, BadNews, decode_news, decode_whisper
from yolanda.programs.chat.room import LONGEST_LINE

ID = "0123456789abcdef"
GOOD = {
    "beat": {"revision": 0},
    "gone": {},
    "joined": {"name": "ann", "since": 1.5, "revision": 1},
    "left": {"name": "小红", "reason": "talks too fast", "revision": 2},
    "list": {"guests": [["ann", 1.5], ["bob", 0.0]], "revision": 2},
    "list?": {},
    "renamed": {"before": "ann", "name": "eve", "since": 1.5, "revision": 3},
    "said": {"name": "ann", "text": "\ufffd" * LONGEST_LINE},
    "your list?": {"of": ID},
}


def encoded(kind: object, **fields: object) -> bytes:
    return json.dumps({"process": ID, "kind": kind, **fields}).encode()


@pytest.mark.parametrize("kind", NEWS)
def test_good_news(kind: str) -> None:
    fields = GOOD[kind]
    news = decode_news(encoded(kind, **fields, colour="red"))
    assert news == {"kind": kind, "process": ID, **fields}


@pytest.mark.parametrize("kind", NEWS)
def test_all_fields_are_needed(kind: str) -> None:
    for name in GOOD[kind]:
        fields = {other: value for other, value in GOOD[kind].items() if other != name}
        with pytest.raises(BadNews, match=f"^{name} is missing$"):
            decode_news(encoded(kind, **fields))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("said", "name", "<b>"),
        ("said", "name", ["ann"]),
        ("said", "text", "\x1b[2J"),
        ("said", "text", "\ud800"),
        ("said", "text", " "),
        ("said", "text", "x" * (3 * LONGEST_LINE + 1)),
        ("said", "text", None),
        ("beat", "revision", -1),
        ("beat", "revision", True),
        ("beat", "revision", "1"),
        ("joined", "since", float("nan")),
        ("joined", "since", float("inf")),
        ("joined", "since", 1),
        ("list", "guests", {"ann": 1.5}),
        ("list", "guests", ["ann"]),
        ("list", "guests", [["ann"]]),
        ("list", "guests", [["ann", "now"]]),
        ("your list?", "of", "*"),
    ],
)
def test_a_field_that_is_wrong_is_named(kind: str, field: str, value: object) -> None:
    with pytest.raises(BadNews, match=f"^{field} is "):
        decode_news(encoded(kind, **{**GOOD[kind], field: value}))


@pytest.mark.parametrize("kind", ["", "Said", None, ["said"], {}, 5])
def test_a_kind_that_is_none(kind: object) -> None:
    with pytest.raises(BadNews, match=r"^kind is "):
        decode_news(encoded(kind))


@pytest.mark.parametrize("process", [ID.upper(), ID[1:], "", None, 5])
def test_an_id_that_is_none(process: object) -> None:
    with pytest.raises(BadNews, match=r"^process is "):
        decode_news(json.dumps({"process": process, "kind": "gone"}).encode())


def test_a_whisper() -> None:
    words = {"sender": "ann", "recipient": "bob", "text": "psst"}
    assert decode_whisper(json.dumps(words).encode()) == words
    with pytest.raises(BadNews, match=r"^recipient is '\*'$"):
        decode_whisper(json.dumps({**words, "recipient": "*"}).encode())


@given(st.binary() | st.text().map(str.encode) | st.just(b"[" * 100_000) | st.just(b"9" * 5000))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(BadNews):
        decode_news(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*NEWS]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["name"]), inner),
)


@given(st.dictionaries(st.sampled_from(["process", "kind", "name", "text", "revision"]), JSON))
def test_any_object_is_read_or_refused(fields: dict[str, object]) -> None:
    data = json.dumps(fields).encode()
    for decode in (decode_news, decode_whisper):
        try:
            message = decode(data)
        except BadNews:
            continue
        assert set(message) <= set(fields)
