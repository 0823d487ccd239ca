"""The command line."""

import copy
import io
import pkgutil
import select
import signal
import socket
import sys
from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from yolanda import __version__, programs
from yolanda.catalogue import Catalogue
from yolanda.programs.blocking import explain
from yolanda.time_range import TimeRange

_INSTALL = {
    "bash": 'eval "$(yolanda completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(yolanda completion zsh)"   # in ~/.zshrc',
    "fish": "yolanda completion fish > ~/.config/fish/completions/yolanda.fish",
}


_LARGE_COMMANDS = {
    "bench": "yolanda.bench.command:main",
    "http": "yolanda.programs.chapter34.http_server01:main",
    "lab": "yolanda.lab_command:main",
    "labs": "yolanda.course_view:list_labs",
    "programs": "yolanda.course_view:list_programs",
    "serve": "yolanda.serve_command:main",
    "static": "yolanda.static_command:main",
}
"""What is imported only when it is asked for: every program of the course would wait for it."""


class CommandLine(click.Group):
    """The commands; a connection that broke is told from a reader of the output that left."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *_LARGE_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, which is perhaps imported now."""
        place = _LARGE_COMMANDS.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        command = pkgutil.resolve_name(place)
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


@cli.command(epilog="\b\nTo install:\n" + "\n".join(f"    {line}" for line in _INSTALL.values()))
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete yolanda's commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "yolanda", "_YOLANDA_COMPLETE").source())


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
                pkgutil.resolve_name("yolanda.course_view:show_source")(entry)
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
            hint = self.catalogue.hint(args[0], "'yolanda programs' lists them")
            raise click.UsageError(f"there is no program {args[0]!r}; {hint}")
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


def _with_finite_range(parameter: click.Parameter) -> click.Parameter:
    """Refuse nan and inf for a parameter that has a range: click takes them for within."""
    kind = parameter.type
    if isinstance(kind, click.FloatRange):
        parameter = copy.copy(parameter)
        parameter.type = TimeRange(kind.min, kind.max, kind.min_open, kind.max_open)
    return parameter


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
