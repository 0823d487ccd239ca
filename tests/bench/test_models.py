"""The part that compares the I/O models: what it measures, says, and leaves behind."""

import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from yolanda.bench import results
from yolanda.bench.contenders import Contender
from yolanda.bench.part import Settings
from yolanda.bench.parts import models
from yolanda.bench.parts.models import CONNECTIONS, FIGURES, KINDS, MODELS, PART
from yolanda.bench.results import PartResult, Sample
from yolanda.bench.servers.model_work import MUCH, NONE, WAIT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class Steps:
    """Counts what a part announces and what it does."""

    def __init__(self) -> None:
        self.expected = 0
        self.texts: list[str] = []

    def expect(self, steps: int) -> None:
        self.expected = steps

    def advance(self, text: str) -> None:
        self.texts.append(text)

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(autouse=True)
def _limits_come_back() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_short_form_measures_every_condition_and_says_how_one_gave_up(tmp_path: Path) -> None:
    steps, result = Steps(), PartResult("models")
    only = ("one-at-a-time", "epoll", "pollserver")
    models.measure(Settings(short=True, rounds=2, seconds=0.05, only=only), steps, result)
    assert len(steps.texts) == steps.expected
    assert result.contenders() == list(only)
    assert all(len(point.rounds) == 2 for point in result.points)
    for point in result.points:
        for sample in point.samples:
            assert point.failure or sample.keys() >= {"rate", "cpu", "p50", "voluntary"}
            assert point.at.get("work") == WAIT or sample.keys() >= {"served", "memory"}
    lone = result.find("one-at-a-time", {"connections": 100, "work": NONE})
    assert lone is not None
    assert [sample["served"] for sample in lone.samples] == [1, 1]
    assert lone.failure == "serves 1; the others wait in vain"
    assert not any(point.failure for point in result.points if point.contender == "epoll")
    assert results.load(results.save(result, tmp_path)).points == result.points
    assert any(
        "one-at-a-time served 1; all were served by epoll" in sentence
        for sentence in models.findings(result)
    )


def test_a_server_that_cannot_be_started_gives_up_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no epoll here')"]
    broken = Contender("epoll", lambda port, folder: command)
    monkeypatch.setattr(models, "model", lambda name, work: broken)
    steps, result = Steps(), PartResult("models")
    models.measure(Settings(short=True, rounds=1, seconds=0.05, only=("epoll",)), steps, result)
    assert len(steps.texts) == steps.expected
    assert len(result.points) == len(models.SHORT_CONNECTIONS) * len(models.SHORT_KINDS)
    assert all("no epoll here" in point.failure for point in result.points)
    assert all(point.rounds == [None] for point in result.points)


def test_what_is_shown_can_be_measured() -> None:
    names = {figure.name for figure in FIGURES}
    for table in PART.tables:
        assert set(table.figures) <= names
    for plot in PART.plots:
        assert plot.figure in names
        assert set(plot.contenders) <= set(PART.contenders)
        assert len(plot.contenders) < 6 or plot.kind == "bars", "nobody can read so many lines"
    assert len(set(PART.contenders)) == len(PART.contenders)


def made_up(**changes: float) -> PartResult:
    """A result in which every model costs 10 us and 2 KiB, and nothing limits anybody."""
    result = PartResult("models", {"cores": {"much": [0, 1]}})
    for name in MODELS:
        for number in CONNECTIONS:
            for kind in KINDS:
                sample: Sample = {
                    "rate": 1000.0,
                    "cpu": 1e-5,
                    "cores": 1.0,
                    "voluntary": 1.0,
                    "served": number,
                    "memory_each": 2048.0,
                    "setup": 1e-4,
                    "p99": 2e-3,
                    "client_busy": 0.5,
                }
                result.add(name, {"connections": number, "work": kind}, sample | changes)
    return result


def sentence_with(words: str, result: PartResult) -> str:
    [found] = [sentence for sentence in models.findings(result) if words in sentence]
    return found


def change(result: PartResult, name: str, connections: int, work: str, **figures: float) -> None:
    point = result.find(name, {"connections": connections, "work": work})
    assert point is not None
    point.samples[0].update(figures)


def test_findings_are_computed_from_the_figures() -> None:
    result = made_up()
    change(result, "poll", 5000, NONE, cpu=3.2e-5)
    change(result, "fork", 5000, NONE, memory_each=1024.0 * 700)
    change(result, "fork", 100, MUCH, cores=1.9, rate=1850.0)
    change(result, "thread", 100, WAIT, rate=40000.0)
    change(result, "thread", 1000, NONE, p99=0.1)
    assert "3.20 times the CPU with poll and 5,000" in sentence_with("Watching", result)
    assert "700.0 KiB with fork" in sentence_with("connections each takes", result)
    assert "within 2.0 ms by one-at-a-time and within 100.0 ms by thread" in sentence_with(
        "99 of", result
    )
    assert "fork (busy on 1.9 of 2, 1.85 times" in sentence_with("second core", result)
    assert "thread 40,000 a second" in sentence_with("somebody else", result)


def test_findings_name_who_gave_up_and_when_the_client_was_the_limit() -> None:
    result = made_up()
    point = result.find("select", {"connections": 5000, "work": NONE})
    assert point is not None
    point.rounds, point.failure = [{"served": 1020.0}], "serves 1,020 of 5,000 connections"
    change(result, "select", 1000, NONE, cpu=2e-5)
    change(result, "epoll", 100, NONE, client_busy=0.97)
    assert sentence_with("were served", result).startswith(
        "Of 5,000 connections select served 1,020;"
    )
    assert "2.00 times the CPU with select and 1,000" in sentence_with("Watching", result)
    assert "epoll at 100 connections, no work" in sentence_with("The client had no time", result)


def test_findings_keep_silent_about_what_was_not_measured() -> None:
    assert models.findings(PartResult("models")) == []
    given_up = PartResult("models")
    given_up.give_up("fork", {"connections": 1, "work": NONE}, "no memory")
    assert models.findings(given_up) == ["Of 1 connections fork gave up."]


def test_nothing_is_left_running_after_an_interrupt(tmp_path: Path) -> None:
    mark = f"MARK={uuid.uuid4()}"
    command = [sys.executable, "-m", "yolanda", "bench", "models", "--only", "fork"]
    bench = subprocess.Popen(
        [*command, "--seconds", "30", "--out", str(tmp_path)],
        env={**os.environ, "MARK": mark.partition("=")[2]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that only it is interrupted, as its servers would not be
    )
    try:
        wait_for(lambda: len(marked(mark)) >= 4, 60)  # it, a server with a child, and a client
        bench.send_signal(signal.SIGINT)
        assert bench.wait(60) != 0
    finally:
        bench.kill()
        bench.wait()
    wait_for(lambda: not marked(mark), 10)
    assert (tmp_path / "models.json").exists()


def wait_for(condition: object, seconds: float) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} seconds"
        time.sleep(0.05)


def marked(mark: str) -> list[int]:
    """Processes that were started with a variable of that text."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{name}/environ").read_bytes():
                found.append(int(name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found
