"""Make the report of a run: from its results, and from what the parts say of themselves."""

from collections.abc import Iterable

from yolanda.bench.part import Headline, Part, Target
from yolanda.bench.report.document import Card, Document, Section, Verdict
from yolanda.bench.report.numbers import (
    duration_text,
    moment_text,
    ratio_spread_text,
    ratio_text,
    spread_text,
    value_text,
)
from yolanda.bench.report.pictures import pictures
from yolanda.bench.report.places import conditions_text
from yolanda.bench.report.tables import grids_of
from yolanda.bench.report.troubles import client_grid, client_limits, troubles_of
from yolanda.bench.results import PartResult, ratio, spread
from yolanda.bench.run_folder import Run

_SMALL = 0.1
"""A ratio that is better told the other way round."""


def build(run: Run, parts: Iterable[Part]) -> Document:
    """Make the report of a run.  A part that is not known any more is only named."""
    by_name = {part.name: part for part in parts}
    order = list(by_name)
    known = [result for result in run.parts if result.part in by_name]
    known.sort(key=lambda result: order.index(result.part))
    remarks = []
    if run.short:
        remarks.append(
            "This is the short form: it shows that everything works. No figure of it is to be "
            "judged."
        )
    remarks += [
        f"There are results of {result.part!r}, a part that this version does not have."
        for result in run.parts
        if result.part not in by_name
    ]
    remarks += [
        f"{by_name[result.part].title}: measured earlier, {moment_text(result.started)}."
        for result in known
        if result.started < run.started
    ]
    sections = [section(by_name[result.part], result) for result in known]
    return Document(run, sections, _software(known), remarks)


def section(part: Part, result: PartResult) -> Section:
    """Make what is reported of one part."""
    drawn = pictures(part, result)
    return Section(
        part.name,
        part.title,
        part.question,
        facts=_facts(result),
        card=_card(part, result),
        verdicts=[_verdict(part, result, target) for target in part.targets],
        findings=_findings(part, result) if result.points else [],
        pictures=drawn,
        captions=[picture.plot.caption for picture in drawn],
        grids=[grid for table in part.tables for grid in grids_of(part, result, table)],
        troubles=troubles_of(part, result),
        client=client_limits(part, result),
        client_grid=client_grid(part, result),
        notes=result.notes,
        state=_state(result),
    )


def _software(measured: list[PartResult]) -> list[str]:
    """Return each program once: a contender's version may tell of several, with their names."""
    found = []
    for result in measured:
        for name, versions in result.versions.items():
            pieces = [piece.strip() for piece in versions.split(",")]
            found += [piece if " " in piece else f"{name} {piece}" for piece in pieces if piece]
    return list(dict.fromkeys(found))


def _facts(result: PartResult) -> list[str]:
    settings = dict(result.settings)
    rounds, seconds = settings.pop("rounds", None), settings.pop("seconds", None)
    facts = []
    if rounds is not None:
        facts.append(f"{rounds} round{'' if rounds == 1 else 's'}")
    if seconds is not None:
        facts.append(f"{seconds:g} s a measurement")
    facts += [
        f"{name} {value}"
        for name, value in settings.items()
        if isinstance(value, str | int | float)
    ]
    return [*facts, f"took {duration_text(result.seconds)}"]


def _state(result: PartResult) -> str:
    if result.missing:
        return f"Not measured: {result.missing}"
    return f"Not measured to its end: {result.failure}" if result.failure else ""


def _findings(part: Part, result: PartResult) -> list[str]:
    try:
        return part.findings(result)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        # Hours of measurements are not to go unreported because one sentence cannot be made.
        return [f"The findings could not be put into words: {type(error).__name__}: {error}."]


def _card(part: Part, result: PartResult) -> Card | None:
    for headline in part.headlines:
        found = spread(result.find(headline.ours, headline.where), headline.figure)
        if found is not None:
            value = value_text(part.figure(headline.figure), found.median)
            return Card(value, headline.words, _beside(result, headline))
    return None


def _beside(result: PartResult, headline: Headline) -> str:
    ours = result.find(headline.ours, headline.where)
    found = ratio(ours, result.find(headline.peer, headline.where), headline.figure)
    if not headline.peer or found is None:
        return ""
    if 0 < found.median < _SMALL:
        return f"{headline.peer} takes {ratio_text(1 / found.median)}"
    return f"{ratio_text(found.median)} {headline.peer}"


def _verdict(part: Part, result: PartResult, target: Target) -> Verdict:
    figure = part.figure(target.figure)
    ours = result.find(target.ours, target.where)
    if target.peer:
        found = ratio(ours, result.find(target.peer, target.where), target.figure)
        limit = f"at most {ratio_text(target.limit)} {target.peer}"
    else:
        found = spread(ours, target.figure)
        limit = f"at most {value_text(figure, target.limit)}"
    where = conditions_text(part, target.where)
    if found is None:
        words = f"not measured; {limit}"
        return Verdict(
            target.ours, figure.title, where, None, target.limit, Verdict.UNMEASURED, "", words
        )
    if target.peer:
        value, between = f"{ratio_text(found.median)} {target.peer}", ratio_spread_text(found)
    else:
        value, between = value_text(figure, found.median), spread_text(figure, found)
    excess = found.median / target.limit - 1
    state = Verdict.MET if excess <= 0 else Verdict.MISSED
    words = limit + (f", the rounds between {between}" if between else "")
    if excess > 0:
        words += f"; missed by {excess:.0%}" if excess >= 0.01 else "; just missed"
    if found.least <= target.limit < found.most:
        words += "; the rounds disagree"
    return Verdict(target.ours, figure.title, where, found, target.limit, state, value, words)
