"""reactor-with-workers: what the lab does not ask of it."""

import time

import pytest

from yolanda.labs.line_client import LineClient
from yolanda.labs.stage import Stage
from yolanda.programs.chapter28.reactor_with_workers import LONGEST, decode, encode


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (b"hello", (0, b"hello")),
        (b"250 hello you", (250, b"hello you")),
        (b"250", (250, b"")),
        (b"", (0, b"")),
        (b"99999 hello", (LONGEST, b"hello")),
        (b"123456789012 hello", (0, b"123456789012 hello")),
        (b"-5 hello", (0, b"-5 hello")),
        ("² hello".encode(), (0, "² hello".encode())),
    ],
)
def test_decodes(line: bytes, asked: tuple[int, bytes]) -> None:
    assert decode(line) == asked


def test_encodes() -> None:
    assert encode(b"uryyb") == b"uryyb\r\n"


@pytest.mark.parametrize("threads", ["0", "2"])
def test_answers_come_in_the_order_of_the_questions(stage: Stage, threads: str) -> None:
    server = stage.start("reactor-with-workers", "--port", "0", "--threads", threads)
    client = LineClient(stage, "client", server.port())
    for line in ("200 abc", "100 def", "0 ghi"):
        client.send(line)
    assert [client.answer() for _ in range(3)] == ["nop", "qrs", "tuv"]
    server.expect(r"send, " + ("main thread" if threads == "0" else "Thread-1"))


def test_a_line_that_does_not_end_costs_one_client_only(stage: Stage) -> None:
    server = stage.start("reactor-with-workers", "--port", "0")
    port = server.port()
    bad, good = stage.connect(port), LineClient(stage, "good", port)
    bad.sendall(b"a" * 5000)
    server.expect("a line does not end within the limit of 4096 bytes")
    assert good.ask("Grüße") == "Teüßr"


def test_ctrl_c_does_not_wait_for_what_is_being_computed(stage: Stage) -> None:
    server = stage.start("reactor-with-workers", "--port", "0")
    client = LineClient(stage, "client", server.port())
    client.send(f"{LONGEST} slow")
    server.expect("compute for")
    began = time.monotonic()
    server.interrupt()
    server.expect_exit(0)
    assert time.monotonic() - began < LONGEST / 1000 - 1
    assert not server.said("Traceback")
