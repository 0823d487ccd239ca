"""Under which conditions something was so, in few words."""

import math

from yolanda.bench.part import Part, Where
from yolanda.bench.report.numbers import condition_text, listed
from yolanda.bench.report.pictures import labelled, values
from yolanda.bench.results import PartResult, Point

_PLACES_NAMED = 4
"""Conditions that are named one by one before the rest is only counted."""


def places_text(part: Part, result: PartResult, points: list[Point], every: list[Point]) -> str:
    """Write the conditions of some of the points of a contender, as shortly as can be."""
    if len(points) == len(every):
        return ""
    chosen = {name: values(points, name) for name in points[0].at}
    if math.prod(map(len, chosen.values())) == len(points):  # all combinations of these
        return ", ".join(
            listed(
                [
                    *(condition_text(name, value) for value in some[:-1]),
                    labelled(part, name, some[-1]),
                ]
            )
            for name, some in chosen.items()
            if len(some) < len(values(every, name))
        )
    rest = len(points) - _PLACES_NAMED
    if rest < 2:
        return listed([place_text(part, result, point) for point in points])
    named = [place_text(part, result, point) for point in points[:_PLACES_NAMED]]
    return listed([*named, f"{rest} other conditions"])


def place_text(part: Part, result: PartResult, point: Point) -> str:
    """Write the conditions of a point, as far as they are not the same everywhere."""
    varied = {name: value for name, value in point.at.items() if len(result.values(name)) > 1}
    return conditions_text(part, varied)


def conditions_text(part: Part, conditions: Where) -> str:
    """Write conditions; none of something, such as idle connections, need not be said."""
    return ", ".join(
        labelled(part, name, value) for name, value in conditions.items() if value != 0
    )
