"""What is named on the command line: found and told apart, or refused with what was wrong."""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.apps.application import ApplicationError, interface_of, load_application

MODULE = """
import sys

def wsgi(environ, start_response): ...
async def asgi(scope, receive, send): ...

class Holder:
    app = staticmethod(asgi)

app = asgi
number = 5

def make(): return asgi
def breaks(): raise ValueError("no database")
def needs(argument): ...
def leaves(): sys.exit(7)
def nothing(): ...
async def waits(): ...
"""


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Write modules, which are forgotten afterwards; the result is their folder."""
    modules, path = set(sys.modules), sys.path.copy()

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return str(tmp_path)

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["found_it:app", "found_it:Holder.app", "found_it"])
def test_it_is_found(write: Callable[[str, str], str], name: str) -> None:
    found = load_application(name, folder=write("found_it", MODULE))
    assert found.__name__ == "asgi"


def test_a_factory_makes_it(write: Callable[[str, str], str]) -> None:
    found = load_application("found_it:make", folder=write("found_it", MODULE), factory=True)
    assert found.__name__ == "asgi"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "MODULE:NAME"),
        (":app", "MODULE:NAME"),
        ("found_it:", "MODULE:NAME"),
        ("..found_it:app", "MODULE:NAME"),
        ("found_it.:app", "MODULE:NAME"),
        ("found_it.py:app", "is a file; name its module: found_it:app"),
        ("./src/found_it.py", "is a file; name its module: src.found_it"),
        ("nowhere_at_all:app", "no module 'nowhere_at_all' in /"),
        ("found_it:other", "found_it has no 'other'"),
        ("found_it:number", "found_it:number is no application, but int"),
        ("found_it:app:x", "found_it has no 'app:x'"),
    ],
)
def test_there_is_none(write: Callable[[str, str], str], name: str, message: str) -> None:
    with pytest.raises(ApplicationError, match=message) as caught:
        load_application(name, folder=write("found_it", MODULE))
    assert caught.value.__cause__ is None  # there is nothing of the application's own to be shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "cannot be imported: No module named 'nowhere_at_all'"),
        ("def app(:", r"cannot be imported: SyntaxError\("),
        ("raise ValueError(3)", r"cannot be imported: ValueError\(3\)"),
        ("import sys; sys.exit(4)", r"cannot be imported: SystemExit\(4\)"),
    ],
)
def test_a_module_that_fails_is_told_with_its_exception(
    write: Callable[[str, str], str], text: str, message: str
) -> None:
    with pytest.raises(ApplicationError, match=message) as caught:
        load_application("fails:app", folder=write("fails", text))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("breaks", r"does not make an application: ValueError\('no database'\)"),
        ("needs", "does not make an application: TypeError"),
        ("leaves", r"does not make an application: SystemExit\(7\)"),
        ("nothing", "is no application, but NoneType"),
        ("waits", "is a coroutine function"),
    ],
)
def test_a_factory_that_makes_none(
    write: Callable[[str, str], str], name: str, message: str
) -> None:
    with pytest.raises(ApplicationError, match=message):
        load_application(f"found_it:{name}", folder=write("found_it", MODULE), factory=True)


def wsgi(environ: Any, start_response: Any) -> Any: ...


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("application", "spoken"),
    [
        (wsgi, "wsgi"),
        (asgi, "asgi"),
        (Wsgi(), "wsgi"),
        (Asgi(), "asgi"),
        (Asgi().__call__, "asgi"),
        (functools.partial(asgi), "asgi"),
        (lambda scope, receive, send: asgi(scope, receive, send), "asgi"),
        (lambda environ, start_response: [], "wsgi"),
        (lambda *arguments: [], "wsgi"),
    ],
)
def test_what_it_speaks(application: Any, spoken: str) -> None:
    assert interface_of(application) == spoken


@pytest.mark.parametrize(
    "application", [Asgi, lambda: None, lambda a: None], ids=["class", "none", "one"]
)
def test_what_speaks_neither(application: Any) -> None:
    with pytest.raises(ApplicationError, match="--factory"):
        interface_of(application)
