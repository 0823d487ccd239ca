"""permessage-deflate (RFC 7692), with the library's client and with bytes of our own."""

import os
import zlib
from typing import Any

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

CONT, TEXT, BINARY, CLOSE = 0, 1, 2, 8
COMPRESSED = 4  # the first of the three reserved bits
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


def deflate(data: bytes, bits: int = 15) -> bytes:
    encoder = zlib.compressobj(wbits=-bits)
    return (encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data: bytes, bits: int = 15) -> bytes:
    return zlib.decompressobj(wbits=-bits).decompress(data + b"\0\0\xff\xff")


@pytest.mark.parametrize("server_keeps", [True, False])
@pytest.mark.parametrize("client", [{}, {"server_no_context_takeover": True}, {
    "client_no_context_takeover": True}, {"server_max_window_bits": 9}, {
    "client_max_window_bits": 9, "server_max_window_bits": 10}], ids=str)  # fmt: skip
def test_what_can_be_agreed_upon(serve: Any, server_keeps: bool, client: dict[str, Any]) -> None:
    served = serve(context_takeover=server_keeps, compress_from=1)
    factory = ClientPerMessageDeflateFactory(**client)
    address = f"ws://{served.server.address}/"
    with connect(address, compression=None, extensions=[factory]) as peer:
        assert peer.protocol.extensions
        for number in range(50):
            for message in (f"again and again {number} " * 9, os.urandom(1000), "x", b""):
                peer.send(message)
                assert peer.recv() == message
    assert served.websockets[0].compressed


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ([], None),
        (["x-unknown"], None),
        (["permessage-deflate; server_max_window_bits=99"], None),
        (["permessage-deflate; what=ever"], None),
        (["permessage-deflate; what=ever, permessage-deflate"], "permessage-deflate"),
        (["x-unknown", "permessage-deflate; server_max_window_bits=9"], "permessage-deflate"),
    ],
)
def test_offers_are_taken_or_left(serve: Any, offers: list[str], answer: str | None) -> None:
    peer = serve().shake("/", *(f"Sec-WebSocket-Extensions: {offer}" for offer in offers))
    field = peer.field("Sec-WebSocket-Extensions")
    assert field is answer is None or field.startswith(str(answer))


def test_compression_can_be_left_off(serve: Any) -> None:
    served = serve(compression=False)
    assert served.shake("/", OFFER).field("Sec-WebSocket-Extensions") is None
    assert not served.websockets[0].compressed


def test_short_messages_are_sent_as_they_are(serve: Any, wire: Any) -> None:
    peer = serve(compress_from=100).shake("/", OFFER)
    for size, rsv in ((99, 0), (100, COMPRESSED)):
        peer.send(wire.frame(TEXT, b"a" * size))
        opcode, data = peer.read()
        assert (opcode, peer.rsv) == (TEXT, rsv)
        assert (inflate(data) if rsv else data) == b"a" * size


def test_a_compressed_message_in_pieces(serve: Any, wire: Any) -> None:
    peer = serve(compress_from=10_000).shake("/", OFFER)
    data = deflate(b"compressed as a whole, sent in pieces")
    peer.send(wire.frame(TEXT, data[:5], fin=False, rsv=COMPRESSED))
    peer.send(wire.frame(9, b"ping") + wire.frame(CONT, data[5:9], fin=False))
    peer.send(wire.frame(CONT, data[9:]))
    assert peer.read() == (10, b"ping")
    assert peer.read() == (TEXT, b"compressed as a whole, sent in pieces")


def test_compressed_and_plain_messages_in_turn(serve: Any, wire: Any) -> None:
    peer = serve(compress_from=10_000).shake("/", OFFER)
    peer.send(
        wire.frame(TEXT, deflate(b"one"), rsv=COMPRESSED)
        + wire.frame(TEXT, b"two")
        + wire.frame(BINARY, deflate(b"three"), rsv=COMPRESSED)
    )
    assert [peer.read()[1] for _ in range(3)] == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    ("data", "rsv", "code"),
    [
        (b"\xff\xff\xff\xff", COMPRESSED, 1002),
        (deflate(b"a")[:-1] + b"\x07", COMPRESSED, 1002),
        (b"a", 2, 1002),
        (b"a", 1, 1002),
        (deflate(b"\xff"), COMPRESSED, 1007),
        (deflate(b"b" * 100_000), COMPRESSED, 1009),
    ],
    ids=["no deflate", "cut", "second bit", "third bit", "no UTF-8", "too long"],
)
def test_errors(serve: Any, wire: Any, data: bytes, rsv: int, code: int) -> None:
    served = serve(max_message_size=1000)
    peer = served.shake("/", OFFER)
    peer.send(wire.frame(TEXT, data, rsv=rsv))
    assert peer.read_close()[0] == code
    served.wait_for("closed", code)


def test_a_bit_that_only_the_first_piece_has(serve: Any, wire: Any) -> None:
    peer = serve().shake("/", OFFER)
    data = deflate(b"whole")
    peer.send(wire.frame(TEXT, data[:3], fin=False, rsv=COMPRESSED))
    peer.send(wire.frame(CONT, data[3:], rsv=COMPRESSED))
    assert peer.read_close()[0] == 1002


def test_a_message_that_grows_without_measure(serve: Any, wire: Any) -> None:
    served = serve(max_message_size=1 << 20)
    peer = served.shake("/", OFFER)
    bomb = deflate(b"\0" * (256 << 20))
    assert len(bomb) < 1 << 20
    half = len(bomb) // 2
    peer.send(wire.frame(BINARY, bomb[:half], fin=False, rsv=COMPRESSED))
    assert peer.read_close()[0] == 1009
    served.wait_for("closed", 1009)
