"""What there is to run: the modules of a package that has a folder a chapter.

A program or a lab is found by its place, ``chapterNN/NAME.py``; nothing has to be registered.  A
name may be written with hyphens or with underscores.
"""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

_FOLDER = re.compile(r"chapter(\d+)$")


@dataclass(frozen=True)
class Entry:
    """A module that can be run."""

    chapter: int
    name: str
    """As its author writes it, with hyphens for underscores."""
    module: str

    def load(self) -> ModuleType:
        """Import the module."""
        return importlib.import_module(self.module)


class Catalogue:
    """The modules of ``package``, by chapter and name.  Any thread may read it.

    - ``package``: has a folder ``chapterNN`` for each chapter, whose docstring is its title.
    """

    def __init__(self, package: ModuleType) -> None:
        self._package = package
        self._entries = {_key(entry.name): entry for entry in self._scan()}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, name: str) -> Entry | None:
        """Return the module called ``name``, or None."""
        return self._entries.get(_key(name))

    def similar(self, name: str) -> list[str]:
        """Return the names nearest to one that is not there, best first."""
        close = difflib.get_close_matches(_key(name), self._entries, cutoff=0.5)
        return [self._entries[key].name for key in close]

    def chapters(self) -> dict[str, list[Entry]]:
        """Return the modules of each chapter by its title, in the course's order."""
        chapters: dict[str, list[Entry]] = {}
        for entry in self:
            folder = importlib.import_module(entry.module.rpartition(".")[0])
            chapters.setdefault(first_line(folder), []).append(entry)
        return chapters

    def _scan(self) -> Iterator[Entry]:
        for folder in sorted(pkgutil.iter_modules(self._package.__path__)):
            number = _FOLDER.match(folder.name)
            if folder.ispkg and number:
                parent = f"{self._package.__name__}.{folder.name}"
                path = importlib.import_module(parent).__path__
                for module in sorted(pkgutil.iter_modules(path), key=lambda found: found.name):
                    name = module.name.replace("_", "-")
                    yield Entry(int(number[1]), name, f"{parent}.{module.name}")


def first_line(module: ModuleType) -> str:
    """Return the first line of a module's docstring."""
    return (module.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _key(name: str) -> str:
    return name.replace("_", "-").lower()
