"""A report as one HTML file that needs nothing beside it.

It follows its reader's light or dark scheme, fits a phone, and can be printed.
"""

from collections.abc import Mapping
from html import escape
from importlib.resources import files

from yolanda.bench.report import palette
from yolanda.bench.report.comparison import Comparison
from yolanda.bench.report.document import Document, Grid, Section, Verdict
from yolanda.bench.report.marks import moves_mark, target_mark
from yolanda.bench.report.numbers import moment_text
from yolanda.bench.report.tables import medians_grid, moves_grid

Drawings = Mapping[str, tuple[str, str]]
"""A picture's name to its SVG for a page and its SVG for a phone."""

_FEW = 20
"""Rows of a table that may be open without being asked for."""
_FINDINGS = 5
"""Findings that are seen at once."""
_SIGNS = {Verdict.MET: "✓", Verdict.MISSED: "✗", Verdict.UNMEASURED: "–"}
_CLASSES = {Verdict.MET: "met", Verdict.MISSED: "missed", Verdict.UNMEASURED: "unmeasured"}


def to_html(document: Document, drawings: Drawings) -> str:
    """Write a report.

    - ``drawings``: what is missing there is left out.
    """
    style = files("yolanda.bench.report").joinpath("report.css").read_text()
    parts = "".join(_section(section, drawings) for section in document.sections)
    if document.comparison is not None:
        parts += _comparison(document.comparison)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_title(document))}</title>"
        f"<style>\n{palette.css(':root')}{style}</style></head>\n<body>\n"
        f"{_first_page(document)}{parts}</body></html>\n"
    )


def _title(document: Document) -> str:
    return f"Yolanda {document.run.version}, measured"


def _first_page(document: Document) -> str:
    remarks = "".join(f'<p class="notice">{escape(remark)}</p>' for remark in document.remarks)
    cards = "".join(_card(section) for section in document.sections)
    described = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in document.facts()
    )
    return (
        f'<header><h1>What Yolanda costs</h1><p class="soft">{escape(_subtitle(document))}</p>'
        f'{remarks}</header>\n<main><div class="cards">{cards}</div>\n'
        f"{_targets(document.verdicts)}"
        f"<h3>Measured on</h3><dl>{described}</dl></main>\n"
    )


def _subtitle(document: Document) -> str:
    run = document.run
    day = run.started.partition("T")[0]
    return " · ".join(filter(None, [day, run.version, run.machine.get("processor", "")]))


def _card(section: Section) -> str:
    lines = [f'<span class="name">{escape(section.title)}</span>']
    if section.card is not None:
        lines.append(f'<span class="figure">{escape(section.card.figure)}</span>')
        lines.append(f"<span>{escape(section.card.words)}</span>")
        if section.card.beside:
            lines.append(f'<span class="beside">{escape(section.card.beside)}</span>')
    elif section.state:
        lines.append(f'<span class="long">{escape(section.state)}</span>')
    elif section.findings:
        lines.append(f'<span class="long">{escape(section.findings[0])}</span>')
    lines.append(_card_verdict(section.verdicts))
    return f'<a class="card" href="#{escape(section.name)}">{"".join(lines)}</a>'


def _card_verdict(verdicts: list[Verdict]) -> str:
    judged = [verdict for verdict in verdicts if verdict.state != Verdict.UNMEASURED]
    if not judged:
        return ""
    met = sum(verdict.state == Verdict.MET for verdict in judged)
    state = Verdict.MET if met == len(judged) else Verdict.MISSED
    text = f"target {state}" if len(judged) == 1 else f"{met} of {len(judged)} targets met"
    return f'<span class="verdict state {_CLASSES[state]}">{_SIGNS[state]} {text}</span>'


def _targets(verdicts: list[Verdict]) -> str:
    if not verdicts:
        return ""
    rows = "".join(_target(verdict) for verdict in verdicts)
    return f'<h3>Targets</h3><table class="targets"><tbody>{rows}</tbody></table>'


def _target(verdict: Verdict) -> str:
    mark = target_mark(verdict) if verdict.found is not None else ""
    where = f", {verdict.where}" if verdict.where else ""
    return (
        f'<tr><td class="what"><b>{escape(verdict.who)}</b>{escape(where)}<br>'
        f"<small>{escape(verdict.figure)}</small></td>"
        f"<td><b>{escape(verdict.value)}</b> {mark}"
        f"<small>{escape(verdict.words)}</small></td>"
        f'<td class="state {_CLASSES[verdict.state]}">'
        f"{_SIGNS[verdict.state]} {verdict.state}</td></tr>"
    )


def _section(section: Section, drawings: Drawings) -> str:
    pieces = [
        f'<section class="part" id="{escape(section.name)}"><h2>{escape(section.title)}</h2>',
        f'<p class="question">{escape(section.question)}</p>',
    ]
    if section.state:
        pieces.append(f'<p class="notice">{escape(section.state)}</p>')
    pieces.append(_list(section.findings[:_FINDINGS], "findings"))
    if section.findings[_FINDINGS:]:
        more = _list(section.findings[_FINDINGS:], "findings")
        pieces.append(f"<details><summary>More findings</summary>{more}</details>")
    for picture, caption in zip(section.pictures, section.captions, strict=True):
        if picture.name in drawings:
            drawn = "".join(drawings[picture.name]) + _list(picture.failures, "gave-up")
            pieces.append(_figure(picture.title, caption, drawn))
    for index, grid in enumerate(section.grids):
        pieces.append(_grid(grid, is_open=index == 0))
    if section.troubles:
        pieces.append(f"<h3>Who gave up, and why</h3>{_list(section.troubles)}")
    if section.client or section.client_grid:
        pieces.append(f"<h3>What the client cost</h3>{_list(section.client)}")
    if section.client_grid:
        pieces.append(_grid(section.client_grid, is_open=False, title="Server and client"))
    if section.notes:
        pieces.append(f"<h3>Notes</h3>{_list(section.notes)}")
    pieces.append(f'<p class="soft"><small>{escape(", ".join(section.facts))}</small></p>')
    return "".join(pieces) + "</section>\n"


def _comparison(comparison: Comparison) -> str:
    old = comparison.old
    pieces = [
        '<section class="part" id="comparison"><h2>What moved</h2>',
        f'<p class="question">Since {escape(moment_text(old.started))}, {escape(old.version)}</p>',
        _list([*comparison.remarks, *comparison.summary()], "findings"),
    ]
    for part in comparison.parts:
        if part.moves:
            pieces.append(f"<h3>{escape(part.title)}</h3>")
            pieces.append(_grid(medians_grid(part), is_open=True))
            pieces.append(
                f'<figure>{moves_mark(part)}<figcaption class="soft"><small>A dot is a figure, '
                "Yolanda's in colour; a full one moved.</small></figcaption></figure>"
            )
        if part.moved:
            pieces.append(_grid(moves_grid(part), is_open=len(part.moved) <= _FEW))
    return "".join(pieces) + "</section>\n"


def _list(items: list[str], kind: str = "") -> str:
    if not items:
        return ""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>'


def _figure(title: str, caption: str, drawn: str) -> str:
    text = f" {escape(caption)}" if caption else ""
    return (
        f'<figure><figcaption><b>{escape(title)}</b><span class="soft">{text}</span></figcaption>'
        f"{drawn}</figure>\n"
    )


def _grid(grid: Grid, *, is_open: bool, title: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in grid.head)
    rows = []
    for row in grid.rows:
        cells = []
        for cell in row.cells:
            kind = "failed" if cell.failed else "best" if cell.best else ""
            small = f"<small>{escape(cell.detail)}</small>" if not cell.failed else ""
            reason = f' title="{escape(cell.detail)}"' if cell.failed else ""
            cells.append(f'<td class="{kind}"{reason}>{escape(cell.text)}{small}</td>')
        ours = ' class="ours"' if row.ours else ""
        rows.append(f'<tr{ours}><th scope="row">{escape(row.name)}</th>{"".join(cells)}</tr>')
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(title or grid.title)}</summary>"
        f'<div class="scroll"><table class="grid"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>\n"
    )
