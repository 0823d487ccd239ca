"""Finds the application that is named on the command line, and what it speaks."""

import functools
import importlib
import inspect
import os
import sys
from typing import Any, Literal

Interface = Literal["asgi", "wsgi"]


class ApplicationError(Exception):
    """There is no such application, or it is none; the text says what was looked for."""


def load_application(name: str, *, folder: str = ".", factory: bool = False) -> Any:
    """Import the application called ``name``.

    - ``name``: ``module:attribute``, where the attribute may have dots; without one, ``app`` and
      ``application`` are tried;
    - ``folder``: where modules are looked for first;
    - ``factory``: it is a function that makes the application.

    Raises `ApplicationError`.  An exception of the module itself is its cause.
    """
    module_name, colon, attribute = name.partition(":")
    if "/" in module_name or module_name.endswith(".py"):
        better = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise ApplicationError(
            f"{module_name!r} is a file; name its module: {better}{colon}{attribute}"
        )
    if not all(module_name.split(".")) or (colon and not attribute):
        raise ApplicationError(f"an application is written MODULE:NAME, not {name!r}")
    path = os.path.abspath(folder)
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise ApplicationError(f"{module_name} cannot be imported: {error}") from error
        raise ApplicationError(f"there is no module {error.name!r} in {path}") from None
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{module_name} cannot be imported: {error!r}") from error
    if attribute:
        for part in attribute.split("."):
            try:
                found = getattr(found, part)
            except AttributeError:
                raise ApplicationError(f"{module_name} has no {attribute!r}") from None
    else:
        for part in ("app", "application"):
            if hasattr(found, part):
                found = getattr(found, part)
                break
        else:
            raise ApplicationError(
                f"{module_name} has neither 'app' nor 'application': name it, {module_name}:NAME"
            )
    if factory:
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise ApplicationError(f"{name} does not make an application: {error!r}") from error
        if inspect.iscoroutine(found):
            found.close()
            raise ApplicationError(f"{name} is a coroutine function, and no --factory")
    if not callable(found):
        raise ApplicationError(f"{name} is no application, but {type(found).__name__}")
    return found


def interface_of(application: Any) -> Interface:
    """Find out what ``application`` speaks: ASGI 3.0 or WSGI.

    An ASGI application takes a scope and two more, and mostly is a coroutine function; a WSGI one
    takes an environment and `start_response`.  Raises `ApplicationError` if it can be neither.
    """
    called = application
    while isinstance(called, functools.partial):
        called = called.func
    method = called if inspect.isroutine(called) else type(called).__call__
    if inspect.isclass(called):
        raise ApplicationError(
            f"{called.__name__} is a class; name an instance of it, or use --factory"
        )
    if inspect.iscoroutinefunction(inspect.unwrap(method)):
        return "asgi"
    try:
        signature = inspect.signature(application)
    except (TypeError, ValueError):
        return "wsgi"  # something built in C
    for count, interface in ((2, "wsgi"), (3, "asgi")):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return interface  # type: ignore[return-value]
    raise ApplicationError(
        f"{application!r} takes neither (scope, receive, send) nor (environ, start_response); "
        "for a function that makes the application there is --factory"
    )
