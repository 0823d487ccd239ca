"""How figures, ratios and conditions are written for people."""

import math

from yolanda.bench.part import Figure
from yolanda.bench.results import Condition, Spread

_UNITS = {"us": "µs"}
_LARGER = {"us": ("ms", 1e-3), "ms": ("s", 1e-3)}
_MANY = 10_000
"""Of a unit of time, so many are told in a larger one."""
_BYTES = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]


def number(value: float, digits: int = 2) -> str:
    """Write a number with three significant digits, but at most ``digits`` behind the point.

    One that would become 0 in this way keeps one significant digit.
    """
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    order = math.floor(math.log10(abs(float(f"{value:.2e}"))))  # 9.999 is written as 10.0
    decimals = max(0, min(digits, 2 - order))
    if round(value, decimals) == 0:
        decimals = -order
    return f"{value:,.{decimals}f}"


def unit_of(figure: Figure) -> str:
    """Return a figure's unit, as it is written."""
    return _UNITS.get(figure.unit, figure.unit)


def with_unit(text: str, unit: str) -> str:
    """Put a unit behind a number: ``9.1 µs``, ``1,234/s``, ``12%``."""
    return text + (unit if not unit or unit[0] in "/%" else f"\N{NO-BREAK SPACE}{unit}")


def value_text(figure: Figure, value: float, *, unit: bool = True) -> str:
    """Write a figure's value, which is in SI units."""
    if not unit:
        return number(value * figure.scale, figure.digits)
    scaled, name = value * figure.scale, figure.unit
    while name in _LARGER and abs(scaled) >= _MANY:
        name, factor = _LARGER[name]
        scaled *= factor
    return with_unit(number(scaled, figure.digits), _UNITS.get(name, name))


def spread_text(figure: Figure, found: Spread) -> str:
    """Write between what the rounds lay, or nothing where there was but one."""
    if found.rounds < 2:
        return ""
    least, most = (value_text(figure, end, unit=False) for end in (found.least, found.most))
    return least if least == most else f"{least} – {most}"


def ratio_text(value: float) -> str:
    """Write a ratio, with the sign for times behind it."""
    return f"{_ratio(value)}\N{NO-BREAK SPACE}×"


def _ratio(value: float) -> str:
    """Three digits, of which two at most behind the point; but a small one keeps two."""
    if 0 < value < 0.1:
        return f"{value:.{1 - math.floor(math.log10(value))}f}"
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def ratio_spread_text(found: Spread) -> str:
    """Write between what the ratios of the rounds lay, or nothing where there was but one."""
    if found.rounds < 2:
        return ""
    return f"{_ratio(found.least)} – {_ratio(found.most)}"


def condition_text(name: str, value: Condition) -> str:
    """Write the value of a condition; sizes as bytes, shares as percent."""
    if isinstance(value, str):
        return value
    if name == "size" or name.endswith("_size"):
        for unit, text in _BYTES:
            if value >= unit and value % unit == 0:
                return f"{value // unit:,}\N{NO-BREAK SPACE}{text}"
        return f"{value:,}\N{NO-BREAK SPACE}B"
    if name == "share":
        return f"{value * 100:g}%"
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def duration_text(seconds: float) -> str:
    """Write how long something took."""
    if seconds < 60:
        return f"{number(seconds, 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def moment_text(moment: str) -> str:
    """Write a date and time in ISO 8601 to the minute."""
    return moment[:16].replace("T", " ")


def percent_text(change: float) -> str:
    """Write a change of a share of one: ``+3.1%``."""
    return f"{change:+.1%}".replace("-", "\N{MINUS SIGN}")


def listed(items: list[str]) -> str:
    """Write a list as in a sentence: ``1, 10 and 100``."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
