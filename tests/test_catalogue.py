"""The catalogue: what it finds, and under which names."""

from yolanda import labs, programs
from yolanda.catalogue import Catalogue, first_line


def test_finds_a_program_by_either_spelling() -> None:
    catalogue = Catalogue(programs)
    entry = catalogue.find("reliable_server01")
    assert entry is not None
    assert entry is catalogue.find("reliable-server01") is catalogue.find("Reliable-Server01")
    assert entry.chapter == 17
    assert entry.load().__name__ == "yolanda.programs.chapter17.reliable_server01"
    assert catalogue.find("no-such-program") is None


def test_knows_what_was_meant() -> None:
    assert Catalogue(programs).similar("tcpsever")[0] == "tcpserver"
    assert Catalogue(programs).similar("xyzzy") == []


def test_chapters_are_in_the_courses_order() -> None:
    for package in (programs, labs):
        chapters = Catalogue(package).chapters()
        numbers = [entries[0].chapter for entries in chapters.values()]
        assert numbers == sorted(numbers)
        for title, entries in chapters.items():
            assert {entry.chapter for entry in entries} == {entries[0].chapter}
            assert title.startswith(f"Chapter {entries[0].chapter}: ")


def test_every_program_and_lab_says_what_it_is_about() -> None:
    for package in (programs, labs):
        for entry in Catalogue(package):
            line = first_line(entry.load())
            assert 10 < len(line) <= 100, f"{entry.module}: {line!r}"
    for entry in Catalogue(labs):
        assert first_line(entry.load()).endswith("?"), f"{entry.name} asks nothing"
