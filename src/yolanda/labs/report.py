"""How a lab is shown: its transcripts side by side with times, then what was seen."""

import inspect
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolanda.labs.stage import Actor, Moment, Verdict

_LONGEST = 20
"""Lines that an actor may say in a row before those in the middle are left out."""

_LEFT_IN = 8
"""Lines that then stay at the beginning and at the end."""


def show_introduction(console: Console, name: str, document: str) -> None:
    """Print what the lab asks, and what is to be seen in it."""
    title, _, rest = inspect.cleandoc(document).partition("\n")
    console.print(f"[bold]{escape(name)}[/bold]: {escape(title)}")
    for paragraph in rest.strip().split("\n\n"):
        lines = paragraph.splitlines()
        folded = any(line.startswith(" ") for line in lines)  # a listing stays as it is
        console.print(Text(("\n" if folded else " ").join(lines), style="dim"))
    console.print()


def show_transcripts(console: Console, actors: list[Actor], moments: list[Moment]) -> None:
    """Print a column for each actor; what the director says goes across all of them."""
    first = True
    for across, group in groupby(_shortened(moments), key=lambda moment: moment.actor is None):
        if across:
            for moment in group:
                console.print(Text(f"{_milliseconds(moment):>6}  --- {moment.text}", "yellow"))
        else:
            console.print(_table(console, actors, list(group), header=first))
            first = False
    console.print()


def show_verdicts(console: Console, verdicts: list[Verdict], failure: str = "") -> bool:
    """Print what was to be seen and whether it was; return whether all of it was.

    - ``failure``: what the lab waited for in vain; empty if nothing.
    """
    failure = _visible(failure)
    lost = "[bold red]NOT SEEN[/bold red]"
    for verdict in verdicts:
        mark = "[green]seen    [/green]" if verdict.seen else lost
        evidence = escape(_visible(verdict.evidence))
        evidence = f"  [dim]({evidence})[/dim]" if evidence else ""
        show_beside(console, mark, f"{escape(verdict.claim)}{evidence}")
    if failure:
        show_beside(console, lost, escape(failure))
    return bool(verdicts) and not failure and all(verdict.seen for verdict in verdicts)


def show_beside(console: Console, head: str, text: str) -> None:
    """Print ``text``, in rich's markup, beside ``head``.

    On a terminal it is folded between words and under itself; elsewhere it stays one line, which
    can be searched.
    """
    if not console.is_terminal:
        console.print(f"{head}  {text}", soft_wrap=True)
        return
    columns = Table.grid(padding=(0, 2, 0, 0))
    columns.add_column(no_wrap=True)
    columns.add_column(overflow="fold")
    columns.add_row(head, text)
    console.print(columns)


def _table(console: Console, actors: list[Actor], moments: list[Moment], *, header: bool) -> Table:
    table = Table(
        box=None, show_header=header, header_style="bold", width=console.width, pad_edge=False
    )
    table.add_column("ms", justify="right", style="dim", width=6, no_wrap=True)
    for actor in actors:
        table.add_column(Text(actor.name), ratio=1, overflow="fold")
    for moment in moments:
        cells = [Text() for _ in actors]
        cells[moment.actor or 0] = Text(_visible(moment.text), "cyan" if moment.by_director else "")
        table.add_row(_milliseconds(moment), *cells)
    return table


def _visible(text: str) -> str:
    r"""Write what would command the terminal as \x1b: a program may have been told to say it."""
    return "".join(c if c.isprintable() or c in "\t\u3000" else ascii(c)[1:-1] for c in text)


def _milliseconds(moment: Moment) -> str:
    return f"{moment.seconds * 1000:.0f}"


def _shortened(moments: list[Moment]) -> Iterator[Moment]:
    """Leave out the middle of what an actor says in a row."""
    runs: dict[int, list[int]] = {}
    hidden: dict[int, int] = {}

    def close(actor: int) -> None:
        run = runs.pop(actor, [])
        if len(run) > _LONGEST:
            middle = run[_LEFT_IN:-_LEFT_IN]
            hidden.update(dict.fromkeys(middle, 0))
            hidden[middle[0]] = len(middle)

    for at, moment in enumerate(moments):
        if moment.actor is None:
            for actor in list(runs):
                close(actor)
        elif moment.by_director:
            close(moment.actor)
        else:
            runs.setdefault(moment.actor, []).append(at)
    for actor in list(runs):
        close(actor)

    for at, moment in enumerate(moments):
        if at not in hidden:
            yield moment
        elif hidden[at]:
            yield Moment(moment.seconds, moment.actor, f"[... {hidden[at]:,} lines]", True)
