"""Play labs, show what each side did, and judge what was seen."""

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from yolanda import labs
from yolanda.catalogue import Catalogue, Entry
from yolanda.labs.report import show_introduction, show_transcripts, show_verdicts
from yolanda.labs.stage import LabFailed, LabSkipped, Stage
from yolanda.time_range import TimeRange


class LabName(click.ParamType[Entry]):
    """The name of a lab."""

    name = "NAME"
    catalogue = Catalogue(labs)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Entry:
        """Find the lab."""
        if isinstance(value, Entry):
            return value
        entry = self.catalogue.find(str(value))
        if entry is None:
            hint = self.catalogue.hint(str(value), "'yolanda labs' lists them")
            raise click.UsageError(f"there is no lab {value!r}; {hint}")
        return entry

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the name of a lab."""
        return [
            CompletionItem(entry.name)
            for entry in self.catalogue
            if entry.name.startswith(incomplete)
        ]


@click.command("lab")
@click.argument("names", nargs=-1, type=LabName(), metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Play every lab.")
@click.option(
    "--patience",
    type=TimeRange(0, min_open=True),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a thing before it counts as not seen.",
)
def main(names: tuple[Entry, ...], everything: bool, patience: float) -> None:
    """Play the experiment NAME, show what each side did, and judge what was seen.

    Both sides are real processes of this machine.  The exit status is 0 if all that was to be seen
    was seen, 1 if not, and 0 with a reason where the system lacks what the lab needs.
    """
    chosen = tuple(LabName.catalogue) if everything else names
    if not chosen:
        raise click.UsageError("which lab? 'yolanda labs' lists them, --all plays them all")
    console = Console(highlight=False)
    failed = [entry.name for entry in chosen if not _play(console, entry, patience)]
    if len(chosen) > 1:
        console.print(f"{len(chosen) - len(failed)} of {len(chosen)} labs showed what they should")
    if failed:
        raise click.ClickException(f"not seen in {', '.join(failed)}")


def _play(console: Console, entry: Entry, patience: float) -> bool:
    module = entry.load()
    show_introduction(console, entry.name, module.__doc__ or "")
    failure = ""
    with Stage(patience) as stage:
        try:
            module.play(stage)
        except LabFailed as error:
            failure = str(error)
        except LabSkipped as error:
            console.print(f"skipped: {error}")
            return True
    show_transcripts(console, stage.actors, stage.moments)
    seen = show_verdicts(console, stage.verdicts, failure)
    console.print()
    return seen
