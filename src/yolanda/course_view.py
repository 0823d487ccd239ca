"""The course on the terminal: lists of its programs and labs, and a program's source."""

import inspect

import click
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from yolanda import labs, programs
from yolanda.catalogue import Catalogue, Entry, first_line
from yolanda.labs.report import show_beside


@click.command("programs")
def list_programs() -> None:
    """List the programs of the course by chapter."""
    _list(Catalogue(programs))


@click.command("labs")
def list_labs() -> None:
    """List the labs by chapter: experiments that play and judge themselves."""
    _list(Catalogue(labs))


def show_source(entry: Entry) -> None:
    """Print a program with the numbers of its lines."""
    module = entry.load()
    console = Console()
    if not console.is_terminal:
        console.width = 120  # lines of a file are not folded
    console.print(f"[dim]{escape(inspect.getfile(module))}[/dim]", soft_wrap=True)
    code = inspect.getsource(module)
    console.print(Syntax(code, "python", theme="ansi_dark", line_numbers=True, word_wrap=True))


def _list(catalogue: Catalogue) -> None:
    console = Console(highlight=False)
    width = max(len(entry.name) for entry in catalogue)
    for title, entries in catalogue.chapters().items():
        console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
        for entry in entries:
            module = entry.load()
            name = module.main.name if hasattr(module, "main") else entry.name
            show_beside(console, f"  [cyan]{name:<{width}}[/cyan]", escape(first_line(module)))
