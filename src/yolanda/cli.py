"""The command line."""

import errno
import os
import socket
import sys
from typing import Literal

import click
from click.shell_completion import get_completion_class

from yolanda import __version__
from yolanda.programs import http_server01

_INSTALL = {
    "bash": 'eval "$(yolanda completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(yolanda completion zsh)"   # in ~/.zshrc',
    "fish": "yolanda completion fish > ~/.config/fish/completions/yolanda.fish",
}


class ThreadCount(click.ParamType[int | str]):
    """A number of threads, or ``auto``."""

    name = "N|auto"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["auto"]:
        """Read ``value`` as the option's argument."""
        if value == "auto":
            return "auto"
        try:
            count = int(str(value))
        except ValueError:
            count = -1
        if count < 0:
            self.fail(f"{value!r} is neither a number from 0 on nor 'auto'", param, ctx)
        return count


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="yolanda", message="%(prog)s %(version)s")
def cli() -> None:
    """Yolanda: a reactor for Python, and an HTTP server on top of it."""


@cli.command()
@click.argument("address", default="127.0.0.1:43211")
@click.option(
    "--threads",
    type=ThreadCount(),
    default="2",
    show_default=True,
    help="Sub-reactors beside the main one; 0: a single reactor; auto: two a processor.",
)
@click.option(
    "--dispatcher",
    type=click.Choice(["auto", "epoll", "epoll-et", "kqueue", "poll", "select"]),
    default="auto",
    show_default=True,
    envvar="YOLANDA_DISPATCHER",
    show_envvar=True,
    help="How a reactor waits for events: auto takes the best that is there, epoll-et is epoll "
    "edge-triggered.",
)
@click.option("--trace", is_flag=True, help="Print what the reactors do, in the course's words.")
def http(address: str, threads: int | Literal["auto"], dispatcher: str, trace: bool) -> None:
    """Run the course's HTTP server (chapter 34) on ADDRESS.

    ADDRESS is written HOST:PORT, [IPV6]:PORT, :PORT for every interface, PORT for this machine
    only, unix:PATH, or fd:N for an inherited socket.

    \b
    Try, in another terminal:
        curl -v http://127.0.0.1:43211/
        curl -v http://127.0.0.1:43211/network
        curl -o photo.png http://127.0.0.1:43211/photo
    """
    http_server01.serve(address, threads, dispatcher, trace)


@cli.command(epilog="\b\nTo install:\n" + "\n".join(f"    {line}" for line in _INSTALL.values()))
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete yolanda's commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "yolanda", "_YOLANDA_COMPLETE").source())


def main() -> None:
    """Run the command line; an error is one line on the standard error and a status that says so.

    The status is 2 for an argument that is wrong and 1 for what could not be done.
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
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except ValueError as error:
        looked_up = isinstance(error.__cause__, socket.gaierror)
        status = _complain(str(error), 1 if looked_up else 2)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0)
        text = error.strerror or str(error)
        status = _complain(f"{text} [{name}]" if name else text, 1)
    sys.exit(status)


def _complain(text: str, status: int) -> int:
    click.echo(f"yolanda: error: {text}", err=True)
    return status
