"""The part about sockets: it runs, and says what its figures show."""

from pathlib import Path
from typing import Any

import pytest

from yolanda.bench import results
from yolanda.bench.part import Progress, Settings
from yolanda.bench.parts import sockets
from yolanda.bench.parts.sockets import BUFFERS, FILE, PART, PIECES, PING_PONG, SMALL, STREAM, TUNED
from yolanda.bench.results import PartResult


def measured(progress: Progress, only: tuple[str, ...] = (), rounds: int = 1) -> PartResult:
    result = PartResult(PART.name)
    settings = Settings(short=True, rounds=rounds, seconds=0.01, only=only)
    PART.measure(settings, progress, result)
    return result


def test_everything_is_measured_in_its_short_form(tmp_path: Path, progress: Any) -> None:
    result = measured(progress)
    assert len(progress.steps) == progress.expected == len(result.points)
    assert set(result.contenders()) == set(PART.contenders)
    assert set(result.values("what")) == {SMALL, PIECES, BUFFERS, TUNED, PING_PONG, STREAM, FILE}
    names = {figure.name for figure in PART.figures}
    for point in result.points:
        assert not point.failure, point
        (sample,) = point.samples
        assert set(sample) - names == {results.SERVER_WAITING}
        asked, one_way = {"latency", "client_cpu", "server_cpu"}, {"throughput", "sender_cpu"}
        wanted = asked if point.at["what"] in (SMALL, PIECES, PING_PONG) else one_way
        assert all(sample[name] > 0 for name in wanted), point
    said = "\n".join(PART.findings(result))
    for words in ("two small writes", "TCP carries", "at a time", "local stream", "with sendfile"):
        assert words in said
    assert results.load(results.save(result, tmp_path)) == result


def test_what_a_write_is_made_of_shows_in_the_packets(progress: Any) -> None:
    result = measured(progress, only=(sockets.AT_ONCE, sockets.WRITEV, sockets.JOINED))
    packets = {point.contender: point.samples[0]["packets"] for point in result.at({"what": SMALL})}
    # On a loaded machine the kernel may send one again, whose acknowledgement is late.
    assert packets.pop(sockets.AT_ONCE) >= 2
    assert set(packets) == {sockets.WRITEV, sockets.JOINED}
    assert all(1 <= count < 2 for count in packets.values())


def test_streams_and_local_datagrams_lose_nothing(progress: Any) -> None:
    kept = ("TCP", "local stream", "local datagram")
    result = measured(progress, only=kept)
    lost = {point.contender: point.samples[0]["lost"] for point in result.at({"what": STREAM})}
    assert lost == dict.fromkeys(kept, 0.0)


def test_who_cannot_be_measured_gives_up_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, progress: Any
) -> None:
    monkeypatch.setattr(sockets, "MESSAGE_SIZES", (64, 1 << 17))  # more than UDP can carry
    result = measured(progress, only=("UDP", "local stream"), rounds=2)
    failed = result.find("UDP", {"what": STREAM, "size": 1 << 17})
    assert failed is not None
    assert failed.failure.startswith("EMSGSIZE: ")
    assert failed.rounds == [None, None]
    after = result.find("local stream", {"what": STREAM, "size": 1 << 17})
    assert after is not None
    assert len(after.samples) == 2


def made_up(figure: str, values: dict[str, list[float]], **at: str | int) -> PartResult:
    result = PartResult(PART.name)
    for name, costs in values.items():
        for cost in costs:
            result.add(name, at, {figure: cost})
    return result


def test_findings_judge_nagle() -> None:
    values = {sockets.DELAYED: [0.04, 0.05], sockets.AT_ONCE: [4e-5, 5e-5]}
    said = PART.findings(made_up("latency", values, what=SMALL))
    assert any("as chapter 13 says, is seen" in text and "1,000" in text for text in said)
    values[sockets.DELAYED] = [5e-5, 5e-5]
    said = PART.findings(made_up("latency", values, what=SMALL))
    assert any("as chapter 13 says, is not seen" in text for text in said)


def test_findings_tell_from_where_on_buffers_are_large_enough() -> None:
    result = PartResult(PART.name)
    for size, rate in ((4096, 1e7), (65536, 9.5e8), (1 << 20, 1e9), (1 << 22, 8e8)):
        at = {"what": BUFFERS, "buffer_size": size, "read_size": 1 << 18}
        result.add("TCP", at, {"throughput": rate})
    (said,) = PART.findings(result)
    assert "nine tenths of the most that any has, 954 MiB/s, need 64 KiB" in said.replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_findings_judge_local_sockets() -> None:
    values = {"TCP": [1e-5, 1e-5], "local stream": [5e-6, 6e-6]}
    said = PART.findings(made_up("client_cpu", values, what=PING_PONG))
    assert any("0.55" in text and "far less" in text for text in said)


def test_findings_tell_what_udp_loses() -> None:
    said = PART.findings(made_up("lost", {"UDP": [0.4, 0.5]}, what=STREAM, size=64))
    assert any("45% of 64" in text for text in said)
