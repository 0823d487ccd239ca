"""Serve an application: ASGI (FastAPI, Starlette, Django ...) or WSGI (Flask, Django ...).

APP is written MODULE:NAME, as in main:app, or MODULE alone if the name is app or application.

\b
    $ yolanda serve main:app
    $ yolanda serve main:app --reload
    $ yolanda serve main:app --host 0.0.0.0 --port 80 --workers 4 --access-log
    $ yolanda serve main:make_app --factory --unix /run/main.sock

Each option can also stand in pyproject.toml, as workers = 4 in the table [tool.yolanda], and in the
environment, as YOLANDA_WORKERS=4; the command line counts more than the environment, and that more
than the file.
"""

import os
import traceback
from dataclasses import Field
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from yolanda.apps.application import ApplicationError
from yolanda.apps.config import Config, ConfigError, env_file_of, options
from yolanda.apps.serve import load_env_file, serve_with


class SectionedCommand(click.Command):
    """A command with many options, which its help lists in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section under its title."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "section", "Options")
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class ConfigOption(click.Option):
    """A field of `Config` as an option; what is not given is left to the other places."""

    def __init__(self, item: "Field[Any]", kind: Any, section: str) -> None:
        self.section = section
        """The title under which it is listed."""
        name = item.name.replace("_", "-")
        metadata = item.metadata
        declarations = [f"--{name}", item.name]
        attributes: dict[str, Any] = {}
        if kind is bool:
            declarations[0] = f"--{name}/--no-{name}"
        elif words := _words_of(kind):
            attributes["type"] = click.Choice(words)
        elif get_origin(kind) is tuple:
            attributes["multiple"] = True
        else:
            attributes["type"] = _number_of(kind)
        if metadata["flag_value"] is not None:
            attributes |= {"is_flag": False, "flag_value": metadata["flag_value"]}
        if metadata["short"] is not None:
            declarations.insert(0, metadata["short"])
        help_text = metadata["help"]
        if item.default not in (None, (), False, "") and "default" not in help_text:
            shown = item.default
            if kind is bool:
                shown = name
            elif isinstance(shown, float):
                shown = f"{shown:g}"
            help_text = f"{help_text}  [default: {shown}]"
        super().__init__(
            declarations, help=help_text, metavar=metadata["metavar"], default=None, **attributes
        )


def _words_of(kind: Any) -> tuple[str, ...]:
    """What an option can be, if that is a choice; it may also be left unsaid."""
    choices = (part for part in (kind, *get_args(kind)) if get_origin(part) is Literal)
    return get_args(next(choices, None))


def _number_of(kind: Any) -> click.ParamType[Any]:
    parts = {kind, *get_args(kind)}
    return click.INT if int in parts else click.FLOAT if float in parts else click.STRING


def _parameters() -> list[click.Parameter]:
    kinds = get_type_hints(Config)
    parameters: list[click.Parameter] = [click.Argument(["app"], metavar="APP")]
    section = ""
    for item in options():
        section = item.metadata["section"] or section
        parameters.append(ConfigOption(item, kinds[item.name], section))
    return parameters


def run(app: str, **_: Any) -> None:
    """Serve ``app`` with the options of the command line and of all other places."""
    context = click.get_current_context()
    given = {
        name: value
        for name, value in context.params.items()
        if name != "app" and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    try:
        load_env_file(env_file_of(given, os.environ))
        status = serve_with(Config.load(given), app)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    except ApplicationError as error:
        if error.__cause__ is not None:  # the application's own traceback is what helps
            traceback.print_exception(error.__cause__)
        raise click.ClickException(str(error)) from error
    context.exit(status)


main = SectionedCommand(
    "serve",
    callback=run,
    params=_parameters(),
    help=__doc__,
    short_help="Serve an ASGI or WSGI application.",
    context_settings={"max_content_width": 100},
)
