"""A report as lines on the terminal: verdicts, findings, and the tables without their spreads."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolanda.bench.report.comparison import Comparison
from yolanda.bench.report.document import Document, Grid, Section, Verdict
from yolanda.bench.report.numbers import moment_text, percent_text
from yolanda.bench.report.tables import medians_grid

_STYLES = {Verdict.MET: "green", Verdict.MISSED: "red", Verdict.UNMEASURED: "dim"}


def print_document(console: Console, document: Document) -> None:
    """Print a report."""
    for section in document.sections:
        _print_section(console, section)
    for remark in document.remarks:
        console.print(escape(remark), style="yellow")


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print what moved between two runs."""
    old = comparison.old
    console.print()
    console.print(f"[bold]Since {escape(moment_text(old.started))}[/bold], {escape(old.version)}")
    for line in [*comparison.remarks, *comparison.summary()]:
        console.print(f"- {escape(line)}")
    for part in comparison.parts:
        console.print(f"[bold]{escape(part.title)}[/bold]")
        if part.moves:
            _print_grid(console, medians_grid(part))
        for move in part.moved:
            where = f", {move.place}" if move.place else ""
            line = f"{move.contender}{where}, {move.figure.title}: {move.words}"
            style = "green" if move.better else "red"
            text = Text(f"{percent_text(move.change):>8}  ", style)
            console.print(text.append(line, "default"), soft_wrap=True)


def _print_section(console: Console, section: Section) -> None:
    console.print()
    console.print(f"[bold]{escape(section.title)}[/bold]")
    if section.state:
        console.print(escape(section.state), style="yellow")
    for finding in section.findings:
        console.print(f"- {escape(finding)}")
    for verdict in section.verdicts:
        where = f", {verdict.where}" if verdict.where else ""
        line = Text(f"{verdict.state:<12}  ", _STYLES[verdict.state])
        line.append(f"{verdict.who}{where}, {verdict.figure}: ", "default")
        line.append(" ".join(filter(None, [verdict.value, f"({verdict.words})"])), "default")
        console.print(line)
    for grid in section.grids:
        _print_grid(console, grid)
    for trouble in [*section.troubles, *section.client, *section.notes]:
        console.print(f"  {escape(trouble)}", style="dim")


def _print_grid(console: Console, grid: Grid) -> None:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=escape(grid.title),
        title_justify="left",
        title_style="",
        pad_edge=False,
        header_style="dim",
    )
    for index, name in enumerate(grid.head):
        table.add_column(escape(name), justify="right" if index else "left", no_wrap=not index)
    for row in grid.rows:
        cells = [Text(cell.text, "bold" if cell.best else "") for cell in row.cells]
        table.add_row(escape(row.name), *cells, style="bold" if row.ours else "")
    console.print(table)
