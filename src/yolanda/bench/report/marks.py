"""Small marks in the text, as SVG: where a figure stands between nothing and its limit."""

from html import escape

from yolanda.bench.report.comparison import Move, PartMoves
from yolanda.bench.report.document import Verdict
from yolanda.bench.report.numbers import percent_text
from yolanda.bench.report.palette import ACCENT, GRID, INK, SOFT, variable
from yolanda.bench.report.pictures import is_ours

_WIDTH = 240
_HEIGHT = 16


def target_mark(verdict: Verdict) -> str:
    """Draw the rounds and their median on a line with a bar where the limit is."""
    assert verdict.found is not None
    limit = verdict.limit
    end = max(1.6 * limit, min(verdict.found.most, 3 * limit) * 1.05)

    def x(value: float) -> float:
        return 5 + min(1.0, value / end) * (_WIDTH - 10)

    middle = _HEIGHT / 2
    least, median, most = (
        x(value) for value in (verdict.found.least, verdict.found.median, verdict.found.most)
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{verdict.state}">'
        f'<line x1="5" y1="{middle}" x2="{_WIDTH - 5}" y2="{middle}" '
        f'stroke="{variable(GRID)}" stroke-width="6" stroke-linecap="round"/>'
        f'<line x1="5" y1="{middle}" x2="{x(limit):.1f}" y2="{middle}" '
        f'stroke="{variable(SOFT)}" stroke-opacity="0.45" stroke-width="6" '
        'stroke-linecap="round"/>'
        f'<line x1="{x(limit):.1f}" y1="0" x2="{x(limit):.1f}" y2="{_HEIGHT}" '
        f'stroke="{variable(INK)}" stroke-width="2"/>'
        f'<line x1="{least:.1f}" y1="{middle}" x2="{most:.1f}" y2="{middle}" '
        f'stroke="{variable(ACCENT)}" stroke-width="2.5"/>'
        f'<circle cx="{median:.1f}" cy="{middle}" r="5" fill="{variable(ACCENT)}"/>'
        "</svg>"
    )


_STRIP_WIDTH = 350
_REACHES = {0.05: "5%", 0.1: "10%", 0.25: "25%", 0.5: "50%", 1.0: "100%"}
"""How far to both sides a strip may go: the nearest in which all but a few dots have room."""
_STRIP_ROWS = 7


def moves_mark(part: PartMoves) -> str:
    """Draw each figure's change as a dot: Yolanda's and others', those that moved filled."""
    height = 26 + _STRIP_ROWS * 9

    far = sorted(abs(move.change) for move in part.moves)[int(len(part.moves) * 0.95)]
    reach = next((reach for reach in _REACHES if reach >= far), 1.0)

    def x(change: float) -> float:
        return _STRIP_WIDTH / 2 + max(-1.0, min(1.0, change / reach)) * (_STRIP_WIDTH / 2 - 24)

    def dot(index: int, move: Move) -> str:
        colour = variable(ACCENT if is_ours(move.contender) else SOFT)
        fill = colour if move.moved else "none"
        y = 8 + index % _STRIP_ROWS * 9
        what = f"{move.contender}, {move.figure.title}: {percent_text(move.change)}"
        return (
            f'<circle cx="{x(move.change):.1f}" cy="{y}" r="3" stroke="{colour}" '
            f'fill="{fill}"><title>{escape(what)}</title></circle>'
        )

    ticks = {-reach: f"−{_REACHES[reach]}", 0.0: "no change", reach: f"+{_REACHES[reach]}"}
    lines = "".join(
        f'<line x1="{x(tick):.1f}" y1="0" x2="{x(tick):.1f}" y2="{height - 20}" '
        f'stroke="{variable(GRID if tick else SOFT)}"/>'
        f'<text x="{x(tick):.1f}" y="{height - 5}" text-anchor="middle" font-size="11" '
        f'fill="{variable(SOFT)}">{text}</text>'
        for tick, text in ticks.items()
    )
    dots = "".join(dot(index, move) for index, move in enumerate(part.moves))
    return (
        f'<svg width="{_STRIP_WIDTH}" height="{height}" viewBox="0 0 {_STRIP_WIDTH} {height}" '
        f'role="img" aria-label="changes of {len(part.moves)} figures">{lines}{dots}</svg>'
    )
