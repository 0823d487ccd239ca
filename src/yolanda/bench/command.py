"""Measure what Yolanda costs, and draw a report of it.

Without a PART, all of the usual report are measured, one after the other, on two cores of this
machine: server and client have one each.  The results are kept as JSON in a folder, with the report
as HTML and Markdown.

\b
    $ yolanda bench --list
    $ yolanda bench --short --all                   # some minutes, to see that it works
    $ yolanda bench http --only nginx,yolanda --rounds 10
    $ yolanda bench --out before; git switch faster; yolanda bench --out after --compare before
    $ yolanda bench --report before                 # draw the report again
"""

import contextlib
import datetime
import difflib
import math
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.markup import escape

from yolanda.bench import machine
from yolanda.bench.all_parts import PARTS
from yolanda.bench.measuring import measure_all
from yolanda.bench.part import Part, Settings
from yolanda.bench.report.build import build
from yolanda.bench.report.comparison import compare
from yolanda.bench.report.terminal import print_comparison, print_document
from yolanda.bench.report.write import write_report
from yolanda.bench.results import PartResult
from yolanda.bench.run_folder import Run, load_run, save_run, version_and_commit

_WIDTH_ELSEWHERE = 120
"""Letters in a line where there is no terminal."""
_MEASURING = ("everything", "short", "rounds", "seconds", "only", "out", "no_install")


class PartName(click.ParamType[Part]):
    """The name of a part."""

    name = "PART"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Part:
        """Find the part."""
        if isinstance(value, Part):
            return value
        for part in PARTS:
            if part.name == value:
                return part
        raise _unknown("part", str(value), [part.name for part in PARTS])

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the name of a part."""
        return [
            CompletionItem(part.name, help=part.title)
            for part in PARTS
            if part.name.startswith(incomplete)
        ]


_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("bench", help=__doc__, short_help="Measure what it costs, and draw a report.")
@click.argument("parts", nargs=-1, type=PartName(), metavar="[PART]...")
@click.option("--all", "everything", is_flag=True, help="All parts, also the less usual.")
@click.option("--short", is_flag=True, help="A few seconds a part: no figure is to be judged.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="How often each contender is measured, in turn with the others.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    callback=lambda ctx, param, value: _number(value),
    metavar="S",
    help="How long one measurement lasts.",
)
@click.option("--only", default="", metavar="NAME,...", help="Measure these contenders alone.")
@click.option(
    "--out",
    type=_FOLDER,
    metavar="DIR",
    help="Where results and report go.  [default: bench-results/DATE-TIME]",
)
@click.option("--compare", "old", type=_FOLDER, metavar="DIR", help="Say what moved since DIR.")
@click.option("--report", "again", type=_FOLDER, metavar="DIR", help="Draw DIR's report again.")
@click.option("--no-install", is_flag=True, help="Do not install tools that are missing.")
@click.option("--list", "listing", is_flag=True, help="List the parts and their contenders.")
@click.pass_context
def main(
    ctx: click.Context,
    parts: tuple[Part, ...],
    everything: bool,
    short: bool,
    rounds: int | None,
    seconds: float | None,
    only: str,
    out: Path | None,
    old: Path | None,
    again: Path | None,
    no_install: bool,
    listing: bool,
) -> None:
    """Measure parts, or draw the report of what was measured."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_ELSEWHERE
    if listing:
        _list(console)
        return
    before = load_run(old) if old is not None else None
    if again is not None:
        _refuse_with_report(ctx, parts)
        _report(console, again, before, in_full=False)
        return
    if not sys.platform.startswith("linux"):
        raise click.ClickException("measuring needs Linux: /proc, epoll, processes pinned to cores")
    chosen = parts or tuple(part for part in PARTS if part.by_default or everything)
    names = _contenders(chosen, only)
    planned = [
        (
            part,
            Settings(
                short,
                rounds or (part.short_rounds if short else part.rounds),
                seconds or (part.short_seconds if short else part.seconds),
                names,
                not no_install,
            ),
        )
        for part in {part.name: part for part in chosen}.values()
        if not names or not set(names).isdisjoint(part.contenders)
    ]
    now = datetime.datetime.now().astimezone()
    folder = out or Path("bench-results") / now.strftime("%Y-%m-%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    started = now.isoformat(timespec="seconds")
    save_run(Run(machine.describe(), version_and_commit(), started, short), folder)
    interrupted, well = False, True
    try:
        with _terminated_as_interrupted():
            well = measure_all(planned, folder, console)
    except KeyboardInterrupt:
        interrupted = True
    _report(console, folder, before, in_full=True)
    if interrupted:
        raise click.Abort
    if not well:
        raise click.ClickException("not every part could be measured to its end")


def _report(console: Console, folder: Path, before: Run | None, *, in_full: bool) -> None:
    """Write the report of a folder, and print what it says."""
    run = load_run(folder)
    document = build(run, PARTS)
    if before is not None:
        document.comparison = compare(before, run, PARTS)
    if in_full:
        print_document(console, build(replace(run, parts=_of_this(run)), PARTS))
    if document.comparison is not None:
        print_comparison(console, document.comparison)
    paths, without = write_report(document, folder)
    if without:
        console.print(escape(without), style="yellow", soft_wrap=True)
    for path in paths:
        console.print(escape(str(path)), soft_wrap=True)


def _of_this(run: Run) -> list[PartResult]:
    """Return what was measured in this run: its folder may hold parts of one before."""
    return [result for result in run.parts if result.started >= run.started]


def _list(console: Console) -> None:
    for part in PARTS:
        extra = "" if part.by_default else " [dim](with --all, or when it is named)[/dim]"
        console.print(f"[bold]{escape(part.name)}[/bold]  {escape(part.title)}{extra}")
        console.print(f"    [dim]{escape(' · '.join(part.contenders))}[/dim]", soft_wrap=True)


def _contenders(parts: tuple[Part, ...], only: str) -> tuple[str, ...]:
    """Return the names in ``only``, some of which have commas themselves; refuse an unknown one."""
    pieces = [piece.strip() for piece in only.split(",") if piece.strip()]
    known = [name for part in parts for name in part.contenders]
    names = []
    while pieces:
        lengths = [n for n in range(len(pieces), 0, -1) if ", ".join(pieces[:n]) in known]
        if not lengths:
            raise _unknown("contender", pieces[0], known)
        names.append(", ".join(pieces[: lengths[0]]))
        del pieces[: lengths[0]]
    return tuple(names)


def _number(value: float | None) -> float | None:
    """Refuse what is no number: click takes it for within any range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number.")
    return value


def _unknown(kind: str, name: str, known: list[str]) -> click.UsageError:
    near = difflib.get_close_matches(name, dict.fromkeys(known), cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "'yolanda bench --list' lists them"
    return click.UsageError(f"there is no {kind} {name!r}; {hint}")


def _refuse_with_report(ctx: click.Context, parts: tuple[Part, ...]) -> None:
    given = ["PART"] if parts else []
    given += [
        option.opts[0]
        for option in ctx.command.params
        if option.name in _MEASURING
        and ctx.get_parameter_source(option.name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(f"--report measures nothing: leave out {', '.join(given)}")


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM as Ctrl+C meanwhile: servers are to be ended, and results kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
