"""The command line."""

import copy
import importlib
import inspect
import io
import select
import signal
import socket
import sys
from typing import NoReturn

import click
from click.shell_completion import CompletionItem, get_completion_class
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from yolanda import __version__, labs, programs
from yolanda.catalogue import Catalogue, Entry, first_line
from yolanda.labs.report import show_beside, show_introduction, show_transcripts, show_verdicts
from yolanda.labs.stage import LabFailed, LabSkipped, Stage
from yolanda.programs.blocking import explain
from yolanda.programs.chapter34 import http_server01

_INSTALL = {
    "bash": 'eval "$(yolanda completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(yolanda completion zsh)"   # in ~/.zshrc',
    "fish": "yolanda completion fish > ~/.config/fish/completions/yolanda.fish",
}


_LARGE_COMMANDS = {
    "bench": "yolanda.bench.command",
    "serve": "yolanda.serve_command",
    "static": "yolanda.static_command",
}
"""What is imported only when it is asked for: every program of the course would wait for it."""


class CommandLine(click.Group):
    """The commands; a connection that broke is told from a reader of the output that left."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *_LARGE_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, which is perhaps imported now."""
        module = _LARGE_COMMANDS.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command = importlib.import_module(module).main
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command.  click takes every EPIPE for its output's, and says nothing."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if _is_broken(sys.stdout.fileno()):
                raise
            raise click.ClickException(explain(error)) from error


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="yolanda", message="%(prog)s %(version)s")
def cli() -> None:
    """Yolanda: a reactor for Python, and an HTTP server on top of it."""


cli.add_command(http_server01.main, "http")


@cli.command(epilog="\b\nTo install:\n" + "\n".join(f"    {line}" for line in _INSTALL.values()))
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete yolanda's commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "yolanda", "_YOLANDA_COMPLETE").source())


class TimeRange(click.FloatRange):
    """A range of times, all of which can be waited for: nan and inf cannot, whatever the range.

    The kernel counts a time-out in milliseconds, in 32 bits, so that it ends after 24 days.  The
    parameter's metavar says whether it is in seconds or in MS.
    """

    LONGEST = 1_000_000
    """Seconds."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the number, which is text yet."""
        number = super().convert(value, param, ctx)
        in_ms = param is not None and param.metavar == "MS"
        longest = self.LONGEST * 1000 if in_ms else self.LONGEST
        if not number <= longest:  # nor is nan
            self.fail(f"{value} is not a number up to {longest}.", param, ctx)
        return number


class ProgramGroup(click.Group):
    """The course's programs as commands; each is imported when it is asked for."""

    catalogue = Catalogue(programs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all programs, in the course's order."""
        return [entry.name for entry in self.catalogue]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a program's own command, with ``--source`` beside its options."""
        entry = self.catalogue.find(cmd_name)
        if entry is None:
            return None
        command = copy.copy(entry.load().main)
        assert isinstance(command, click.Command)

        def show_source(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
            if wanted:
                _show_source(entry)
                ctx.exit()

        source = click.Option(
            ["--source"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show_source,
            help="Show the program itself, and exit.",
        )
        command.params = [*map(_with_finite_range, command.params), source]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which names are near to the one that is not there."""
        if args and self.catalogue.find(args[0]) is None:
            _no_such("program", args[0], self.catalogue, "programs")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Leave the list to a command of its own."""
        formatter.write_paragraph()
        formatter.write_text("'yolanda programs' lists the programs.")


@cli.group(
    cls=ProgramGroup,
    subcommand_metavar="NAME [ARGS]...",
    context_settings={"max_content_width": 100},
)
def run() -> None:
    """Run a program of the course.

    \b
    yolanda run NAME --help      what it shows, its options, and a session to try
    yolanda run NAME --source    the program itself
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A line is seen when it is printed, also through a pipe, whatever bytes came in.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    signal.signal(signal.SIGTERM, _end)


@cli.command("programs")
def list_programs() -> None:
    """List the programs of the course by chapter."""
    _list(Catalogue(programs))


@cli.command("labs")
def list_labs() -> None:
    """List the labs by chapter: experiments that play and judge themselves."""
    _list(Catalogue(labs))


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
        return self.catalogue.find(str(value)) or _no_such(
            "lab", str(value), self.catalogue, "labs"
        )

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the name of a lab."""
        return [
            CompletionItem(entry.name)
            for entry in self.catalogue
            if entry.name.startswith(incomplete)
        ]


@cli.command()
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
def lab(names: tuple[Entry, ...], everything: bool, patience: float) -> None:
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


def _with_finite_range(parameter: click.Parameter) -> click.Parameter:
    """Refuse nan and inf for a parameter that has a range: click takes them for within."""
    kind = parameter.type
    if isinstance(kind, click.FloatRange):
        parameter = copy.copy(parameter)
        parameter.type = TimeRange(kind.min, kind.max, kind.min_open, kind.max_open)
    return parameter


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


def _list(catalogue: Catalogue) -> None:
    console = Console(highlight=False)
    width = max(len(entry.name) for entry in catalogue)
    for title, entries in catalogue.chapters().items():
        console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
        for entry in entries:
            module = entry.load()
            name = module.main.name if hasattr(module, "main") else entry.name
            show_beside(console, f"  [cyan]{name:<{width}}[/cyan]", escape(first_line(module)))


def _show_source(entry: Entry) -> None:
    module = entry.load()
    console = Console()
    if not console.is_terminal:
        console.width = 120  # lines of a file are not folded
    console.print(f"[dim]{escape(inspect.getfile(module))}[/dim]", soft_wrap=True)
    code = inspect.getsource(module)
    console.print(Syntax(code, "python", theme="ansi_dark", line_numbers=True, word_wrap=True))


def _no_such(kind: str, name: str, catalogue: Catalogue, command: str) -> NoReturn:
    near = catalogue.similar(name)
    hint = f"did you mean {' or '.join(near)}?" if near else f"'yolanda {command}' lists them"
    raise click.UsageError(f"there is no {kind} {name!r}; {hint}")


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def main() -> None:
    """Run the command line; an error is one line on the standard error and a status that says so.

    The status is 2 for an argument that is wrong, 1 for what could not be done, and 130 after
    Ctrl+C.
    """
    try:
        status = cli.main(prog_name="yolanda", standalone_mode=False)
    except click.exceptions.Abort:
        status = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.ClickException as error:
        status = _complain(error.format_message(), error.exit_code)
    except ValueError as error:
        looked_up = isinstance(error.__cause__, socket.gaierror)
        status = _complain(str(error), 1 if looked_up else 2)
    except OSError as error:
        status = _complain(explain(error), 1)
    except MemoryError:
        status = _complain("not enough memory for what was asked for", 1)
    sys.exit(status)


def _complain(text: str, status: int) -> int:
    click.echo(f"yolanda: error: {text}", err=True)
    return status


def _is_broken(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
