"""Measure, and draw a report of what was measured."""

import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from yolanda.bench import results
from yolanda.bench.part import Missing, Part, Settings
from yolanda.bench.parts import PARTS
from yolanda.bench.results import PartResult


class BarProgress:
    """A part's progress as a bar on the terminal."""

    def __init__(self, bar: Bar, part: Part) -> None:
        self._bar = bar
        self._task = bar.add_task(part.name, total=None, doing="")
        self._begun = 0

    def expect(self, steps: int) -> None:
        """See `Progress`."""
        self._bar.update(self._task, total=steps)

    def advance(self, text: str) -> None:
        """See `Progress`."""
        self._bar.update(self._task, completed=self._begun, doing=text)
        self._begun += 1

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._bar.console.print(text, markup=False)

    def end(self) -> None:
        """Fill the bar."""
        self._bar.update(self._task, completed=self._begun, total=self._begun, doing="")


def measure(
    part: Part, settings: Settings, progress: BarProgress, keep: Callable[[PartResult], object]
) -> PartResult:
    """Measure one part and keep its result, also if it is interrupted."""
    result = PartResult(part.name, {"rounds": settings.rounds, "seconds": settings.seconds})
    result.started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    begin = time.monotonic()
    try:
        part.measure(settings, progress, result)
    except Missing as error:
        result.missing = str(error)
    except KeyboardInterrupt:
        result.failure = "interrupted"
        raise
    except Exception as error:
        result.failure = f"{type(error).__name__}: {error}"
        raise
    finally:
        result.seconds = time.monotonic() - begin
        progress.end()
        keep(result)
    return result


@click.command("bench", help=__doc__)
@click.argument("names", nargs=-1, metavar="[PART]...")
@click.option("--short", is_flag=True, help="A few seconds a part, to see that each works.")
@click.option("--rounds", type=click.IntRange(1), help="How often each contender is measured.")
@click.option("--seconds", type=click.FloatRange(0.1), help="How long one measurement lasts.")
@click.option("--only", metavar="NAME,...", default="", help="These contenders alone.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--list", "listing", is_flag=True, help="List the parts and their contenders.")
@click.option("--no-install", is_flag=True, help="Do not install what is missing.")
def main(
    names: tuple[str, ...],
    short: bool,
    rounds: int | None,
    seconds: float | None,
    only: str,
    out: Path | None,
    listing: bool,
    no_install: bool,
) -> None:
    """Measure the parts."""
    if not sys.platform.startswith("linux"):
        raise click.ClickException("the measurements need Linux: they read /proc and use epoll")
    if listing:
        for part in PARTS:
            click.echo(f"{part.name}: {part.title}\n    {', '.join(part.contenders)}")
        return
    chosen = [part for part in PARTS if part.name in names or (not names and part.by_default)]
    now = datetime.datetime.now()
    folder = out or Path("bench-results") / now.strftime("%Y-%m-%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}"),
    )
    with Bar(*columns, console=Console(highlight=False)) as bar:
        for part in chosen:
            settings = Settings(
                short,
                rounds or (part.short_rounds if short else part.rounds),
                seconds or (part.short_seconds if short else part.seconds),
                tuple(filter(None, only.split(","))),
                not no_install,
            )
            progress = BarProgress(bar, part)
            measure(part, settings, progress, lambda result: results.save(result, folder))
    click.echo(f"results: {folder}")
