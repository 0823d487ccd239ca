"""A report as Markdown, with its pictures in files beside."""

from collections.abc import Container

from yolanda.bench.report.comparison import Comparison
from yolanda.bench.report.document import Cell, Document, Grid, Section, Verdict
from yolanda.bench.report.numbers import moment_text
from yolanda.bench.report.tables import medians_grid, moves_grid

FOLDER = "plots"
"""Where the pictures are, beside the report."""


def to_markdown(document: Document, drawn: Container[str], missing: str = "") -> str:
    """Write a report.

    - ``drawn``: names of the pictures that there are.
    - ``missing``: why there are none.
    """
    lines = ["# What Yolanda costs", ""]
    for remark in [*document.remarks, missing]:
        if remark:
            lines += [f"**{_text(remark)}**", ""]
    lines += ["| Part | | | Targets |", "| --- | ---: | --- | --- |"]
    for section in document.sections:
        lines.append(_summary_row(section))
    lines += ["", *_targets(document.verdicts)]
    lines += [f"- {name}: {_text(value)}" for name, value in document.facts()]
    for section in document.sections:
        lines += ["", *_section(section, drawn)]
    if document.comparison is not None:
        lines += ["", *_comparison(document.comparison)]
    return "\n".join(lines).rstrip() + "\n"


def _summary_row(section: Section) -> str:
    figure, words = "", section.state or (section.findings[0] if section.findings else "")
    if section.card is not None:
        figure, words = section.card.figure, section.card.words
        if section.card.beside:
            words += f"; {section.card.beside}"
    judged = [verdict for verdict in section.verdicts if verdict.state != Verdict.UNMEASURED]
    met = sum(verdict.state == Verdict.MET for verdict in judged)
    verdict = f"{met} of {len(judged)} met" if judged else ""
    title = f"[{_text(section.title)}](#{_anchor(section.title)})"
    return (
        f"| {title} | **{figure}** | {_text(words)} | {verdict} |"
        if figure
        else (f"| {title} | | {_text(words)} | {verdict} |")
    )


def _anchor(title: str) -> str:
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _targets(verdicts: list[Verdict]) -> list[str]:
    if not verdicts:
        return []
    lines = ["| Target | Found | | |", "| --- | ---: | --- | --- |"]
    for verdict in verdicts:
        where = f", {verdict.where}" if verdict.where else ""
        what = f"{verdict.who}{where}: {verdict.figure}"
        lines.append(
            f"| {_text(what)} | {_text(verdict.value)} | {_text(verdict.words)} | {verdict.state} |"
        )
    return [*lines, ""]


def _section(section: Section, drawn: Container[str]) -> list[str]:
    lines = [f"## {_text(section.title)}", "", _text(section.question), ""]
    if section.state:
        lines += [f"**{_text(section.state)}**", ""]
    lines += _list(section.findings)
    for picture, caption in zip(section.pictures, section.captions, strict=True):
        if picture.name in drawn:
            lines += [f"### {_text(picture.title)}", ""]
            lines += [_text(caption), ""] if caption else []
            lines += [f"![{_text(picture.title)}]({FOLDER}/{picture.name}.svg)", ""]
            lines += _list(picture.failures)
    for grid in section.grids:
        lines += _grid(grid)
    if section.troubles:
        lines += ["### Who gave up, and why", "", *_list(section.troubles)]
    if section.client:
        lines += ["### What the client cost", "", *_list(section.client)]
    if section.client_grid is not None:
        lines += _grid(section.client_grid)
    if section.notes:
        lines += ["### Notes", "", *_list(section.notes)]
    return [*lines, f"*{', '.join(section.facts)}*"]


def _comparison(comparison: Comparison) -> list[str]:
    since = f"Since {moment_text(comparison.old.started)}, {comparison.old.version}:"
    lines = ["## What moved", "", _text(since), ""]
    lines += _list([*comparison.remarks, *comparison.summary()])
    for part in comparison.parts:
        if part.moves:
            lines += [f"### {_text(part.title)}", "", *_grid(medians_grid(part))]
        if part.moved:
            lines += _grid(moves_grid(part))
    return lines


def _list(items: list[str]) -> list[str]:
    return [*(f"- {_text(item)}" for item in items), ""] if items else []


def _grid(grid: Grid) -> list[str]:
    lines = [f"**{_text(grid.title)}**", ""]
    lines.append("| " + " | ".join(map(_text, grid.head)) + " |")
    lines.append("| --- |" + " ---: |" * (len(grid.head) - 1))
    for row in grid.rows:
        name = f"**{_text(row.name)}**" if row.ours else _text(row.name)
        lines.append("| " + " | ".join([name, *map(_cell, row.cells)]) + " |")
    return [*lines, ""]


def _cell(cell: Cell) -> str:
    if cell.failed:
        return f"*{cell.text}*"
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} ({cell.detail})" if cell.detail else text


def _text(text: str) -> str:
    """Keep what would be read as Markdown from being that."""
    for letter in "\\`*_|<>[]":
        text = text.replace(letter, f"\\{letter}" if letter not in "<>" else f"&#{ord(letter)};")
    return text
