"""The order of a measurement, and what becomes of a contender that fails."""

import os
import sys
from collections.abc import Callable

import pytest

from yolanda.bench import cores, findings, rounds
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Figure, Missing, Settings
from yolanda.bench.results import PartResult, Sample
from yolanda.bench.rounds import Entry

from .conftest import KeptProgress

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pins processes")

LISTEN = "import socket, sys\nwith socket.create_server(('127.0.0.1', int(sys.argv[1]))) as s:\n"
SERVE = f"{LISTEN}    while True: s.accept()[0].close()\n"


def contender(name: str, program: str = SERVE, modules: tuple[str, ...] = ()) -> Contender:
    return Contender(name, lambda port, folder: [sys.executable, "-c", program, str(port)], modules)


def load(name: str, run: Callable[[Server, float], Sample]) -> Load:
    return Load({"load": name}, run)


def measure(*entries: Entry, **settings: object) -> tuple[PartResult, KeptProgress]:
    result, watcher = PartResult("test"), KeptProgress()
    rounds.measure(entries, Settings(rounds=2, **settings), watcher, result)  # type: ignore[arg-type]
    return result, watcher


def test_contenders_take_turns_on_their_core_and_the_client_on_its_own() -> None:
    seen = []

    def look(server: Server, seconds: float) -> Sample:
        seen.append((server.name, os.sched_getaffinity(server.session), os.sched_getaffinity(0)))
        return {"cpu": 1.0}

    before = os.sched_getaffinity(0)
    entries = [
        Entry(contender(name), [load("x", look)], rounds.no_preparation) for name in ("a", "b")
    ]
    result, watcher = measure(*entries)
    server_core, client_core = cores.choose()
    assert [name for name, *_ in seen] == ["a", "b", "a", "b"]
    assert all(len(server) == len(client) == 1 for _, server, client in seen)
    assert {(*server, *client) for _, server, client in seen} == {(server_core, client_core)}
    assert os.sched_getaffinity(0) == before
    assert watcher.expected == len(watcher.steps) == 4
    assert [point.rounds for point in result.points] == [[{"cpu": 1.0}] * 2] * 2


def test_a_load_that_fails_takes_no_other_with_it() -> None:
    sessions = []

    def work(server: Server, seconds: float) -> Sample:
        sessions.append(server.session)
        return {"cpu": 1.0}

    def fail(server: Server, seconds: float) -> Sample:
        raise RuntimeError("too much\nfor it")

    loads = [load("one", work), load("two", fail), load("three", work)]
    result, watcher = measure(Entry(contender("a"), loads, rounds.no_preparation))
    by_load = {point.at["load"]: point for point in result.points}
    assert by_load["one"].samples == by_load["three"].samples == [{"cpu": 1.0}] * 2
    assert by_load["two"].rounds == [None, None]
    assert by_load["two"].failure == "too much for it"
    assert "a gave up: too much for it" in watcher.notes
    assert len(set(sessions)) == 4  # a new server each round, and after each failure


def test_a_server_that_does_not_start_gives_up_every_load() -> None:
    loads = [load(name, lambda server, seconds: {}) for name in ("one", "two")]
    broken = Entry(contender("a", "1 / 0"), loads, rounds.no_preparation)
    result, _ = measure(broken)
    assert [point.rounds for point in result.points] == [[None, None]] * 2
    assert all("ZeroDivisionError" in point.failure for point in result.points)


def test_who_lacks_something_is_skipped_and_it_is_said() -> None:
    loads = [load("one", lambda server, seconds: {"cpu": 1.0})]
    absent = Entry(contender("a", modules=("there_is_none",)), loads, rounds.no_preparation)
    present = Entry(contender("b"), loads, rounds.no_preparation)
    result, watcher = measure(absent, absent, present)
    assert result.contenders() == ["b"]
    assert len(watcher.notes) == 1
    assert "a is skipped: there is no module there_is_none" in watcher.notes[0]
    with pytest.raises(Missing, match="there_is_none"):
        measure(absent)
    with pytest.raises(Missing, match="no contender of that name"):
        measure(present, only=("c",))


def test_a_sentence_compares() -> None:
    result = PartResult("test")
    for ours, theirs in ((2e-6, 4e-6), (3e-6, 4e-6), (4e-6, 4e-6)):
        result.add("ours", {"size": 1}, {"cpu": ours})
        result.add("theirs", {"size": 1}, {"cpu": theirs})
    cpu = Figure("cpu", "server CPU", "us", 1e6, 2)

    def said(*peers: str) -> list[str]:
        return findings.comparison(result, cpu, {"size": 1}, "an echo", "ours", peers)

    compared, alone = said("theirs", "nobody")[0], said()[0]
    assert compared.replace("\N{NO-BREAK SPACE}", " ") == (
        "an echo: ours takes 3.00 µs, 0.75 × (0.50 – 1.00) theirs."
    )
    assert alone.replace("\N{NO-BREAK SPACE}", " ") == "an echo: ours takes 3.00 µs."
    assert findings.comparison(result, cpu, {"size": 2}, "an echo", "ours", []) == []
