"""What was measured: points, the rounds of each, and what can be said of them.

A **point** is one contender under one set of conditions.  In each round every contender is
measured once, so that a ratio of two contenders is taken round by round: what disturbs a round
disturbs both.  A part's result is kept as one JSON file; reports are drawn from those files alone.
"""

import dataclasses
import json
import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Sample = dict[str, float]
"""A figure's name to its value, in SI units: seconds, bytes, a second, counts, shares of one."""

Condition = str | int | float

SERVER_BUSY = "server_busy"
"""Share of the time in which the server ran.  Far from 1, the client was the limit."""
SERVER_WAITING = "server_waiting"
"""Share of the time in which the server was ready to run and another process had its core."""
CLIENT_CPU = "client_cpu"
"""Seconds of processor time of the client for each request or message."""
CLIENT_BUSY = "client_busy"
"""Share of the time in which the client ran."""
ERRORS = "errors"
"""Requests or messages that went wrong."""

DISTURBED = 0.03
"""A server that waited for its core for a larger share of the time was disturbed."""
SLOW = 0.93
"""A server that was busy for a smaller share of the time waited for the client."""


@dataclass
class Point:
    """One contender under one set of conditions.

    - ``contender``: its name.
    - ``at``: the conditions: ``{"connections": 1000, "size": 64}``.
    - ``rounds``: a sample for each round, None where it gave none.
    - ``failure``: why it gave up, in words, or nothing.
    """

    contender: str
    at: dict[str, Condition]
    rounds: list[Sample | None] = field(default_factory=list)
    failure: str = ""

    @property
    def samples(self) -> list[Sample]:
        """The rounds that gave a sample."""
        return [sample for sample in self.rounds if sample is not None]

    def is_at(self, where: Mapping[str, Condition]) -> bool:
        """Tell whether it was measured under all the conditions of ``where``."""
        return all(self.at.get(name) == value for name, value in where.items())


@dataclass
class PartResult:
    """What came of one part.  It is filled in while it is measured: see `add` and `give_up`.

    - ``part``: the part's name.
    - ``settings``: what it was measured with: rounds, seconds ...
    - ``versions``: of the contenders and tools.
    - ``notes``: what a reader has to know beside, in sentences.
    - ``started``: local time, ISO 8601; ``seconds``: how long it took.
    - ``missing``: what the system lacks, because of which nothing could be measured.
    - ``failure``: why it could not be measured to its end, for any other reason.
    """

    part: str
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    started: str = ""
    seconds: float = 0.0
    missing: str = ""
    failure: str = ""

    def add(self, contender: str, at: Mapping[str, Condition], sample: Sample | None) -> None:
        """Keep what a contender gave in one more round; None keeps the rounds of all in step."""
        self._point(contender, at).rounds.append(sample)

    def give_up(self, contender: str, at: Mapping[str, Condition], reason: str) -> None:
        """Keep why a contender gave no sample: ``"select takes no descriptor above 1023"``."""
        point = self._point(contender, at)
        point.rounds.append(None)
        point.failure = point.failure or reason

    def at(self, where: Mapping[str, Condition] | None = None) -> Iterator[Point]:
        """Go through the points that were measured under the conditions of ``where``."""
        return (point for point in self.points if point.is_at(where or {}))

    def find(self, contender: str, where: Mapping[str, Condition] | None = None) -> Point | None:
        """Return the first point of a contender under the conditions of ``where``."""
        return next((point for point in self.at(where) if point.contender == contender), None)

    def contenders(self) -> list[str]:
        """Return the contenders in the order in which they were first measured."""
        return list(dict.fromkeys(point.contender for point in self.points))

    def values(self, name: str) -> list[Condition]:
        """Return the values of a condition in the order in which they were first measured."""
        return list(dict.fromkeys(point.at[name] for point in self.points if name in point.at))

    def _point(self, contender: str, at: Mapping[str, Condition]) -> Point:
        conditions = dict(at)
        for point in self.points:
            if point.contender == contender and point.at == conditions:
                return point
        self.points.append(Point(contender, conditions))
        return self.points[-1]


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and between what they lay."""

    median: float
    least: float
    most: float
    rounds: int = 1

    @classmethod
    def of(cls, values: list[float]) -> "Spread | None":
        """Return the spread of ``values``, or None of none."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))


def spread(point: Point | None, figure: str) -> Spread | None:
    """Return the spread of a figure over the rounds, or None where there is no figure."""
    if point is None:
        return None
    return Spread.of([sample[figure] for sample in point.samples if figure in sample])


def ratio(ours: Point | None, theirs: Point | None, figure: str) -> Spread | None:
    """Return the ratio of two contenders' figures, taken round by round; None where there is none.

    Rounds in which one of the two was disturbed are left out, unless there is no other.
    """
    if ours is None or theirs is None:
        return None
    pairs = [
        (own, other)
        for own, other in zip(ours.rounds, theirs.rounds, strict=False)
        if own and other and figure in own and other.get(figure)
    ]
    quiet = [pair for pair in pairs if not any(map(is_disturbed, pair))]
    return Spread.of([own[figure] / other[figure] for own, other in quiet or pairs])


def is_disturbed(sample: Sample) -> bool:
    """Tell whether another process had the server's core for a part of the time that matters."""
    return sample.get(SERVER_WAITING, 0.0) > DISTURBED


def client_was_the_limit(point: Point | None) -> bool:
    """Tell whether the server slept in between, so that its rate says nothing about it."""
    busy, waiting = spread(point, SERVER_BUSY), spread(point, SERVER_WAITING)
    return busy is not None and busy.median + (waiting.median if waiting else 0.0) < SLOW


def save(result: PartResult, folder: Path) -> Path:
    """Write a result to ``folder``, as a whole or not at all, and return the file."""
    return save_json(dataclasses.asdict(result), folder / f"{result.part}.json")


def save_json(value: object, path: Path) -> Path:
    """Write ``value`` to a file, as a whole or not at all, and return the file."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(partial, path)
    return path


def load(path: Path) -> PartResult:
    """Read a result; raises `ValueError`, which names the file, if it is none."""
    try:
        fields = json.loads(path.read_text())
        points = [Point(**point) for point in fields.pop("points")]
        return PartResult(**fields, points=points)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: these are no results of yolanda bench: {error}") from error
