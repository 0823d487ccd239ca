import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.http import Headers

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
names = st.text(TOKEN, min_size=1, max_size=12)
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30
)


def test_names_ignore_case() -> None:
    headers = Headers([("Content-Type", "text/html")])
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "text/html"
    assert headers.get("cOnTeNt-tYpE") == "text/html"
    assert "content-Type" in headers
    assert "content" not in headers
    assert 5 not in headers


def test_repeated_fields_keep_their_order_and_their_spelling() -> None:
    headers = Headers()
    headers.add("Set-Cookie", "a=1")
    headers.add("X", "y")
    headers.add("set-cookie", "b=2")
    assert headers.get_all("SET-COOKIE") == ["a=1", "b=2"]
    assert headers["Set-Cookie"] == "a=1"
    assert headers.items() == [("Set-Cookie", "a=1"), ("X", "y"), ("set-cookie", "b=2")]
    assert list(headers) == ["Set-Cookie", "X", "set-cookie"]
    assert len(headers) == 3


def test_setting_a_field_replaces_all_of_its_name() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers["a"] = "4"
    assert headers.get_all("A") == ["4"]
    assert len(headers) == 2


def test_deleting() -> None:
    headers = Headers([("A", "1"), ("a", "2")])
    del headers["a"]
    assert len(headers) == 0
    assert headers.discard("a") is False
    with pytest.raises(KeyError, match="a"):
        del headers["a"]
    with pytest.raises(KeyError, match="x-missing"):
        headers["x-missing"]
    assert headers.get("x-missing") is None
    assert headers.get("x-missing", "-") == "-"
    assert headers.get_all("x-missing") == []


def test_equality_ignores_the_case_of_names_only() -> None:
    assert Headers([("A", "x")]) == Headers([("a", "x")])
    assert Headers([("A", "x")]) != Headers([("a", "X")])
    assert Headers([("A", "1"), ("A", "2")]) != Headers([("A", "2"), ("A", "1")])
    assert Headers() != {}
    with pytest.raises(TypeError):
        hash(Headers())
    assert repr(Headers([("A", "x")])) == "Headers([('A', 'x')])"


@pytest.mark.parametrize("character", [*"\r\n\0\x0b\x0c\x1b\x7f", "\u0100", "\u2028", "\U0001f600"])
@pytest.mark.parametrize("place", ["", "before", "before and "])
def test_a_value_cannot_end_its_line(character: str, place: str) -> None:
    headers = Headers()
    value = place + character + "Set-Cookie: evil=1"
    with pytest.raises(ValueError, match="X-Name"):
        headers["X-Name"] = value
    with pytest.raises(ValueError, match="X-Name"):
        headers.add("X-Name", value)
    with pytest.raises(ValueError, match="X-Name"):
        Headers([("X-Name", value)])
    assert len(headers) == 0


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
def test_a_value_cannot_end_in_a_line_end(end: str) -> None:
    with pytest.raises(ValueError, match="X"):
        Headers([("X", "value" + end)])


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a:",
        ":a",
        "a\r\n",
        "a\n",
        "\ta",
        "a\0",
        "ä",
        "a(b)",
        "a,b",
        "a/b",
        'a"',
        "[a]",
    ],
)
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        Headers([(name, "x")])


def test_a_refused_value_leaves_the_old_one() -> None:
    headers = Headers([("X", "old")])
    with pytest.raises(ValueError, match="new"):
        headers["X"] = "new\r\n"
    assert headers["X"] == "old"


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    assert Headers([("X", " \t a\tb \t")])["X"] == "a\tb"


def test_parse() -> None:
    lines = b"Host: a\r\nX:\t one \r\nx:two\r\nEmpty:\r\nUrl: http://a:1/"
    assert Headers.parse(lines).items() == [
        ("Host", "a"),
        ("X", "one"),
        ("x", "two"),
        ("Empty", ""),
        ("Url", "http://a:1/"),
    ]
    assert Headers.parse(b"").items() == []


@given(st.lists(st.tuples(names, values), max_size=10))
def test_what_is_written_can_be_parsed(fields: list[tuple[str, str]]) -> None:
    headers = Headers(fields)
    lines = "\r\n".join(f"{name}: {value}" for name, value in headers.items()).encode("latin-1")
    assert Headers.parse(lines) == headers


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_set_stays_on_one_line(name: str, value: str) -> None:
    try:
        headers = Headers([(name, value)])
    except ValueError:
        return
    line = "".join(f"{n}: {v}" for n, v in headers.items())
    line.encode("latin-1")
    assert not set("\r\n\0") & set(line)
