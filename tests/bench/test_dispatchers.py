"""The part about dispatchers: it runs, gives up where it must, and says what its figures show."""

import resource
from pathlib import Path
from typing import Any

import pytest

from yolanda.bench import results
from yolanda.bench.part import Progress, Settings
from yolanda.bench.parts import dispatchers
from yolanda.bench.parts.dispatchers import CHANGES, KERNEL, LOOP, PART, TURNS
from yolanda.bench.probe import Probe
from yolanda.bench.results import PartResult
from yolanda.bench.watching import RESERVE


def measured(progress: Progress, only: tuple[str, ...] = (), rounds: int = 1) -> PartResult:
    result = PartResult(PART.name)
    settings = Settings(short=True, rounds=rounds, seconds=0.002, only=only)
    PART.measure(settings, progress, result)
    return result


def test_every_contender_is_measured_and_select_gives_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: Any
) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2_000 + RESERVE:
        pytest.skip("this process may not have as many descriptors")
    monkeypatch.setattr(dispatchers, "WATCHED", (10, 2_000))
    result = measured(progress, rounds=2)
    assert len(progress.steps) == progress.expected
    assert result.contenders() == list(PART.contenders)
    for point in result.points:
        gives_up = point.contender == "select" and point.at["watched"] == 2_000
        assert len(point.rounds) == (1 if gives_up else 2)
        assert bool(point.failure) == gives_up, point
        assert bool(point.samples) != gives_up, point
        for sample in point.samples:
            names = {figure.name for figure in PART.figures}
            assert set(sample) <= names
            # What is done to a set costs less than to look at the clock, so it may be lost in that.
            assert sample["add"] >= 0 if point.at["what"] == CHANGES else sample["whole"] > 0
    given_up = result.find("select", {"what": TURNS, "level": LOOP, "watched": 2_000})
    assert given_up is not None
    assert "FD_SETSIZE is 1024" in given_up.failure
    said = "\n".join(PART.findings(result))
    assert "select gives up at 2,000 descriptors" in said
    assert "poll: one event costs" in said
    assert results.load(results.save(result, tmp_path)) == result


def test_only_those_asked_for_are_measured_among_as_many_as_can_be(
    monkeypatch: pytest.MonkeyPatch, progress: Any
) -> None:
    monkeypatch.setattr(dispatchers, "WATCHED", (10, 10**9))
    result = measured(progress, only=("epoll",))
    assert result.contenders() == ["epoll"]
    few, most = sorted(result.values("watched"), key=float)
    assert few == 10
    assert 10 < float(most) < 10**9
    assert result.notes == progress.notes
    assert f"no more than {most:,} descriptors" in result.notes[0]


@pytest.mark.parametrize("level", ["kernel", "yolanda"])
@pytest.mark.parametrize("interface", ["poll", "epoll", "epoll-et"])
def test_a_turn_ends_when_all_active_ones_were_read(level: str, interface: str) -> None:
    with Probe("yolanda.bench.watching") as probe:
        if probe.ask("limit")["descriptors"] < 1_500:
            pytest.skip("this process may not have as many descriptors")
        at = {"level": level, "interface": interface, "watched": 1_500, "seconds": 0.001}
        answer = probe.ask("turns", **at, active=1_500)
        # poll tells of all at once; epoll of 1,023, for which Python makes room.
        assert answer["waits"] == (1 if interface == "poll" else 2)
        assert probe.ask("turns", **at, active=3)["waits"] == 1
        changes = probe.ask("changes", **at)
        assert set(changes) == {"add", "update", "remove"}


def made_up(events: dict[tuple[str, str, int, int], list[float]]) -> PartResult:
    """A result with these events' costs: contender, level, watched, active."""
    result = PartResult(PART.name)
    for (name, level, watched, active), costs in events.items():
        at = {"what": TURNS, "level": level, "watched": watched, "active": active}
        for cost in costs:
            result.add(name, at, {"event": cost, "whole": cost})
    return result


def test_findings_judge_the_growth() -> None:
    grows = {
        ("poll", KERNEL, 10, 1): [1e-6, 2e-6],
        ("poll", KERNEL, 10_000, 1): [1e-3, 2e-3],
        ("epoll", KERNEL, 10, 1): [1e-6, 1e-6],
        ("epoll", KERNEL, 10_000, 1): [1.1e-6, 1.3e-6],
    }
    said = PART.findings(made_up(grows))
    said = [text.replace("\N{NO-BREAK SPACE}", " ") for text in said]
    assert "poll: one event costs 1.50 µs among 10 descriptors and 1,500 µs among 10,000." in said
    assert any("grows 1,000 × with poll and 1.20 × with epoll" in text for text in said)
    assert any("The picture of chapter 23 is what these figures show" in text for text in said)
    grows["poll", KERNEL, 10_000, 1] = [2e-6, 2e-6]
    said = PART.findings(made_up(grows))
    assert any("The picture of chapter 23 is not what these figures show" in text for text in said)


def test_findings_tell_where_poll_is_cheaper() -> None:
    shares = {
        ("poll", KERNEL, 1_000, 1): [1e-4],
        ("epoll", KERNEL, 1_000, 1): [1e-6],
        ("poll", KERNEL, 1_000, 1_000): [5e-7],
        ("epoll", KERNEL, 1_000, 1_000): [1e-6],
    }
    said = PART.findings(made_up(shares))
    assert any("With 1,000 of 1,000 active" in text and "0.50" in text for text in said)
    shares["poll", KERNEL, 1_000, 1_000] = [2e-6]
    said = PART.findings(made_up(shares))
    assert "Of 1,000 descriptors, poll is cheaper at no share of active ones." in said


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        ([0.8e-6, 0.9e-6, 0.8e-6], "it is the cheaper one"),
        ([1.2e-6, 1.3e-6, 1.2e-6], "it is the dearer one"),
        ([0.9e-6, 1.1e-6, 1e-6], "no difference that the rounds agree on"),
        ([0.8e-6, 0.9e-6], "too few rounds to say more"),
    ],
)
def test_findings_judge_edges_only_if_the_rounds_agree(edge: list[float], words: str) -> None:
    level = [1e-6] * len(edge)
    said = PART.findings(
        made_up({("epoll", KERNEL, 1_000, 1): level, ("epoll-et", KERNEL, 1_000, 1): edge})
    )
    assert any(text.startswith("Edge-triggered") and words in text for text in said)


def test_findings_tell_what_the_loop_adds() -> None:
    said = PART.findings(
        made_up(
            {
                ("epoll", KERNEL, 1_000, 1): [1e-6, 2e-6],
                ("epoll", LOOP, 1_000, 1): [1.5e-6, 2.5e-6],
            }
        )
    )
    assert any("Yolanda's loop adds" in text and "0.50" in text for text in said)
