"""The pages of the course: complete, true to the programs, and the same in both languages."""

import re
from pathlib import Path

import click
import pytest

from yolanda import labs, programs
from yolanda.catalogue import Catalogue
from yolanda.programs.chapter34 import http_server01

FOLDER = Path(__file__).parent.parent / "docs" / "course"
CHAPTERS = range(1, 36)
PROGRAMS = Catalogue(programs)
LABS = Catalogue(labs)
BLOCK = re.compile(r"^```(?:console|sh|shell|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"\byolanda (run|lab|http) ([a-zA-Z0-9][\w-]*)([^`\n]*)")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def pages(chapter: int) -> tuple[str, str]:
    """The page and its twin."""
    stem = f"chapter{chapter:02}"
    return (FOLDER / f"{stem}.md").read_text(), (FOLDER / f"{stem}.zh.md").read_text()


def commands(page: str) -> list[str]:
    """What the page tells the reader to type."""
    return [
        re.sub(r"\s+#.*", "", line[2:]).strip()
        for block in BLOCK.findall(page)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def options(command: click.Command) -> set[str]:
    """The options that a command knows."""
    names = {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    return names | {"--help", "-h", "--source"}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_page_names_every_program_and_lab_of_its_chapter(chapter: int) -> None:
    for page in pages(chapter):
        for kind, catalogue in (("run", PROGRAMS), ("lab", LABS)):
            for entry in catalogue:
                if entry.chapter == chapter:
                    named = {
                        name.replace("_", "-")
                        for verb, name, _ in COMMAND.findall(page)
                        if verb == kind
                    }
                    assert entry.name in named, f"`yolanda {kind} {entry.name}` is not on the page"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_a_page_tells_to_type_can_be_typed(chapter: int) -> None:
    for page in pages(chapter):
        for verb, name, rest in COMMAND.findall(page):
            rest = rest.partition("#")[0].partition(" | ")[0]
            if verb == "lab":
                assert LABS.find(name), f"there is no lab {name}"
                continue
            if verb == "run":
                entry = PROGRAMS.find(name)
                assert entry, f"there is no program {name}"
                command = entry.load().main
            else:
                command = http_server01.main
            for option in re.findall(r"(?<=\s)--[a-z][\w-]*", rest):
                assert option in options(command), f"{name} has no option {option}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_twins_tell_the_same_commands(chapter: int) -> None:
    english, chinese = pages(chapter)
    assert commands(english) == commands(chinese)
    assert english.count("\n## ") == chinese.count("\n## ")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_twin_is_chinese(chapter: int) -> None:
    english, chinese = pages(chapter)
    han = re.compile(r"[\u4e00-\u9fff]")
    assert len(han.findall(chinese)) > 100
    assert len(han.findall(english)) < 20


@pytest.mark.parametrize("index", ["README.md", "README.zh.md"])
def test_the_index_names_all_pages_programs_and_labs(index: str) -> None:
    text = (FOLDER / index).read_text()
    rows = {int(row[1]): row[0] for row in re.finditer(r"^\| \[(\d+)\].*$", text, re.MULTILINE)}
    assert list(rows) == list(CHAPTERS)
    for chapter, row in rows.items():
        assert set(LINK.findall(row)) == {f"chapter{chapter:02}.md", f"chapter{chapter:02}.zh.md"}
        *_, run, lab, _ = row.split("|")
        for cell, catalogue in ((run, PROGRAMS), (lab, LABS)):
            named = {name.replace("_", "-") for name in re.findall(r"`(.*?)`", cell)}
            assert named == {entry.name for entry in catalogue if entry.chapter == chapter}


def test_the_index_tells_the_same_in_both_languages() -> None:
    english, chinese = ((FOLDER / f"README{twin}.md").read_text() for twin in ("", ".zh"))
    assert commands(english) == commands(chinese)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
