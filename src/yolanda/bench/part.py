"""What a part of `yolanda bench` is: what it measures, and what of that is shown.

A part is a module with a `Part` called ``PART``, which `parts.PARTS` lists.  How its results are
drawn and judged is told here as data; `yolanda.bench.report` draws it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from yolanda.bench.results import Condition, PartResult

Where = Mapping[str, Condition]
"""Conditions that a point must have: ``{"connections": 64}``."""


class Missing(Exception):
    """The system lacks what a part needs, as the text says; raised by a part's ``measure``."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for, a part's own defaults filled in.

    - ``short``: run a few seconds altogether, with fewer conditions: it need only be seen to work.
    - ``rounds``: how often each contender is measured, in turn.
    - ``seconds``: how long one measurement lasts.
    - ``only``: these contenders alone; nothing for all.
    - ``install``: tools such as nginx may be installed where the user may do that.
    """

    short: bool = False
    rounds: int = 5
    seconds: float = 3.0
    only: tuple[str, ...] = ()
    install: bool = True

    def wants(self, contender: str) -> bool:
        """Tell whether a contender is to be measured."""
        return not self.only or contender in self.only


class Progress(Protocol):
    """Whoever watches a part being measured."""

    def expect(self, steps: int) -> None:
        """Tell how many steps there will be altogether; may be corrected later."""

    def advance(self, text: str) -> None:
        """Tell that the next step begins, and what is measured in it."""

    def note(self, text: str) -> None:
        """Say something in a line of its own, at once: what is skipped, and why."""


@dataclass(frozen=True)
class Figure:
    """A figure of each sample, and how it is written.

    - ``name``: in `Sample`; ``title``: as a reader calls it: ``"server CPU a request"``.
    - ``unit``: ``"us"``, ``"ms"``, ``"KiB"``, ``"/s"``, ``"%"``; nothing for a bare number.
    - ``scale``: what one SI unit is in it: 1e6 for us, 1 / 1024 for KiB.
    - ``digits``: behind the point.
    """

    name: str
    title: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    less_is_better: bool = True


@dataclass(frozen=True)
class Plot:
    """A picture.

    - ``kind``: ``"lines"`` over a condition that is a number, or ``"bars"``.
    - ``x``: a condition, or ``"contender"``.
    - ``series``: what has a colour of its own: ``"contender"`` or a condition.
    - ``where``: only points with these conditions.  Where points differ in others beside, there is
      one picture for each of their values.
    - ``caption``: what to see in it, in a sentence.
    - ``contenders``: only these; nothing for all.
    """

    kind: Literal["lines", "bars"]
    figure: str
    title: str
    x: str = "contender"
    series: str = "contender"
    where: Where = field(default_factory=dict)
    log_x: bool = False
    log_y: bool = False
    caption: str = ""
    contenders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: a row for each contender, or for each value of a condition.

    - ``figures``: the names of figures.
    - ``rows``: ``"contender"`` or a condition.
    - ``columns``: ``"contender"`` or a condition, each value of which has a column for the first
      figure; nothing: the figures are the columns.
    - ``where``: as in a `Plot`: one table for each value of what else differs.
    - ``peers``: contenders to which the ratio is shown, by the first figure.
    """

    figures: tuple[str, ...]
    title: str
    rows: str = "contender"
    columns: str = ""
    where: Where = field(default_factory=dict)
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """``ours`` is to be at most ``limit`` times ``peer``; without a peer, ``limit`` in SI units."""

    figure: str
    where: Where
    ours: str
    limit: float
    peer: str = ""


@dataclass(frozen=True)
class Headline:
    """The one figure of a part that the first page shows, large.

    - ``words``: what it is, under it: ``"of server CPU for a small GET"``.
    - ``peer``: shown beside, as a ratio.
    """

    figure: str
    where: Where
    ours: str
    words: str
    peer: str = ""


@dataclass(frozen=True)
class Part:
    """A part of the measurements.

    - ``question``: what it answers, in one to three sentences, and which chapter asks.
    - ``contenders``: all names that ``--only`` may choose from.  One that begins with ``yolanda``
      has the same colour in every picture; where there is one, the others are muted.
    - ``conditions``: what a condition is called, where its name does not say it:
      ``{"share": "share of descriptors that are active"}``.  Values of ``size`` and ``*_size`` are
      written as bytes, those of ``share`` as percent.
    - ``measure``: measures, and fills in a result as it goes (`PartResult.add`, ``give_up``,
      ``notes``, ``versions``): after Ctrl+C whatever is in it is kept.  It starts and ends its
      processes itself, also when an exception goes through it.  Raises `Missing` if there is
      nothing that it can measure here; what one contender lacks, it notes or gives up.
    - ``findings``: sentences, computed from a result, which may hold only some of the points.
    - ``headlines``: the first of them that was measured is shown.
    - ``rounds``, ``seconds``, ``short_rounds``, ``short_seconds``: what is taken where the user
      does not say.
    - ``by_default``: it is run when no part is named.
    """

    name: str
    title: str
    question: str
    contenders: tuple[str, ...]
    figures: tuple[Figure, ...]
    measure: Callable[[Settings, Progress, PartResult], None]
    findings: Callable[[PartResult], list[str]]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    targets: tuple[Target, ...] = ()
    headlines: tuple[Headline, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    rounds: int = 5
    seconds: float = 3.0
    short_rounds: int = 1
    short_seconds: float = 0.5
    by_default: bool = True

    def figure(self, name: str) -> Figure:
        """Return the figure called ``name``."""
        return next(figure for figure in self.figures if figure.name == name)
