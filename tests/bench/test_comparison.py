from collections.abc import Callable

import pytest

from yolanda.bench.part import Part
from yolanda.bench.report.build import build
from yolanda.bench.report.comparison import compare
from yolanda.bench.report.html import to_html
from yolanda.bench.report.markdown import to_markdown
from yolanda.bench.results import PartResult
from yolanda.bench.run_folder import Run

Measured = Callable[..., PartResult]


def run_of(*results: PartResult, processor: str = "one") -> Run:
    return Run({"processor": processor}, "0.1.0", "2026-11-26T01:02:03", parts=list(results))


def test_the_same_figures_have_not_moved(part: Part, measured: Measured) -> None:
    comparison = compare(run_of(measured()), run_of(measured()), [part])
    (moves,) = comparison.parts
    assert len(moves.moves) == 16  # eight points with two figures
    assert moves.moved == []
    assert "0 of 16 figures moved" in comparison.summary()[0]


def test_a_figure_has_moved_if_its_rounds_do_not_overlap(part: Part, measured: Measured) -> None:
    comparison = compare(run_of(measured()), run_of(measured(1.1)), [part])
    (moves,) = comparison.parts
    assert {move.figure.name for move in moves.moved} == {"cpu"}
    assert all(move.change == pytest.approx(0.1) and not move.better for move in moves.moved)
    # Of the 20 ways to deal six values out to two runs, two keep them apart.
    assert moves.by_chance == pytest.approx(16 / 10)
    figure, ours, others = moves.medians()[0]
    assert (figure.name, ours, others) == ("cpu", pytest.approx(0.1), pytest.approx(0.1))


def test_a_change_within_the_spread_is_noise(part: Part, measured: Measured) -> None:
    comparison = compare(run_of(measured()), run_of(measured(1.01)), [part])
    assert comparison.parts[0].moved == []


def test_one_round_cannot_tell_noise_from_a_change(part: Part, measured: Measured) -> None:
    old, new = measured(), measured(2)
    for result in (old, new):
        for point in result.points:
            del point.rounds[1:]
    comparison = compare(run_of(old), run_of(new), [part])
    assert comparison.parts[0].moved == []
    assert "no spread" in comparison.summary()[0]


def test_what_is_in_one_run_alone_and_other_processors_are_named(
    part: Part, measured: Measured
) -> None:
    comparison = compare(run_of(), run_of(measured(), processor="two"), [part])
    assert comparison.remarks == [
        "The two were measured on different processors.",
        "A fake <part>: measured in the new run only.",
    ]
    assert comparison.summary() == ["The two runs have no figure in common."]


def test_the_report_shows_what_moved(part: Part, measured: Measured) -> None:
    new = run_of(measured(0.5))
    document = build(new, [part])
    document.comparison = compare(run_of(measured()), new, [part])
    for text in (to_html(document, {}), to_markdown(document, {})):
        assert "What moved" in text
        assert "−50.0%" in text
        assert "better" in text
