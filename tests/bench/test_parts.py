"""What every part promises, so that its report can be drawn."""

import pytest

from yolanda.bench.all_parts import PARTS
from yolanda.bench.part import Part
from yolanda.bench.results import PartResult

EACH = pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])


def test_names_are_those_of_one_part_each() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)


@EACH
def test_what_is_shown_names_figures_and_contenders_that_there_are(part: Part) -> None:
    figures = {figure.name for figure in part.figures}
    assert len(figures) == len(part.figures)
    asked = [
        *(name for table in part.tables for name in table.figures),
        *(plot.figure for plot in part.plots),
        *(target.figure for target in part.targets),
        *(headline.figure for headline in part.headlines),
    ]
    assert set(asked) <= figures
    named = [
        *(peer for table in part.tables for peer in table.peers),
        *(name for plot in part.plots for name in plot.contenders),
        *(name for target in part.targets for name in (target.ours, target.peer) if name),
        *(name for line in part.headlines for name in (line.ours, line.peer) if name),
    ]
    assert set(named) <= set(part.contenders)


@EACH
def test_it_says_what_it_asks_and_has_something_to_show(part: Part) -> None:
    assert part.title
    assert "?" in part.question
    assert part.contenders
    assert part.figures
    assert part.tables or part.plots
    assert part.headlines or not part.by_default, "the first page has a figure of each part"


@EACH
def test_findings_are_made_of_whatever_was_measured(part: Part) -> None:
    assert all(isinstance(finding, str) for finding in part.findings(PartResult(part.name)))
    given_up = PartResult(part.name)
    for contender in part.contenders:
        given_up.give_up(contender, {"connections": 1}, "it did not start")
    assert all(isinstance(finding, str) for finding in part.findings(given_up))
