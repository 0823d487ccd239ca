"""Axes: where they begin and end, and plain numbers on them: 1, 10, 100, 1,000."""

import math
from itertools import pairwise
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from yolanda.bench.report import palette
from yolanda.bench.report.numbers import condition_text, number, unit_of
from yolanda.bench.report.pictures import Picture
from yolanda.bench.report.plots.format import Format
from yolanda.bench.results import Spread

STAND_INS = {name: f"#0{number:02d}0f0" for number, name in enumerate(palette.NAMES, 1)}
"""matplotlib knows no CSS variables: it draws with colours that nothing else has, which are then
replaced."""


def colour(name: str) -> str:
    """Return what stands for a colour of the palette while it is drawn."""
    return STAND_INS[name]


def axis_title(picture: Picture) -> str:
    """Return what the figures along an axis are, and their unit."""
    unit = unit_of(picture.figure)
    return f"{picture.figure.title}, {unit}" if unit else picture.figure.title


def bare(axes: Any, along: str) -> None:
    """Leave nothing of the frame but fine lines across the figures, and a base under lines."""
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_visible(along == "y" and name == "bottom")
        spine.set_color(colour(palette.SOFT))
    axes.tick_params(length=0, colors=colour(palette.SOFT), pad=5)
    axes.grid(axis=along, color=colour(palette.GRID), linewidth=1)
    axes.set_axisbelow(True)


def drawable(picture: Picture, value: float) -> float:
    """Return a value in the figure's unit; on a logarithmic axis nothing is below its least."""
    scaled = value * picture.figure.scale
    return max(scaled, limits(picture)[0]) if picture.plot.log_y else scaled


def limits(picture: Picture) -> tuple[float, float]:
    """Return where the axis of the figures begins and ends, in the figure's unit."""
    scale = picture.figure.scale
    found: list[Spread] = [
        dot.spread for series in picture.series for dot in series.dots if dot.spread is not None
    ]
    high = max(value.most for value in found) * scale
    if not picture.plot.log_y:
        least = min(0.0, min(value.least for value in found) * scale)
        return least, (high or 1.0) * 1.04
    low = min((value.least * scale for value in found if value.least > 0), default=1.0)
    high = max(high, low)
    return low / 1.25, high * 1.25


def value_ticks(picture: Picture, low: float, high: float) -> list[float]:
    """Return where along the axis of the figures there are numbers."""
    if picture.plot.log_y:
        return _log_ticks(low, high)
    locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return plain numbers: powers of ten, with 2 and 5 between where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ([1], [1, 2, 5], list(range(1, 10)), [step / 10 for step in range(10, 100)]):
        ticks = [step * 10.0**power for power in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 2:
            break
    return ticks[:: math.ceil(len(ticks) / 6)] if ticks else [low]


def tick_text(value: float) -> str:
    """Write a number at an axis."""
    return number(value, 6).rstrip("0").rstrip(".") if 0 < abs(value) < 100 else number(value, 0)


def scale_values(
    picture: Picture, axes: Any, low: float, high: float, ticks: list[float], along: str
) -> None:
    """Scale the axis of the figures, which goes ``along`` x or y."""
    axis = axes.yaxis if along == "y" else axes.xaxis
    if picture.plot.log_y:
        (axes.set_yscale if along == "y" else axes.set_xscale)("log")
    (axes.set_ylim if along == "y" else axes.set_xlim)(low, high)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def scale_places(
    picture: Picture, axes: Any, places: list[float], span: float, shape: Format
) -> None:
    """Put ticks where something was measured, as far as their texts do not touch."""
    low, high = places[0], places[-1]
    logarithmic = picture.plot.log_x and low > 0 and high > low
    if logarithmic:
        axes.set_xscale("log")
        margin = (high / low) ** 0.03
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = (high - low or 1.0) * 0.03
        axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_minor_locator(NullLocator())

    def place_text(value: float, _: Any = None) -> str:
        whole = int(value) if float(value).is_integer() else value
        return condition_text(picture.plot.x, whole)

    def pixels(value: float) -> float:
        if logarithmic:
            return span * math.log(value / low) / math.log(high / low)
        return span * (value - low) / (high - low or 1.0)

    def half(value: float) -> float:
        return shape.text_width(place_text(value)) / 2 + 4

    kept = [high]  # the ends are wanted most
    if pixels(high) - pixels(low) >= half(low) + half(high):
        kept.insert(0, low)
    for place in reversed(places[1:-1]):
        if all(abs(pixels(place) - pixels(other)) >= half(place) + half(other) for other in kept):
            kept.append(place)
    axes.xaxis.set_major_locator(FixedLocator(sorted(kept)))
    axes.xaxis.set_major_formatter(FuncFormatter(place_text))


def thin_ticks(axes: Any, picture: Picture, ticks: list[float], span: float, shape: Format) -> None:
    """Leave out every other tick under bars until their texts do not touch."""
    low, high = map(float, axes.get_xlim())

    def pixels(value: float) -> float:
        if picture.plot.log_y:
            return span * math.log(value / low) / math.log(high / low)
        return span * (value - low) / (high - low)

    widths = {tick: shape.text_width(tick_text(tick)) + 10 for tick in ticks}
    kept = ticks
    while len(kept) > 2 and any(
        pixels(b) - pixels(a) < (widths[a] + widths[b]) / 2 for a, b in pairwise(kept)
    ):
        kept = kept[::2]
    axes.xaxis.set_major_locator(FixedLocator(kept))
