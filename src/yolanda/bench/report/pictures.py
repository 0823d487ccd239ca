"""What is in a picture or a table: points of a result, by two of the things they differ in.

A point differs from others in its contender and in its conditions.  A plot or a table shows two of
these; where the points differ in more, there is one picture or table for each value of the rest.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from yolanda.bench.part import Figure, Part, Plot, Where
from yolanda.bench.report.numbers import condition_text, listed
from yolanda.bench.results import Condition, PartResult, Point, Spread, spread

CONTENDER = "contender"


@dataclass(frozen=True)
class Dot:
    """A figure at one place of a picture, or why there is none."""

    x: Condition
    text: str
    """How ``x`` is written, with what it is."""
    spread: Spread | None
    failure: str = ""


@dataclass(frozen=True)
class Series:
    """What has one colour.

    - ``number``: tells it from others; the same in every picture of a part.
    - ``ours``: it is Yolanda's own.
    """

    name: str
    number: int
    ours: bool
    dots: list[Dot]


@dataclass(frozen=True)
class Picture:
    """What is drawn of a plot; ``name`` is that of its file."""

    name: str
    title: str
    plot: Plot
    figure: Figure
    x_title: str
    series: list[Series]

    @property
    def failures(self) -> list[str]:
        """Sentences that say who gave up where, and why."""
        said: dict[tuple[str, str], list[str]] = {}
        for series in self.series:
            for dot in series.dots:
                if dot.failure:
                    names = [series.name, dot.text]
                    who, at = names if self.plot.x != CONTENDER else reversed(names)
                    said.setdefault((who, dot.failure), []).append(at)
        return [
            f"{who}{f' at {listed(places)}' if any(places) else ''}: {reason}"
            for (who, reason), places in said.items()
        ]


def is_ours(contender: str) -> bool:
    """Tell whether a contender is Yolanda."""
    return contender.startswith("yolanda")


def value_of(point: Point, name: str) -> Condition | None:
    """Return the contender, or the value of a condition; None where it has no such condition."""
    return point.contender if name == CONTENDER else point.at.get(name)


def values(points: list[Point], name: str) -> list[Condition]:
    """Return what the points have of it; numbers in their order, names as they were measured."""
    found = {value_of(point, name): None for point in points}
    known = [value for value in found if value is not None]
    if all(not isinstance(value, str) for value in known):
        known.sort(key=float)
    return known


def facets(
    result: PartResult, figures: tuple[str, ...], shown: tuple[str, ...], where: Where
) -> Iterator[tuple[dict[str, Condition], list[Point]]]:
    """Divide points so that in each division they differ in nothing but what is ``shown``.

    Only points that have one of the figures, or gave up; divisions in which no point has a figure
    are left out.
    """
    points = [
        point
        for point in result.at(where)
        if point.failure or any(name in sample for sample in point.samples for name in figures)
    ]
    names = dict.fromkeys([CONTENDER, *(name for point in points for name in point.at)])
    rest = [name for name in names if name not in shown and len(values(points, name)) > 1]
    for combination in itertools.product(*(values(points, name) for name in rest)):
        facet = dict(zip(rest, combination, strict=True))
        inside = [
            point
            for point in points
            if all(value_of(point, name) in (value, None) for name, value in facet.items())
        ]
        if any(spread(point, name) for point in inside for name in figures):
            yield facet, inside


def facet_text(part: Part, facet: dict[str, Condition]) -> str:
    """Write what a division has in common: ``, 64 B, 1,000 connections``."""
    return "".join(f", {labelled(part, name, value)}" for name, value in facet.items())


def labelled(part: Part, name: str, value: Condition) -> str:
    """Write the value of a condition with what it is called."""
    text = condition_text(name, value)
    if isinstance(value, str) or name == "size" or name.endswith("_size"):
        return text
    title = condition_title(part, name)
    return f"{text} {title.removesuffix('s') if value == 1 else title}"


def condition_title(part: Part, name: str) -> str:
    """Return what a condition is called."""
    return part.conditions.get(name, name.replace("_", " "))


def pictures(part: Part, result: PartResult) -> list[Picture]:
    """Return the pictures of a part for which there are figures."""
    drawn = []
    for number, plot in enumerate(part.plots, 1):
        chosen = [p for p in result.points if not plot.contenders or p.contender in plot.contenders]
        narrowed = PartResult(result.part, points=chosen)
        found = facets(narrowed, (plot.figure,), (plot.x, plot.series), plot.where)
        for facet_number, (facet, points) in enumerate(found):
            name = f"{part.name}-{number}{chr(ord('a') + facet_number) if facet else ''}"
            drawn.append(
                Picture(
                    name,
                    plot.title + facet_text(part, facet),
                    plot,
                    part.figure(plot.figure),
                    "" if plot.x == CONTENDER else condition_title(part, plot.x),
                    _series(part, plot, points, values(result.points, plot.series)),
                )
            )
    return drawn


def _series(part: Part, plot: Plot, points: list[Point], every: list[Condition]) -> list[Series]:
    by_value: dict[Condition, list[Dot]] = {}
    for value in values(points, plot.series):
        dots = by_value[value] = []
        mine = [point for point in points if value_of(point, plot.series) == value]
        for x in values(points, plot.x):
            point = next((point for point in mine if value_of(point, plot.x) == x), None)
            found = spread(point, plot.figure)
            if point is not None and (found or point.failure):
                text = labelled(part, plot.x, x)
                dots.append(Dot(x, text, found, "" if found else point.failure))
    if plot.series == plot.x == CONTENDER:  # bars: one series with all of them
        return [Series("", 0, False, [dot for dots in by_value.values() for dot in dots])]
    return [
        Series(
            str(value) if plot.series == CONTENDER else labelled(part, plot.series, value),
            every.index(value),
            plot.series == CONTENDER and is_ours(str(value)),
            dots,
        )
        for value, dots in by_value.items()
        if dots
    ]
