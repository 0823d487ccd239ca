"""A picture of bars, one under the other, with names and figures beside them.

A spread is a whisker.  Who gave up has the reason in place of a bar.
"""

import math
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import NullLocator

from yolanda.bench.report import palette
from yolanda.bench.report.numbers import value_text
from yolanda.bench.report.pictures import CONTENDER, Dot, Picture, is_ours
from yolanda.bench.report.plots.axes import (
    axis_title,
    bare,
    colour,
    drawable,
    limits,
    scale_values,
    thin_ticks,
    tick_text,
    value_ticks,
)
from yolanda.bench.report.plots.format import Format


@dataclass(frozen=True)
class _Row:
    """A line of a picture of bars: a heading, or a bar with its name."""

    name: str
    dot: Dot | None = None
    ours: bool = False
    colour: str = ""


def draw_bars(picture: Picture, shape: Format) -> Sheet:
    """Draw a picture of bars, the best first where nothing else orders them."""
    rows = _bar_rows(picture)
    above = shape.name == "narrow"  # the names stand above their bars
    pitch = 42.0 if above else 27.0
    heights = [pitch if row.dot else 36.0 if index else 22.0 for index, row in enumerate(rows)]
    names = [row for row in rows if row.dot is not None]
    left = 5.0
    if not above:
        left = max(shape.text_width(row.name, bold=row.ours) for row in names) + 14
    values = [_bar_text(picture, row) for row in names]
    right = max(shape.text_width(text, bold=True) for text in values) + 14
    low, high = limits(picture)
    ticks = value_ticks(picture, low, high)
    right = max(right, shape.text_width(tick_text(ticks[-1])) / 2 + 4)
    bottom, top = 26.0, 30.0
    height = bottom + top + sum(heights)
    sheet = Sheet(figsize=(shape.width / 72, height / 72), dpi=72)
    span = shape.width - left - right
    axes = sheet.add_axes(
        (left / shape.width, bottom / height, span / shape.width, sum(heights) / height)
    )
    bare(axes, "x")
    scale_values(picture, axes, low, high, ticks, "x")
    thin_ticks(axes, picture, ticks, span, shape)
    axes.set_ylim(sum(heights), 0)
    axes.yaxis.set_major_locator(NullLocator())
    sheet.text(
        0,
        (height - 6) / height,
        axis_title(picture),
        va="top",
        color=colour(palette.INK),
        weight="bold",
    )
    y = 0.0
    for row, tall in zip(rows, heights, strict=True):
        if row.dot is None:
            axes.text(
                -left / span,
                y + tall - 10,
                row.name,
                transform=axes.get_yaxis_transform(),
                va="center",
                weight="bold",
                color=colour(palette.SOFT),
            )
        else:
            _draw_bar(picture, axes, row, y, tall, left, span, shape)
        y += tall
    return sheet


def _draw_bar(
    picture: Picture,
    axes: Any,
    row: _Row,
    y: float,
    tall: float,
    left: float,
    span: float,
    shape: Format,
) -> None:
    above = shape.name == "narrow"
    middle = y + (tall - 10 if above else tall / 2)
    thick = 13.0 if above else 16.0
    weight = "bold" if row.ours else "normal"
    axes.text(
        (0 if above else -8) / span,
        y + 15 if above else middle,
        row.name,
        transform=axes.get_yaxis_transform(),
        ha="left" if above else "right",
        va="center",
        weight=weight,
        color=colour(palette.ACCENT if row.ours else palette.INK),
    )
    assert row.dot is not None
    found = row.dot.spread
    start = axes.get_xlim()[0]
    if found is None:
        room = span + (shape.width - left - span)
        text = shape.cut(f"✕ {row.dot.failure}", room - 10)
        axes.text(
            4 / span,
            middle,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            style="italic",
            color=colour(palette.SOFT),
        )
        return
    median = drawable(picture, found.median)
    if picture.plot.log_y:  # the length of a bar means nothing on such an axis
        axes.plot([start, median], [middle, middle], color=row.colour, linewidth=1.2, alpha=0.5)
        axes.plot([median], [middle], "o", color=row.colour, markersize=8, zorder=5)
    else:
        axes.barh(middle, median - start, left=start, height=thick, color=row.colour, alpha=0.92)
    end = median
    if found.rounds > 1:
        least, end = drawable(picture, found.least), drawable(picture, found.most)
        axes.plot([least, end], [middle, middle], color=colour(palette.INK), linewidth=1.3)
        for x in (least, end):
            axes.plot(
                [x, x], [middle - 3.5, middle + 3.5], color=colour(palette.INK), linewidth=1.3
            )
    axes.annotate(
        _bar_text(picture, row),
        (max(end, median), middle),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        weight=weight,
        color=colour(palette.INK),
        annotation_clip=False,
    )


def _bar_rows(picture: Picture) -> list[_Row]:
    """Return the lines of the picture; all bars but Yolanda's are alike, for they have names."""
    plot = picture.plot
    own = colour(palette.ACCENT)
    names = {series.name for series in picture.series}
    names |= {str(dot.x) for series in picture.series for dot in series.dots}
    other = colour((palette.MUTED if any(map(is_ours, names)) else palette.DISTINCT)[0])
    if len(picture.series) == 1 and not picture.series[0].name:
        dots = sorted(picture.series[0].dots, key=lambda dot: _rank(picture, dot))
        return [
            _Row(dot.text, dot, is_ours(dot.text), own if is_ours(dot.text) else other)
            for dot in dots
        ]
    rows: list[_Row] = []
    for x, title in {dot.x: dot.text for series in picture.series for dot in series.dots}.items():
        rows.append(_Row(title))
        for series in picture.series:
            dot = next((dot for dot in series.dots if dot.x == x), None)
            if dot is not None:
                ours = series.ours or (plot.x == CONTENDER and is_ours(title))
                rows.append(_Row(series.name, dot, ours, own if ours else other))
    return rows


def _rank(picture: Picture, dot: Dot) -> float:
    if dot.spread is None:
        return math.inf
    sign = 1 if picture.figure.less_is_better else -1
    return sign * dot.spread.median


def _bar_text(picture: Picture, row: _Row) -> str:
    if row.dot is None or row.dot.spread is None:
        return ""
    return value_text(picture.figure, row.dot.spread.median, unit=False)
