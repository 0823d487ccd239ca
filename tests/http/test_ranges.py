"""Which bytes a Range names, and how several parts are framed."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.http.ranges import MAX_RANGES, Part, content_range, multipart, parse_ranges


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-", [(0, 100)]),
        ("bytes=99-", [(99, 1)]),
        ("bytes=-1", [(99, 1)]),
        ("bytes=-100", [(0, 100)]),
        ("bytes=-1000", [(0, 100)]),
        ("bytes=10-19", [(10, 10)]),
        ("bytes=90-1000", [(90, 10)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes=0-0,99-99", [(0, 1), (99, 1)]),
        ("bytes=99-99,0-0", [(99, 1), (0, 1)]),
        ("bytes= 0-0 ,\t-1 ", [(0, 1), (99, 1)]),
        ("bytes=,0-0,,99-,", [(0, 1), (99, 1)]),
        # together, where they overlap or touch
        ("bytes=0-9,5-14", [(0, 15)]),
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=50-59,0-9,55-64", [(50, 15), (0, 10)]),
        ("bytes=0-,0-,0-,-100,5-7", [(0, 100)]),
        # some are not there
        ("bytes=0-9,100-", [(0, 10)]),
        ("bytes=100-,0-9", [(0, 10)]),
        # none is
        ("bytes=100-", []),
        ("bytes=100-200", []),
        ("bytes=-0", []),
        ("bytes=" + "9" * 5000 + "-", []),
        # however large the numbers
        ("bytes=5-" + "9" * 5000, [(5, 95)]),
        ("bytes=-" + "9" * 5000, [(0, 100)]),
        # not understood, so the whole
        ("bytes=9-5", None),
        ("bytes=0-0,9-5", None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=0x1-2", None),
        ("bytes=1 - 2", None),
        ("bytes=1.0-2", None),
        ("bytes=\u0661-\u0662", None),  # digits of another script
        ("bytes =0-1", None),
        ("lines=0-1", None),
        ("", None),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2 * MAX_RANGES + 2, 2)), None),
    ],
)
def test_a_range_field(text: str, parts: list[Part] | None) -> None:
    assert parse_ranges(text, 100) == parts


def test_as_many_parts_as_are_allowed() -> None:
    wanted = list(range(0, 2 * MAX_RANGES, 2))
    text = "bytes=" + ",".join(f"{n}-{n}" for n in wanted)
    assert parse_ranges(text, 1000) == [(n, 1) for n in wanted]


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=-1", "bytes=5-9"])
def test_an_empty_file_has_no_parts(text: str) -> None:
    assert parse_ranges(text, 0) is None


specs = st.one_of(
    st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda p: f"{min(p)}-{max(p)}"),
    st.integers(0, 300).map(lambda first: f"{first}-"),
    st.integers(0, 300).map(lambda count: f"-{count}"),
)


def asked_for(spec: str, size: int) -> set[int]:
    """The same sums, done in the simplest way."""
    first, _, last = spec.partition("-")
    if not first:
        return set(range(size)[-int(last) :]) if int(last) else set()
    return set(range(size)[int(first) : int(last) + 1 if last else None])


@given(st.lists(specs, min_size=1, max_size=20), st.integers(1, 250))
def test_every_byte_that_was_asked_for_is_named_once(wanted: list[str], size: int) -> None:
    parts = parse_ranges("bytes=" + ",".join(wanted), size)
    assert parts is not None
    named = [place for offset, count in parts for place in range(offset, offset + count)]
    assert all(count > 0 for _, count in parts)
    assert len(named) == len(set(named))
    assert set(named) == set().union(*(asked_for(spec, size) for spec in wanted))
    # No two of them could be one.
    ends = {offset + count for offset, count in parts}
    assert not ends & {offset for offset, _ in parts}


@given(st.text(max_size=40), st.integers(0, 10))
def test_any_text_is_read_without_an_error(text: str, size: int) -> None:
    for field in (text, f"bytes={text}"):
        for offset, count in parse_ranges(field, size) or []:
            assert 0 <= offset < offset + count <= size


def test_content_range() -> None:
    assert content_range((5, 1), 10) == "bytes 5-5/10"


@given(
    st.binary(min_size=1, max_size=300),
    st.lists(st.tuples(st.integers(0, 299), st.integers(1, 300)), min_size=2, max_size=8),
)
def test_parts_are_framed_as_mime_says(data: bytes, wanted: list[Part]) -> None:
    size = len(data)
    parts = [(o % size, min(c, size - o % size)) for o, c in wanted]
    content_type, pieces = multipart(parts, size, "text/x-test; charset=utf-8")
    body = b"".join(
        piece if isinstance(piece, bytes) else data[piece[0] : piece[0] + piece[1]]
        for piece in pieces
    )
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n"
    # The parser takes line ends for its own, so the bytes are compared by their framing.
    boundary = content_type.partition("boundary=")[2].encode()
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert sections[0] == b""
    assert sections[-1] == b"--\r\n"
    for part, section in zip(parts, sections[1:-1], strict=True):
        fields, _, content = section.partition(b"\r\n\r\n")
        assert content == data[part[0] : part[0] + part[1]]
        assert f"Content-Range: {content_range(part, size)}".encode() in fields
    message = email.message_from_bytes(head.encode() + b"\r\n" + body, policy=email.policy.HTTP)
    found = list(message.iter_parts())  # type: ignore[attr-defined]
    assert [each["Content-Range"] for each in found] == [content_range(p, size) for p in parts]
    assert {each.get_content_type() for each in found} == {"text/x-test"}


def test_no_two_boundaries_are_alike() -> None:
    assert len({multipart([(0, 1), (2, 1)], 3, "a/b")[0] for _ in range(100)}) == 100
