"""Pictures as SVG, drawn with matplotlib.

Each is drawn twice, for a page and for a phone, because letters must not shrink with the picture.
Lines and bars carry their names themselves; a spread is a band or a whisker; who gave up is marked
where that was.  Importing this module raises `ImportError` where matplotlib is not installed.
"""

import io
import re
from html import escape
from typing import Any

from yolanda.bench.report import palette
from yolanda.bench.report.pictures import Picture

try:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
except ImportError as error:
    raise ImportError("plots need matplotlib: pip install 'yolanda[bench]'") from error

from yolanda.bench.report.plots.axes import STAND_INS
from yolanda.bench.report.plots.bars import draw_bars
from yolanda.bench.report.plots.format import NARROW, WIDE, Format
from yolanda.bench.report.plots.lines import draw_lines

__all__ = ["NARROW", "WIDE", "Format", "draw", "standalone"]


def draw(picture: Picture, shape: Format) -> str:
    """Return a picture as an ``<svg>`` element, in colours that are CSS variables."""
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"{picture.name}-{shape.name}",
        "font.family": "sans-serif",
        "font.size": shape.letters,
        "path.simplify": True,
    }
    with matplotlib.rc_context(settings):
        places = {dot.x for series in picture.series for dot in series.dots if dot.spread}
        # A line through one place is none.
        drawing = draw_lines if picture.plot.kind == "lines" and len(places) > 1 else draw_bars
        sheet = drawing(picture, shape)
        FigureCanvasSVG(sheet)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        sheet.savefig(file, format="svg", transparent=True, metadata=nothing)
    return _cleaned(file.getvalue(), picture, shape)


def standalone(svg: str) -> str:
    """Return an ``<svg>`` element as a file of its own, which follows its reader's scheme."""
    style = (
        f"<style>{palette.css('svg')}svg{{background:{palette.variable(palette.PAPER)}}}</style>"
    )
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg.replace(">", f">{style}", 1)


def _cleaned(text: str, picture: Picture, shape: Format) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r">\s+<", "><", text)
    for name, stand_in in STAND_INS.items():
        text = text.replace(stand_in, palette.variable(name))
    # Fonts are the page's; matplotlib's list of its own fonts would be repeated for every word.
    text = re.sub(r"font-family:[^;\"]*|font: ([\d.]+px)[^;\"]*", _font, text)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="{shape.name}" viewBox="0 0 {size[1]} {size[2]}" width="{size[1]}" '
        f'height="{size[2]}" font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, '
        f'Arial, sans-serif" role="img" aria-label="{escape(picture.title)}">'
    )
    return head + text[text.index(">") + 1 :]


def _font(match: re.Match[str]) -> str:
    return f"font-size: {match[1]}" if match[1] else ""
