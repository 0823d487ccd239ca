"""A report before it is written down: what is said, tabled and drawn of a run.

`yolanda.bench.report.build` makes it; `html`, `markdown` and `terminal` write it.
"""

from dataclasses import dataclass, field

from yolanda.bench.report.comparison import Comparison
from yolanda.bench.report.numbers import moment_text
from yolanda.bench.report.pictures import Picture
from yolanda.bench.results import Spread
from yolanda.bench.run_folder import Run


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a figure, and small beside it its spread or its ratio."""

    text: str
    detail: str = ""
    best: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; ``ours``: of Yolanda."""

    name: str
    cells: list[Cell]
    ours: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the first of ``head`` stands over the names of the rows."""

    title: str
    head: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Verdict:
    """What came of a target.

    - ``found``: a ratio to the peer; without a peer, the figure in SI units.
    - ``state``: whether the median is within the limit.
    - ``words``: all of it in a sentence, without who and where.
    """

    who: str
    figure: str
    where: str
    found: Spread | None
    limit: float
    state: str
    value: str
    words: str

    MET, MISSED, UNMEASURED = "met", "missed", "not measured"


@dataclass(frozen=True)
class Card:
    """The figure of a part that is seen first."""

    figure: str
    words: str
    beside: str = ""


@dataclass
class Section:
    """What is reported of a part."""

    name: str
    title: str
    question: str
    facts: list[str] = field(default_factory=list)
    card: Card | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    client: list[str] = field(default_factory=list)
    client_grid: Grid | None = None
    notes: list[str] = field(default_factory=list)
    state: str = ""
    """Why there is less than there should be; empty if it was measured to its end."""


@dataclass
class Document:
    """A report; ``software``: what was measured and measured with, with its version."""

    run: Run
    sections: list[Section]
    software: list[str]
    remarks: list[str]
    comparison: Comparison | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts of all parts."""
        return [verdict for section in self.sections for verdict in section.verdicts]

    def facts(self) -> list[tuple[str, str]]:
        """Return what was measured when and on what."""
        facts = [("measured", moment_text(self.run.started)), ("Yolanda", self.run.version)]
        facts += self.run.machine.items()
        return facts + [("software", ", ".join(self.software))] * bool(self.software)
