"""Colours, for light and dark; told apart also by those who see few of them.

A picture is drawn with names of colours, which become CSS variables: whoever shows it, a page or a
file of its own, brings `css`.
"""

ACCENT = "accent"
INK = "ink"
SOFT = "soft"
GRID = "grid"
PAPER = "paper"
BAD = "bad"

_LIGHT = {
    PAPER: "#ffffff",
    INK: "#1d232b",
    SOFT: "#5c6773",
    GRID: "#dfe3e8",
    ACCENT: "#c8400a",
    BAD: "#b3202c",
    # Muted: the peers beside Yolanda.
    "m1": "#3f5a78",
    "m2": "#4d7f7f",
    "m3": "#84668f",
    "m4": "#7d7a45",
    "m5": "#6483a8",
    "m6": "#8a6a55",
    "m7": "#6d7480",
    "m8": "#59734f",
    # Distinct: contenders of which none is more ours than the others (after Okabe and Ito).
    "d1": "#0a62a8",
    "d2": "#c4500a",
    "d3": "#067a58",
    "d4": "#a03f7d",
    "d5": "#8a6500",
    "d6": "#2a8fc0",
    "d7": "#5d5fb0",
    "d8": "#565d66",
}

_DARK = {
    PAPER: "#14181d",
    INK: "#e8ebef",
    SOFT: "#9ba6b2",
    GRID: "#2e353d",
    ACCENT: "#ff8a4f",
    BAD: "#ff7b84",
    "m1": "#8fb0d3",
    "m2": "#7fbcbc",
    "m3": "#bda0c9",
    "m4": "#b9b57a",
    "m5": "#9fbadb",
    "m6": "#c9a890",
    "m7": "#a9b1bc",
    "m8": "#9dbb92",
    "d1": "#5fb0f0",
    "d2": "#ff9a52",
    "d3": "#3fcf9f",
    "d4": "#e58fc4",
    "d5": "#e0bb45",
    "d6": "#8ad4f7",
    "d7": "#a9abf0",
    "d8": "#b4bcc6",
}

NAMES = tuple(_LIGHT)
MUTED = tuple(name for name in NAMES if name[0] == "m" and name[1:].isdigit())
DISTINCT = tuple(name for name in NAMES if name[0] == "d" and name[1:].isdigit())


def css(selector: str) -> str:
    """Return the rules that give ``selector`` the colours, on light and on dark ground."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in colours.items())
        for colours in (_LIGHT, _DARK)
    )
    return (
        f"{selector}{{{light}}}\n"
        f"@media screen and (prefers-color-scheme: dark){{{selector}{{{dark}}}}}\n"
    )


def variable(name: str) -> str:
    """Return a colour as CSS and SVG write it."""
    return f"var(--{name})"
