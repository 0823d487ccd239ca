import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from yolanda.bench.part import Part, Plot
from yolanda.bench.report.build import build
from yolanda.bench.report.document import Document
from yolanda.bench.report.html import to_html
from yolanda.bench.report.markdown import to_markdown
from yolanda.bench.report.pictures import pictures
from yolanda.bench.report.write import write_report
from yolanda.bench.results import PartResult
from yolanda.bench.run_folder import Run

Measured = Callable[..., PartResult]
VOID = {"meta", "br", "line", "circle", "path", "use", "rect"}


def run_of(*results: PartResult, short: bool = False) -> Run:
    machine = {"processor": "a <fast> one"}
    return Run(machine, "0.1.0 (abc)", "2026-11-26T01:02:03", short, list(results))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def document(part: Part, measured: Measured) -> Document:
    return build(run_of(measured()), [part])


class Balance(HTMLParser):
    """Complains of an element that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_holds_figures_ratios_findings_and_who_gave_up(document: Document) -> None:
    page = plain(to_html(document, {}))
    for text in (
        "A fake &lt;part&gt;",
        "What is to be seen &amp; where?",
        "9 points were measured.",
        "6.06 µs",  # the median of 6.00, 6.06 and 6.12
        "1.50 × nginx",
        "of CPU a request",
        "select at 1,000 connections: no descriptor above 1023 | in its set",
        "nginx: the client was the limit",
        "a &lt;fast&gt; one",
        "0.1.0 (abc)",
        "nginx 1.26",
    ):
        assert text in page


def test_the_page_is_well_formed_and_needs_nothing_beside(document: Document) -> None:
    page = to_html(document, {})
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not re.search(r"<(script|link|img)|@import|url\(", page)


def test_targets_are_judged_by_their_medians(document: Document) -> None:
    met, missed, unmeasured = document.verdicts
    assert (met.state, plain(met.value)) == ("met", "1.50 × nginx")
    assert missed.state == "missed"
    assert "missed by 21%" in missed.words
    assert unmeasured.state == "not measured"


def test_rounds_that_disagree_on_a_target_are_said_to(part: Part, measured: Measured) -> None:
    target = replace(part.targets[1], limit=6.07e-6)
    (section,) = build(run_of(measured()), [replace(part, targets=(target,))]).sections
    assert section.verdicts[0].state == "met"
    assert "the rounds disagree" in section.verdicts[0].words


def test_markdown_holds_the_same_and_tables_stay_tables(document: Document) -> None:
    text = plain(to_markdown(document, {"fake-1"}))
    assert "![CPU over connections](plots/fake-1.svg)" in text
    assert "fake-2.svg" not in text
    assert "6.06" in text
    assert r"no descriptor above 1023 \| in its set" in text
    table: list[int] = []
    for line in text.splitlines():
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(table)) <= 1, "the rows of a table have as many cells as its head"
            table = []


def test_a_short_form_says_that_its_figures_mean_nothing(part: Part, measured: Measured) -> None:
    document = build(run_of(measured(), short=True), [part])
    assert "No figure of it is to be judged" in to_html(document, {})
    assert "No figure of it is to be judged" in to_markdown(document, {})


def test_what_could_not_be_measured_is_reported_with_the_reason(part: Part) -> None:
    result = PartResult("fake", missing="nginx is not installed")
    unknown = PartResult("former")
    document = build(run_of(result, unknown), [part])
    for text in (to_html(document, {}), to_markdown(document, {})):
        assert "Not measured: nginx is not installed" in text
        assert "former" in text


def test_findings_that_cannot_be_made_do_not_lose_the_report(
    part: Part, measured: Measured
) -> None:
    def findings(result: PartResult) -> list[str]:
        raise KeyError("p99")

    document = build(run_of(measured()), [replace(part, findings=findings)])
    assert "could not be put into words: KeyError" in document.sections[0].findings[0]


def test_pictures_are_drawn_for_page_and_phone(document: Document, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    paths, without = write_report(document, tmp_path)
    assert without == ""
    assert [path.name for path in paths] == ["report.html", "report.md"]
    page = paths[0].read_text()
    names = [picture.name for picture in document.sections[0].pictures]
    assert len(names) == 3
    assert page.count('class="wide"') == page.count('class="narrow"') == len(names)
    assert sorted(path.stem for path in (tmp_path / "plots").iterdir()) == names
    assert not re.search(r"<(script|link|img)|@import|url\((?!#)", page)


def test_a_picture_names_its_lines_and_has_plain_numbers(part: Part, measured: Measured) -> None:
    pytest.importorskip("matplotlib")
    from yolanda.bench.report import plots

    lines, rates, _ = pictures(part, measured())
    svg = plots.draw(lines, plots.WIDE)
    texts = [element.text for element in ET.fromstring(svg).iter() if element.text]
    for text in ("yolanda", "nginx", "select ✕", "1", "10", "1,000", "server CPU a request, µs"):
        assert text in texts
    assert "var(--accent)" in svg
    assert not re.search(r"#0\d\d0f0", svg), "every stand-in for a colour is replaced"
    ET.fromstring(plots.standalone(svg).partition("\n")[2])
    drawn = plots.draw(rates, plots.NARROW)
    assert "148,515" in drawn  # 0.9 / 6.06 us


def test_a_picture_is_the_same_each_time(part: Part, measured: Measured) -> None:
    pytest.importorskip("matplotlib")
    from yolanda.bench.report import plots

    (first, *_), (second, *_) = pictures(part, measured()), pictures(part, measured())
    assert plots.draw(first, plots.WIDE) == plots.draw(second, plots.WIDE)


@pytest.mark.parametrize("kind", ["lines", "bars"])
@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("value", [0.0, 5.0, 1e-9, 1e12])
def test_any_figures_can_be_drawn(part: Part, kind: str, logarithmic: bool, value: float) -> None:
    pytest.importorskip("matplotlib")
    from yolanda.bench.report import plots

    result = PartResult("fake")
    for name in (*(f"contender {number}" for number in range(14)), "yolanda"):
        result.add(name, {"connections": 1}, {"rate": value})
        result.add(name, {"connections": 1}, {"rate": value * 2})
    result.give_up("blocking", {"connections": 1}, "serves one at a time " * 9)
    assert kind in ("lines", "bars")
    plot = Plot(
        "lines" if kind == "lines" else "bars",
        "rate",
        "Rates",
        "connections" if kind == "lines" else "contender",
        log_x=logarithmic,
        log_y=logarithmic,
    )
    (picture,) = pictures(replace(part, plots=(plot,)), result)
    for shape in (plots.WIDE, plots.NARROW):
        assert "yolanda" in plots.draw(picture, shape)


def test_without_matplotlib_the_report_has_no_pictures_and_says_so(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("yolanda.bench.report.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("yolanda.bench.report.plots", raising=False)
    paths, without = write_report(document, tmp_path)
    assert "pip install 'yolanda[bench]'" in without
    text = paths[1].read_text()
    assert "pip install 'yolanda\\[bench\\]'" in text
    assert ".svg" not in text
    assert "9 points were measured." in paths[0].read_text()


def test_measuring_does_not_need_matplotlib() -> None:
    program = (
        "import sys; import yolanda.bench.command;"
        "assert 'matplotlib' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
