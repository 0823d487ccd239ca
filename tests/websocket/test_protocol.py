"""What a client may send and may not, byte by byte.

The sections and most cases are those of the Autobahn test suite, which `test_autobahn` runs itself
where it is installed.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# ---- 1: framing ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 300_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_all_lengths(serve: Any, wire: Any, size: int, opcode: int) -> None:
    peer = serve().shake()
    data = b"*" * size
    peer.send(wire.frame(opcode, data))
    assert peer.read() == (opcode, data)


@pytest.mark.parametrize("bits", [16, 64])
def test_a_length_that_could_be_shorter_is_read(serve: Any, bits: int) -> None:
    # RFC 6455, 5.2, asks clients for the shortest form, and servers for nothing.
    peer = serve().shake()
    head = b"\x81" + (b"\xfe" if bits == 16 else b"\xff") + (3).to_bytes(bits // 8, "big")
    peer.send(head + b"\0\0\0\0abc")
    assert peer.read() == (TEXT, b"abc")


@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_many_messages_in_one_segment(serve: Any, wire: Any, count: int) -> None:
    peer = serve().shake()
    peer.send(b"".join(wire.frame(TEXT, b"%d" % n) for n in range(count)))
    assert [peer.read()[1] for _ in range(count)] == [b"%d" % n for n in range(count)]


# ---- 2: pings and pongs ----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hello", b"\0\xff\xfe", b"p" * 125])
def test_a_ping_is_answered(serve: Any, wire: Any, data: bytes) -> None:
    peer = serve().shake()
    peer.send(wire.frame(PING, data))
    assert peer.read() == (PONG, data)


def test_pings_are_answered_in_their_order(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(b"".join(wire.frame(PING, b"%d" % n) for n in range(10)))
    assert [peer.read() for _ in range(10)] == [(PONG, b"%d" % n) for n in range(10)]


def test_an_answer_comes_in_its_turn(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(wire.frame(TEXT, b"1") + wire.frame(PING, b"2") + wire.frame(TEXT, b"3"))
    assert [peer.read() for _ in range(3)] == [(TEXT, b"1"), (PONG, b"2"), (TEXT, b"3")]


def test_a_pong_that_nobody_asked_for(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    peer.send(wire.frame(PONG, b"why") + wire.frame(PING, b"yes"))
    assert peer.read() == (PONG, b"yes")
    assert ("pong", b"why") in served.events


# ---- 3 to 5, 7: what is an error -------------------------------------------------------------


def errors() -> list[Any]:
    """Bytes, and the code with which they end the connection."""

    def frame(*args: Any, **more: Any) -> Any:
        return lambda wire: wire.frame(*args, **more)

    def both(*makers: Any) -> Any:
        return lambda wire: b"".join(make(wire) for make in makers)

    def close(code: int, reason: bytes = b"") -> Any:
        return lambda wire: wire.close(code, reason)

    cases: dict[str, tuple[Any, int]] = {
        "a frame without a mask": (frame(TEXT, b"a", mask=False), 1002),
        "a ping that is too long": (frame(PING, b"p" * 126), 1002),
        "a pong that is too long": (frame(PONG, b"p" * 126), 1002),
        "a close that is too long": (close(1000, b"r" * 124), 1002),
        "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
        "a close with a reason that is no UTF-8": (close(1000, b"\xce\xba\xed\xa0\x80"), 1007),
        "a ping in pieces": (frame(PING, b"a", fin=False), 1002),
        "a pong in pieces": (frame(PONG, b"a", fin=False), 1002),
        "a close in pieces": (frame(CLOSE, b"\x03\xe8", fin=False), 1002),
        "a continuation of nothing": (frame(CONT, b"a"), 1002),
        "a first piece of nothing": (frame(CONT, b"a", fin=False), 1002),
        "a continuation after a message": (both(frame(TEXT, b"a"), frame(CONT, b"b")), 1002),
        "a message within another": (both(frame(TEXT, b"a", fin=False), frame(TEXT, b"b")), 1002),
        "binary within text": (both(frame(TEXT, b"a", fin=False), frame(BINARY, b"b")), 1002),
        "a second first piece": (
            both(frame(TEXT, b"a", fin=False), frame(TEXT, b"b", fin=False)),
            1002,
        ),
        "a message above the limit": (frame(BINARY, b"b" * 1001), 1009),
        "pieces above the limit": (
            both(frame(BINARY, b"b" * 600, fin=False), frame(CONT, b"b" * 401)),
            1009,
        ),
        "a length of 2 to the 63": (lambda wire: b"\x82\xff\x80" + b"\0" * 11, 1009),
        "text that is no UTF-8": (frame(TEXT, b"\xff"), 1007),
        "text that ends in a letter": (frame(TEXT, "ä".encode()[:1]), 1007),
    }
    for rsv in range(1, 8):
        cases[f"reserved bits {rsv:03b}"] = (frame(TEXT, b"a", rsv=rsv), 1002)
        cases[f"reserved bits {rsv:03b} of a ping"] = (frame(PING, b"a", rsv=rsv), 1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        cases[f"opcode {opcode}"] = (frame(opcode, b""), 1002)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        cases[f"code {code}"] = (close(code), 1002)
    return [pytest.param(make, code, id=name) for name, (make, code) in cases.items()]


@pytest.mark.parametrize(("make", "code"), errors())
def test_an_error_ends_the_connection(serve: Any, wire: Any, make: Any, code: int) -> None:
    served = serve(max_message_size=1000)
    peer = served.shake()
    peer.send(make(wire) + wire.frame(TEXT, b"not looked at"))
    opcode, data = peer.read()
    while opcode != CLOSE:
        assert (opcode, data) == (TEXT, b"a")
        opcode, data = peer.read()
    assert int.from_bytes(data[:2], "big") == code
    peer.assert_end()
    served.wait_for("closed", code)
    assert ("message", "not looked at") not in served.events
    peer.socket.close()
    served.wait_empty()


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
@pytest.mark.parametrize("reason", ["", "why not", "r" * 123, "warum \N{WHITE SMILING FACE}"])
def test_codes_with_which_a_client_may_close(serve: Any, wire: Any, code: int, reason: str) -> None:
    served = serve()
    peer = served.shake()
    peer.send(wire.close(code, reason))
    assert peer.read_close() == (code, reason)
    served.wait_for("closed", code, reason)


def test_a_close_without_a_code(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    peer.send(wire.close())
    assert peer.read_close() == (None, "")
    served.wait_for("closed", 1005, "")


def test_nothing_counts_after_a_close(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    peer.send(
        wire.frame(TEXT, b"before")
        + wire.close(1000)
        + wire.frame(TEXT, b"after")
        + wire.frame(PING, b"after")
        + wire.close(1001)
    )
    assert peer.read() == (TEXT, b"before")
    assert peer.read_close() == (1000, "")
    served.wait_for("closed", 1000)
    assert served.events == [("open",), ("message", "before"), ("closed", 1000, "")]


# ---- 5: fragments ----------------------------------------------------------------------------


def test_a_message_in_pieces(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    for opcode in (TEXT, BINARY):
        peer.send(wire.frame(opcode, b"frag", fin=False))
        peer.send(wire.frame(CONT, b"", fin=False) + wire.frame(CONT, b"me", fin=False))
        peer.send(wire.frame(CONT, b"nt"))
        assert peer.read() == (opcode, b"fragment")


def test_a_message_of_empty_pieces(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(wire.frame(TEXT, fin=False) + wire.frame(CONT, fin=False) + wire.frame(CONT))
    assert peer.read() == (TEXT, b"")


def test_pings_between_pieces(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(wire.frame(TEXT, b"a", fin=False) + wire.frame(PING, b"1"))
    peer.send(wire.frame(CONT, b"b", fin=False) + wire.frame(PONG, b"x") + wire.frame(PING, b"2"))
    peer.send(wire.frame(CONT, b"c"))
    assert [peer.read() for _ in range(3)] == [(PONG, b"1"), (PONG, b"2"), (TEXT, b"abc")]


def test_a_close_between_pieces(serve: Any, wire: Any) -> None:
    served = serve()
    peer = served.shake()
    peer.send(wire.frame(TEXT, b"a", fin=False) + wire.close(1000) + wire.frame(CONT, b"b"))
    assert peer.read_close() == (1000, "")
    served.wait_for("closed", 1000)


def test_pieces_up_to_the_limit(serve: Any, wire: Any) -> None:
    peer = serve(max_message_size=1000).shake()
    for _ in range(2):
        peer.send(wire.frame(BINARY, b"a" * 600, fin=False) + wire.frame(CONT, b"b" * 400))
        assert peer.read() == (BINARY, b"a" * 600 + b"b" * 400)


# ---- 6: UTF-8 --------------------------------------------------------------------------------

VALID = [
    "ce ba e1 bd b9 cf 83 ce bc ce b5",
    "00", "c2 80", "e0 a0 80", "f0 90 80 80", "7f", "df bf", "ef bf bf", "f4 8f bf bf",
    "ed 9f bf", "ee 80 80", "ef bf bd", "f0 9f bf be", "f0 9f bf bf", "f0 af bf be",
    "f3 af bf bf", "f4 8f bf be", "ef bf be", "ef bb bf", "f0 9f 98 80 f0 9f 98 81",
]  # fmt: skip
INVALID = [
    "ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64",
    "ce ba e1 bd b9 cf 83 ce bc ce b5 f4 90 80 80 65 64 69 74 65 64",
    # Above the last character, and the lengths that there once were.
    "f4 90 80 80", "f7 bf bf bf", "f8 88 80 80 80", "fb bf bf bf bf", "fc 84 80 80 80 80",
    "fd bf bf bf bf bf", "f5 80 80 80",
    # Continuations of nothing.
    "80", "bf", "80 bf", "80 bf 80", "80 bf 80 bf", "80 bf 80 bf 80", "80 bf 80 bf 80 bf",
    # Beginnings of nothing, and of too little.
    "c0 20 c1 20 c2 20", "e0 20 e1 20 ef 20", "f0 20 f1 20 f4 20", "f8 20 f9 20", "fc 20 fd 20",
    "c2", "e0 a0", "e1 80", "f0 90 80", "f4 8f bf", "df", "ef bf", "e0 80", "f0 80 80", "f7 bf bf",
    "c2 e0 a0 f0 90 80",
    # Bytes that stand nowhere.
    "fe", "ff", "fe fe ff ff",
    # Longer than needed.
    "c0 af", "e0 80 af", "f0 80 80 af", "f8 80 80 80 af", "fc 80 80 80 80 af", "c1 bf",
    "e0 9f bf", "f0 8f bf bf", "f8 87 bf bf bf", "fc 83 bf bf bf bf", "c0 80", "e0 80 80",
    "f0 80 80 80", "f8 80 80 80 80", "fc 80 80 80 80 80",
    # Halves of a surrogate pair, and both.
    "ed a0 80", "ed ad bf", "ed ae 80", "ed af bf", "ed b0 80", "ed be 80", "ed bf bf",
    "ed a0 80 ed b0 80", "ed a0 80 ed bf bf", "ed ad bf ed b0 80", "ed ad bf ed bf bf",
    "ed ae 80 ed b0 80", "ed ae 80 ed bf bf", "ed af bf ed b0 80", "ed af bf ed bf bf",
]  # fmt: skip


def in_pieces(wire: Any, data: bytes) -> bytes:
    """A text message, each byte of which is a frame."""
    frames = [wire.frame(CONT, data[n : n + 1], fin=n == len(data) - 1) for n in range(len(data))]
    return wire.frame(TEXT, fin=False) + b"".join(frames)


@pytest.mark.parametrize("data", VALID)
def test_valid_text(serve: Any, wire: Any, data: str) -> None:
    served = serve()
    peer = served.shake()
    text = bytes.fromhex(data)
    peer.send(wire.frame(TEXT, text) + in_pieces(wire, text))
    assert peer.read() == peer.read() == (TEXT, text)
    assert served.events[-1] == ("message", text.decode())


@pytest.mark.parametrize("data", INVALID)
@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "pieces"])
def test_invalid_text(serve: Any, wire: Any, data: str, pieces: bool) -> None:
    served = serve()
    peer = served.shake()
    text = bytes.fromhex(data)
    peer.send(in_pieces(wire, text) if pieces else wire.frame(TEXT, text))
    assert peer.read_close()[0] == 1007
    served.wait_for("closed", 1007)


def test_invalid_text_fails_with_the_piece_in_which_it_stands(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(wire.frame(TEXT, bytes.fromhex("ce ba f4"), fin=False))
    peer.send(wire.frame(CONT, bytes.fromhex("90"), fin=False))
    assert peer.read_close()[0] == 1007  # and the message has no end yet


def test_bytes_may_be_anything(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(wire.frame(BINARY, bytes(range(256))))
    assert peer.read() == (BINARY, bytes(range(256)))


def test_what_is_wrong_first_counts(serve: Any, wire: Any) -> None:
    peer = serve().shake()
    peer.send(wire.frame(TEXT, b"fine") + wire.frame(TEXT, b"\xff") + wire.close(1000))
    assert peer.read() == (TEXT, b"fine")
    assert peer.read_close()[0] == 1007


# ---- however the bytes are cut ---------------------------------------------------------------


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_cuts_make_no_difference(echoing: Any, wire: Any, cuts: list[int]) -> None:
    stream = (
        wire.frame(TEXT, "grüß".encode(), fin=False)
        + wire.frame(PING, b"p" * 20)
        + wire.frame(CONT, b"!" * 150)
        + wire.frame(BINARY, b"\0\xff")
        + wire.close(4000, "end")
    )
    peer = echoing.shake()
    with peer:
        places = sorted({min(cut, len(stream)) for cut in cuts})
        for start, end in zip([0, *places], [*places, len(stream)], strict=True):
            if start != end:
                peer.send(stream[start:end])
        assert peer.read() == (PONG, b"p" * 20)
        assert peer.read() == (TEXT, "grüß".encode() + b"!" * 150)
        assert peer.read() == (BINARY, b"\0\xff")
        assert peer.read_close() == (4000, "end")


@pytest.fixture
def echoing(serve: Any) -> Any:
    return serve()
