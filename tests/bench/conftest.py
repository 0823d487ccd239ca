"""A part that measures nothing and has all that a report can show; who watches a real one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from yolanda.bench.part import (
    Figure,
    Headline,
    Part,
    Plot,
    Progress,
    Settings,
    Table,
    Target,
)
from yolanda.bench.report.pictures import pictures
from yolanda.bench.results import PartResult

CONTENDERS = ("yolanda", "nginx", "select")


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    progress.expect(settings.rounds)
    result.versions["nginx"] = "1.26"
    for number in range(settings.rounds):
        progress.advance(f"round {number + 1}")
        for connections in (1, 10, 1000):
            for name, cost in (("yolanda", 6e-6), ("nginx", 4e-6), ("select", 5e-6)):
                at = {"connections": connections, "size": 4096}
                if name == "select" and connections > 10:
                    result.give_up(name, at, "no descriptor above 1023 | in its set")
                elif settings.wants(name):
                    cpu = cost * (1 + number / 100)
                    busy = 0.5 if name == "nginx" else 1.0
                    sample = {"cpu": cpu, "rate": 0.9 / cpu, "server_busy": busy}
                    result.add(name, at, sample | {"client_cpu": 1e-6})


PART = Part(
    name="fake",
    title="A fake <part>",
    question="What is to be seen & where?",
    contenders=CONTENDERS,
    figures=(
        Figure("cpu", "server CPU a request", "us", 1e6, 2),
        Figure("rate", "requests a second", "/s", 1, 0, less_is_better=False),
    ),
    measure=measure,
    findings=lambda result: [f"{len(result.points)} points were measured."],
    tables=(
        Table(("cpu", "rate"), "Both figures", peers=("nginx",), where={"connections": 10}),
        Table(("cpu",), "CPU", columns="connections", peers=("nginx",)),
    ),
    plots=(
        Plot("lines", "cpu", "CPU over connections", "connections", log_x=True, log_y=True),
        Plot("bars", "rate", "Rates", where={"connections": 10}, caption="Longer is better."),
        Plot("bars", "cpu", "CPU by connections", "connections"),
    ),
    targets=(
        Target("cpu", {"connections": 10}, "yolanda", 1.6, "nginx"),
        Target("cpu", {"connections": 10}, "yolanda", 5e-6),
        Target("cpu", {"connections": 7}, "yolanda", 1.6, "nginx"),
    ),
    headlines=(Headline("cpu", {"connections": 10}, "yolanda", "of CPU a request", "nginx"),),
    rounds=3,
)


class Silence:
    """Nobody watches."""

    def expect(self, steps: int) -> None: ...
    def advance(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...


class KeptProgress:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.expected = 0
        self.steps: list[str] = []
        self.notes: list[str] = []

    def expect(self, steps: int) -> None:
        self.expected = steps

    def advance(self, text: str) -> None:
        self.steps.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def progress() -> KeptProgress:
    return KeptProgress()


@pytest.fixture
def part() -> Part:
    return PART


@pytest.fixture
def measured() -> Callable[[float], PartResult]:
    """Make results whose times are ``factor`` times what they are else."""

    def make(factor: float = 1.0) -> PartResult:
        result = PartResult("fake", {"rounds": 3, "seconds": 1.5}, started="2026-11-26T01:02:03")
        measure(Settings(rounds=3), Silence(), result)
        for point in result.points:
            for sample in point.samples:
                sample["cpu"] *= factor
        return result

    return make


@pytest.fixture(autouse=True, scope="session")
def fonts() -> None:
    """Have matplotlib open its fonts, which it keeps open, before a test counts descriptors."""
    try:
        from yolanda.bench.report import plots
    except ImportError:
        return  # what needs it skips
    result = PartResult("fake")
    measure(Settings(rounds=1), Silence(), result)
    shown = replace(PART, plots=(*PART.plots, Plot("bars", "cpu", "CPU", series="contender")))
    for picture in pictures(shown, result):
        plots.draw(picture, plots.WIDE)
