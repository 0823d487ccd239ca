"""A picture of lines, which carry their names at their ends.

A spread is a band.  Who gave up is marked with a cross where that was.
"""

import math
from typing import Any

from matplotlib.figure import Figure as Sheet

from yolanda.bench.report import palette
from yolanda.bench.report.pictures import Dot, Picture, Series
from yolanda.bench.report.plots.axes import (
    axis_title,
    bare,
    colour,
    drawable,
    limits,
    scale_places,
    scale_values,
    tick_text,
    value_ticks,
)
from yolanda.bench.report.plots.format import Format

_MARKERS = [
    ("o", 6.0),
    ("s", 5.5),
    ("^", 7.0),
    ("D", 5.5),
    ("v", 7.0),
    ("p", 7.0),
    ("P", 7.0),
    ("h", 7.0),
]
"""Shapes, and sizes at which they look equally large."""
_DASHES: list[Any] = ["-", (0, (5, 2)), (0, (1.5, 1.5))]


def draw_lines(picture: Picture, shape: Format) -> Sheet:
    """Draw a picture of lines over a condition that is a number."""
    styles = _styles(picture.series)
    widest = max(shape.text_width(series.name, bold=series.ours) for series in picture.series)
    aside = widest + 36 <= shape.labels_aside
    key = [] if aside else _key_rows(picture.series, shape)
    height = shape.height + len(key) * 18
    sheet = Sheet(figsize=(shape.width / 72, height / 72), dpi=72)
    places = sorted({_place(dot.x) for series in picture.series for dot in series.dots})
    low, high = limits(picture)
    ticks = value_ticks(picture, low, high)
    tick_width = max(shape.text_width(tick_text(tick)) for tick in ticks)
    left, right = tick_width + 12, (widest + 38 if aside else 14)
    bottom, top = 44 + len(key) * 18, 34
    axes = sheet.add_axes(
        (
            left / shape.width,
            bottom / height,
            (shape.width - left - right) / shape.width,
            (height - bottom - top) / height,
        )
    )
    bare(axes, "y")
    scale_values(picture, axes, low, high, ticks, "y")
    scale_places(picture, axes, places, shape.width - left - right, shape)
    title = axis_title(picture)
    sheet.text(0, (height - 6) / height, title, va="top", color=colour(palette.INK), weight="bold")
    sheet.text(
        (shape.width - right) / shape.width,
        (len(key) * 18 + 4) / height,
        picture.x_title,
        ha="right",
        va="bottom",
        color=colour(palette.SOFT),
    )
    ends = []
    for series in sorted(picture.series, key=lambda series: series.ours):
        end = _draw_line(picture, axes, series, styles[series.name])
        if end is not None:
            ends.append((series, end))
    if aside:
        _name_ends(axes, ends, styles, shape, height - top - bottom, shape.width - left - right)
    else:
        _draw_key(sheet, key, styles, shape, height)
    return sheet


def _place(x: Any) -> float:
    return float(x)


def _draw_line(
    picture: Picture, axes: Any, series: Series, style: dict[str, Any]
) -> tuple[float, float] | None:
    """Draw a line and return its end."""
    found = [(_place(dot.x), dot.spread) for dot in series.dots if dot.spread is not None]
    xs = [x for x, _ in found]
    medians = [drawable(picture, value.median) for _, value in found]
    if any(value.rounds > 1 for _, value in found):
        axes.fill_between(
            xs,
            [drawable(picture, value.least) for _, value in found],
            [drawable(picture, value.most) for _, value in found],
            color=style["color"],
            alpha=0.16,
            linewidth=0,
        )
    axes.plot(xs, medians, markeredgecolor=colour(palette.PAPER), markeredgewidth=0.8, **style)
    end = (xs[-1], medians[-1]) if xs else None
    gave_up = _giving_up(series)
    if gave_up is not None:
        return _mark_failure(axes, gave_up, end, style["color"])
    return end


def _giving_up(series: Series) -> Dot | None:
    """Return the first place, after the last figure, where a contender gave up."""
    last = max((_place(dot.x) for dot in series.dots if dot.spread), default=-math.inf)
    return next((dot for dot in series.dots if dot.failure and _place(dot.x) > last), None)


def _mark_failure(
    axes: Any, dot: Dot, end: tuple[float, float] | None, own: str
) -> tuple[float, float]:
    """Mark with a cross where a contender gave up: at the height of its last figure."""
    x = _place(dot.x)
    y = end[1] if end is not None else axes.get_ylim()[0]
    if end is not None:
        axes.plot([end[0], x], [y, y], color=own, linewidth=1, linestyle=(0, (1, 2)))
    axes.plot([x], [y], "x", color=own, markersize=8, markeredgewidth=2.2, clip_on=False)
    return x, y


def _name_ends(
    axes: Any,
    ends: list[tuple[Series, tuple[float, float]]],
    styles: dict[str, dict[str, Any]],
    shape: Format,
    height: float,
    width: float,
) -> None:
    """Write each line's name at its end, moved up or down where they would touch."""
    gap = shape.letters * 1.3
    to_pixels = axes.transData + axes.transAxes.inverted()
    spots = [(series, *to_pixels.transform(end)) for series, end in ends]
    spots.sort(key=lambda spot: float(spot[2]))
    heights = _apart([float(y) * height for _, _, y in spots], gap, 0, height)
    for (series, x, y), label in zip(spots, heights, strict=True):
        own = styles[series.name]["color"]
        start, bend, finish = float(x) + 5 / width, 1 + 4 / width, 1 + 15 / width
        axes.plot(
            [start, bend, finish],
            [y, y if bend - start > 0.02 else label / height, label / height],
            transform=axes.transAxes,
            color=own,
            alpha=0.55,
            linewidth=0.8,
            clip_on=False,
        )
        axes.text(
            1 + 18 / width,
            label / height,
            f"{series.name} ✕" if _giving_up(series) else series.name,
            transform=axes.transAxes,
            va="center",
            color=own,
            weight="bold" if series.ours else "normal",
        )


def _apart(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move sorted heights so that they are ``gap`` apart, and within bounds if there is room."""
    heights = list(wanted)
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    if heights and heights[-1] > high:
        heights[-1] = high
        for index in range(len(heights) - 2, -1, -1):
            heights[index] = min(heights[index], heights[index + 1] - gap)
    if heights and heights[0] < low - gap:  # too many: let them stand below the axis
        heights = [height + (low - gap - heights[0]) / 2 for height in heights]
    return heights


def _key_rows(series: list[Series], shape: Format) -> list[list[Series]]:
    rows: list[list[Series]] = [[]]
    used = 0.0
    for item in series:
        width = shape.text_width(item.name, bold=item.ours) + 38
        if rows[-1] and used + width > shape.width:
            rows.append([])
            used = 0.0
        rows[-1].append(item)
        used += width
    return rows


def _draw_key(
    sheet: Any,
    rows: list[list[Series]],
    styles: dict[str, dict[str, Any]],
    shape: Format,
    height: float,
) -> None:
    """Write the names under a picture that is too narrow to have them beside the lines."""
    axes = sheet.add_axes((0, 0, 1, len(rows) * 18 / height))
    axes.set_axis_off()
    axes.set_xlim(0, shape.width)
    axes.set_ylim(len(rows) * 18, 0)
    for index, row in enumerate(rows):
        x, y = 2.0, index * 18 + 9
        for series in row:
            style = styles[series.name]
            axes.plot([x, x + 11, x + 22], [y, y, y], markevery=[1], **style)
            axes.text(
                x + 27,
                y,
                series.name,
                va="center",
                color=style["color"],
                weight="bold" if series.ours else "normal",
            )
            x += shape.text_width(series.name, bold=series.ours) + 38


def _styles(series: list[Series]) -> dict[str, dict[str, Any]]:
    """Choose each line's colour, marker and dashes; the same in every picture of a part."""
    styles: dict[str, dict[str, Any]] = {}
    others = palette.MUTED if any(item.ours for item in series) else palette.DISTINCT
    ours = [item.name for item in series if item.ours]
    for item in series:
        # Yolanda's differ in dashes alone, others also in colour.
        index = ours.index(item.name) if item.ours else item.number
        dashes = index if item.ours else index // len(others)
        marker, size = _MARKERS[index % len(_MARKERS)]
        styles[item.name] = {
            "color": colour(palette.ACCENT if item.ours else others[index % len(others)]),
            "linewidth": 2.6 if item.ours else 1.7,
            "marker": marker,
            "markersize": size + item.ours,
            "linestyle": _DASHES[dashes % len(_DASHES)],
            "solid_capstyle": "round",
            "zorder": 4 if item.ours else 3,
        }
    return styles
