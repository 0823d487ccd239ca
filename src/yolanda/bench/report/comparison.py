"""What moved between two runs, and what of it is more than noise.

A figure has **moved** if its rounds in the two runs do not overlap at all.  That happens by chance
too: how often, is computed and said, so that a few among hundreds are not taken for news.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from yolanda.bench.part import Figure, Part
from yolanda.bench.report.numbers import value_text
from yolanda.bench.report.pictures import is_ours
from yolanda.bench.report.places import place_text
from yolanda.bench.results import PartResult, Point, Spread, spread
from yolanda.bench.run_folder import Run


@dataclass(frozen=True)
class Move:
    """A figure in two runs.

    - ``change``: of the median, as a share of the old one: 0.1 is a tenth more.
    - ``moved``: the rounds of the two do not overlap; None if there was but one round to tell by.
    - ``by_chance``: how probable that is for rounds that differ in nothing.
    """

    contender: str
    place: str
    figure: Figure
    old: Spread
    new: Spread
    change: float
    moved: bool | None
    by_chance: float

    @property
    def better(self) -> bool:
        """Whether the figure is better than it was."""
        return (self.change < 0) == self.figure.less_is_better

    @property
    def words(self) -> str:
        """The two medians."""
        old, new = (value_text(self.figure, run.median) for run in (self.old, self.new))
        return f"{old} → {new}"


@dataclass(frozen=True)
class PartMoves:
    """How the figures of a part moved."""

    title: str
    moves: list[Move]

    @property
    def moved(self) -> list[Move]:
        """Those that moved, the farthest first."""
        found = [move for move in self.moves if move.moved]
        return sorted(found, key=lambda move: -abs(math.log1p(move.change)))

    @property
    def by_chance(self) -> float:
        """How many would have moved if nothing but chance had moved them."""
        return sum(move.by_chance for move in self.moves if move.moved is not None)

    def medians(self) -> list[tuple[Figure, float | None, float | None]]:
        """Return the median change of each figure: of Yolanda's, and of the others meanwhile."""
        found = []
        for figure in dict.fromkeys(move.figure for move in self.moves):
            ours, others = (
                [
                    move.change
                    for move in self.moves
                    if move.figure == figure and is_ours(move.contender) is whose
                ]
                for whose in (True, False)
            )
            found.append((figure, _median(ours), _median(others)))
        return found


@dataclass
class Comparison:
    """Two runs side by side; ``remarks``: what was measured in one of them alone."""

    old: Run
    new: Run
    parts: list[PartMoves] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Say how much moved."""
        moves = [move for part in self.parts for move in part.moves]
        judged = [move for move in moves if move.moved is not None]
        if not moves:
            return ["The two runs have no figure in common."]
        if not judged:
            return [
                f"{len(moves)} figures in both runs, with one round each: there is no spread by "
                "which noise could be told from a change."
            ]
        moved = sum(bool(move.moved) for move in judged)
        chance = sum(part.by_chance for part in self.parts)
        typical = statistics.median(abs(move.change) for move in moves)
        return [
            f"{moved} of {len(judged)} figures moved beyond the spread of their rounds; by chance "
            f"alone it would be about {chance:.0f}. The median figure differs by {typical:.1%}."
        ]


def compare(old: Run, new: Run, parts: Iterable[Part]) -> Comparison:
    """Compare two runs, figure by figure."""
    comparison = Comparison(old, new)
    before = {result.part: result for result in old.parts}
    after = {result.part: result for result in new.parts}
    if old.machine.get("processor") != new.machine.get("processor"):
        comparison.remarks.append("The two were measured on different processors.")
    if old.short or new.short:
        comparison.remarks.append("A short form is among the two: no figure of it is to be judged.")
    for part in parts:
        if part.name in before and part.name in after:
            moves = _moves(part, before[part.name], after[part.name])
            comparison.parts.append(PartMoves(part.title, moves))
        elif part.name in before:
            comparison.remarks.append(f"{part.title}: measured in the old run only.")
        elif part.name in after:
            comparison.remarks.append(f"{part.title}: measured in the new run only.")
    return comparison


def _moves(part: Part, before: PartResult, after: PartResult) -> list[Move]:
    moves = []
    for point in after.points:
        same = (old for old in before.points if old.at == point.at)
        old = next((old for old in same if old.contender == point.contender), None)
        for figure in part.figures:
            move = _move(part, after, figure, old, point)
            if move is not None:
                moves.append(move)
    return moves


def _move(
    part: Part, result: PartResult, figure: Figure, old: Point | None, new: Point
) -> Move | None:
    before, after = spread(old, figure.name), spread(new, figure.name)
    if before is None or after is None or before.median <= 0:
        return None
    change = after.median / before.median - 1
    apart = after.least > before.most or after.most < before.least
    several = before.rounds > 1 and after.rounds > 1
    return Move(
        new.contender,
        place_text(part, result, new),
        figure,
        before,
        after,
        change,
        apart if several else None,
        # Of all ways to deal the values out to the two runs, two keep them apart.
        2 / math.comb(before.rounds + after.rounds, before.rounds),
    )


def _median(changes: list[float]) -> float | None:
    return statistics.median(changes) if changes else None
