"""What there is to run: the modules of a package that has a folder a chapter.

A program or a lab is found by its place, ``chapterNN/NAME.py``; nothing has to be registered.  A
name may be written with hyphens or with underscores.
"""

import difflib
import importlib
import os
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {_key(entry.name): entry for entry in self._scan()}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, name: str) -> Entry | None:
        """Return the module called ``name``, or None."""
        return self._entries.get(_key(name))

    def similar(self, name: str) -> list[str]:
        """Return the names nearest to one that is not there, best first."""
        close = difflib.get_close_matches(_key(name), self._entries, cutoff=0.5)
        return [self._entries[key].name for key in close]

    def hint(self, name: str, otherwise: str) -> str:
        """Ask whether a name near to ``name`` was meant; ``otherwise`` if there is none."""
        near = self.similar(name)
        return f"did you mean {' or '.join(near)}?" if near else otherwise

    def chapters(self) -> dict[str, list[Entry]]:
        """Return the modules of each chapter by its title, in the course's order."""
        chapters: dict[str, list[Entry]] = {}
        for entry in self:
            folder = importlib.import_module(entry.module.rpartition(".")[0])
            chapters.setdefault(first_line(folder), []).append(entry)
        return chapters

    def _scan(self) -> Iterator[Entry]:
        """Look for modules; not even the folders of the chapters are imported for it."""
        places = [
            (int(number[1]), os.path.join(place, name), f"{self._package.__name__}.{name}")
            for place in self._package.__path__
            for _, name, is_package in pkgutil.iter_modules([place])
            if is_package and (number := _FOLDER.match(name))
        ]
        for chapter, place, parent in sorted(places):
            for name in sorted(module.name for module in pkgutil.iter_modules([place])):
                yield Entry(chapter, name.replace("_", "-"), f"{parent}.{name}")


def first_line(module: ModuleType) -> str:
    """Return the first line of a module's docstring."""
    return (module.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _key(name: str) -> str:
    return name.replace("_", "-").lower()
