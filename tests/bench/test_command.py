import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from yolanda.bench import command
from yolanda.bench.part import Missing, Part, Progress, Settings
from yolanda.bench.results import PartResult, load, save


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command.main, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch, part: Part) -> None:
    by_name = replace(part, name="rare", title="Only by name", by_default=False)
    monkeypatch.setattr(command, "PARTS", (part, by_name))


def replaced(monkeypatch: pytest.MonkeyPatch, part: Part, *measures: object) -> None:
    names = ("first", "second")
    changed = [
        replace(part, name=name, measure=measure)  # type: ignore[arg-type]
        for name, measure in zip(names, measures, strict=False)
    ]
    monkeypatch.setattr(command, "PARTS", tuple(changed))


def test_results_and_report_are_left_in_the_folder(tmp_path: Path) -> None:
    answer = bench("--out", tmp_path)
    assert answer.exit_code == 0, answer.output
    names = {path.name for path in tmp_path.iterdir()}
    assert {"machine.json", "fake.json", "report.html", "report.md"} <= names
    assert "rare.json" not in names
    result = load(tmp_path / "fake.json")
    assert result.settings == {"rounds": 3, "seconds": 3.0}
    assert len(result.points[0].samples) == 3
    assert "9 points were measured." in answer.output
    assert "1.50\N{NO-BREAK SPACE}× nginx" in answer.output


def test_options_reach_the_parts(tmp_path: Path) -> None:
    answer = bench("rare", "--rounds", 2, "--seconds", 0.5, "--only", "nginx", "--out", tmp_path)
    assert answer.exit_code == 0, answer.output
    result = load(tmp_path / "rare.json")
    assert result.settings == {"rounds": 2, "seconds": 0.5}
    assert {point.contender for point in result.points if point.samples} == {"nginx"}


def test_a_contender_may_have_a_comma_in_its_name(
    monkeypatch: pytest.MonkeyPatch, part: Part, tmp_path: Path
) -> None:
    asked = []

    def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
        asked.append(settings.only)
        part.measure(replace(settings, only=()), progress, result)

    names = ("writes", "writes, delayed", "yolanda")
    monkeypatch.setattr(command, "PARTS", (replace(part, measure=measure, contenders=names),))
    assert bench("--only", "writes,yolanda, writes, delayed", "--out", tmp_path).exit_code == 0
    assert asked == [("writes", "yolanda", "writes, delayed")]


def test_the_short_form_has_settings_of_its_own(tmp_path: Path) -> None:
    assert bench("--short", "--out", tmp_path).exit_code == 0
    assert load(tmp_path / "fake.json").settings == {"rounds": 1, "seconds": 0.5}
    assert json.loads((tmp_path / "machine.json").read_text())["short"] is True
    assert "short form" in (tmp_path / "report.md").read_text()


def test_all_parts_are_more_than_the_usual(tmp_path: Path) -> None:
    assert bench("--short", "--all", "--out", tmp_path).exit_code == 0
    assert {"fake.json", "rare.json"} <= {path.name for path in tmp_path.iterdir()}


def test_a_report_is_drawn_again_from_the_results_alone(tmp_path: Path) -> None:
    assert bench("--out", tmp_path).exit_code == 0
    first = (tmp_path / "report.html").read_text()
    for name in ("report.html", "report.md"):
        (tmp_path / name).unlink()
    answer = bench("--report", tmp_path)
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "report.html").read_text() == first


def test_parts_of_an_earlier_run_in_the_same_folder_are_told_apart(tmp_path: Path) -> None:
    assert bench("fake", "--out", tmp_path).exit_code == 0
    earlier = load(tmp_path / "fake.json")
    earlier.started = "2020-01-02T03:04:05+00:00"
    save(earlier, tmp_path)
    answer = bench("rare", "--out", tmp_path)
    assert "Only by name" in answer.output
    assert "A fake <part>" not in answer.output.split("Only by name", 1)[1].split("\n\n")[0]
    report = (tmp_path / "report.md").read_text()
    assert "measured earlier, 2020-01-02 03:04" in report
    assert report.count("measured earlier") == 1


def test_two_runs_are_compared(tmp_path: Path) -> None:
    assert bench("--out", tmp_path / "old").exit_code == 0
    answer = bench("--out", tmp_path / "new", "--compare", tmp_path / "old")
    assert answer.exit_code == 0, answer.output
    assert "0 of 16 figures moved" in answer.output
    assert "What moved" in (tmp_path / "new" / "report.html").read_text()


def test_parts_and_contenders_are_listed() -> None:
    answer = bench("--list")
    assert answer.exit_code == 0
    assert "fake  A fake <part>" in answer.output
    assert "yolanda · nginx · select" in answer.output
    assert "(with --all, or when it is named)" in answer.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["fakee"], "there is no part 'fakee'; did you mean fake?"),
        (["xyz"], "there is no part 'xyz'; 'yolanda bench --list' lists them"),
        (["--only", "ngin"], "there is no contender 'ngin'; did you mean nginx?"),
        (["--rounds", "0"], "'--rounds': 0 is not in the range"),
        (["--seconds", "nan"], "'--seconds': nan is not a number"),
        (["--report", "nowhere"], "nowhere: there is no machine.json"),
        (["--compare", "nowhere"], "nowhere: there is no machine.json"),
        (["--report", "x", "--short", "fake"], "leave out PART, --short"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments: list[str], text: str) -> None:
    answer = bench(*arguments)
    assert answer.exit_code != 0
    said = answer.output if isinstance(answer.exception, SystemExit) else str(answer.exception)
    assert text in said


def test_a_part_that_lacks_something_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, part: Part, tmp_path: Path
) -> None:
    def lacking(settings: Settings, progress: Progress, result: PartResult) -> None:
        raise Missing("nginx is not installed")

    replaced(monkeypatch, part, lacking, part.measure)
    answer = bench("--out", tmp_path)
    assert answer.exit_code == 0, answer.output
    assert "first: nginx is not installed" in answer.output
    assert load(tmp_path / "first.json").missing == "nginx is not installed"
    assert load(tmp_path / "second.json").points


def test_a_part_that_fails_is_told_in_one_line_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, part: Part, tmp_path: Path
) -> None:
    def failing(settings: Settings, progress: Progress, result: PartResult) -> None:
        part.measure(settings, progress, result)
        raise RuntimeError("the server said nothing")

    replaced(monkeypatch, part, failing, part.measure)
    answer = bench("--out", tmp_path)
    assert answer.exit_code == 1
    assert "RuntimeError: the server said nothing" in answer.output
    assert "Traceback" not in answer.output
    assert "in failing" in (tmp_path / "first.traceback.txt").read_text()
    assert load(tmp_path / "first.json").points
    assert load(tmp_path / "second.json").points
    assert (tmp_path / "report.html").exists()


def test_a_part_in_which_nobody_gives_a_figure_has_failed(
    monkeypatch: pytest.MonkeyPatch, part: Part, tmp_path: Path
) -> None:
    def silent(settings: Settings, progress: Progress, result: PartResult) -> None:
        result.give_up("nginx", {}, "it did not start")

    replaced(monkeypatch, part, silent)
    answer = bench("--out", tmp_path)
    assert answer.exit_code == 1
    assert "no contender gave a figure" in answer.output


def test_what_was_measured_before_an_interrupt_is_kept_and_reported(
    monkeypatch: pytest.MonkeyPatch, part: Part, tmp_path: Path
) -> None:
    def interrupted(settings: Settings, progress: Progress, result: PartResult) -> None:
        part.measure(settings, progress, result)
        raise KeyboardInterrupt

    replaced(monkeypatch, part, interrupted, part.measure)
    answer = bench("--out", tmp_path)
    assert answer.exit_code == 1  # the command line makes it 130
    assert load(tmp_path / "first.json").points
    assert load(tmp_path / "first.json").failure == "interrupted"
    assert not (tmp_path / "second.json").exists()
    assert "interrupted" in (tmp_path / "report.md").read_text()


def test_termination_is_taken_as_an_interrupt_while_something_is_measured(
    monkeypatch: pytest.MonkeyPatch, part: Part, tmp_path: Path
) -> None:
    def terminated(settings: Settings, progress: Progress, result: PartResult) -> None:
        part.measure(settings, progress, result)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    replaced(monkeypatch, part, terminated)
    bench("--out", tmp_path)
    assert load(tmp_path / "first.json").failure == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


def test_elsewhere_than_on_linux_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    answer = bench("--out", tmp_path / "none")
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: measuring needs Linux")
    assert not (tmp_path / "none").exists()
    assert bench("--list").exit_code == 0


def test_the_command_line_has_it() -> None:
    line = [sys.executable, "-m", "yolanda", "bench", "--only", "nobody-at-all"]
    answer = subprocess.run(line, capture_output=True, text=True)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "there is no contender 'nobody-at-all'" in answer.stderr
