"""Run parts one after the other, and keep what they measured whatever happens."""

import datetime
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from yolanda.bench.part import Missing, Part, Settings
from yolanda.bench.results import PartResult, save

_COLUMNS = (
    TextColumn("{task.description:<14}"),
    BarColumn(24),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.fields[doing]}", markup=False),
)


class BarProgress:
    """A part's progress as a bar; where there is no terminal, a line when it begins and ends."""

    def __init__(self, bar: Bar, part: Part) -> None:
        self._bar = bar
        self._name = part.name
        self._task = bar.add_task(escape(part.name), total=None, doing="")
        self._begun = 0
        self._say_elsewhere(part.title)

    def expect(self, steps: int) -> None:
        """See `Progress`."""
        self._bar.update(self._task, total=steps)

    def advance(self, text: str) -> None:
        """See `Progress`."""
        self._bar.update(self._task, completed=self._begun, doing=text)
        self._begun += 1

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._bar.console.print(f"{self._name}: {text}", markup=False, soft_wrap=True)

    def end(self, result: PartResult) -> None:
        """Stop the bar where it is, or fill it, and say why less was measured than was wanted."""
        reason = result.missing or result.failure
        if reason:
            self.note(reason)
        else:
            self._bar.update(self._task, completed=self._begun, total=self._begun)
        self._bar.update(self._task, doing="")
        self._bar.stop_task(self._task)
        self._say_elsewhere(f"took {result.seconds:.0f} s")

    def _say_elsewhere(self, text: str) -> None:
        if not self._bar.console.is_terminal:
            self.note(text)


def measure_all(parts: Iterable[tuple[Part, Settings]], folder: Path, console: Console) -> bool:
    """Measure parts, write the result of each to ``folder``, and tell whether none failed.

    A part that fails does not keep the others from being measured.  After Ctrl+C the part in hand
    is kept as far as it went, the others are left out, and `KeyboardInterrupt` goes on.
    """
    well = True
    with Bar(*_COLUMNS, console=console, disable=not console.is_terminal) as bar:
        for part, settings in parts:
            result = PartResult(part.name, {"rounds": settings.rounds, "seconds": settings.seconds})
            _measure(part, settings, BarProgress(bar, part), result, folder)
            well = well and not result.failure
    return well


def _measure(
    part: Part, settings: Settings, progress: BarProgress, result: PartResult, folder: Path
) -> None:
    """Measure one part and keep its result, also if it is interrupted."""
    result.started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    begin = time.monotonic()
    try:
        part.measure(settings, progress, result)
        if not any(point.samples for point in result.points):
            result.failure = "no contender gave a figure"
    except Missing as error:
        result.missing = str(error)
    except KeyboardInterrupt:
        result.failure = "interrupted"
        raise
    except Exception as error:
        trace = folder / f"{part.name}.traceback.txt"
        trace.write_text(traceback.format_exc())
        result.failure = f"{type(error).__name__}: {error} ({trace} says where)"
    finally:
        result.seconds = time.monotonic() - begin
        save(result, folder)
        progress.end(result)
