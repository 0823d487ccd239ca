"""Who gave up, whose answers were wrong, and where the client was the limit."""

from collections.abc import Iterable

from yolanda.bench import results
from yolanda.bench.part import Figure, Part
from yolanda.bench.report.document import Grid, Row
from yolanda.bench.report.numbers import listed, number
from yolanda.bench.report.pictures import is_ours
from yolanda.bench.report.places import place_text, places_text
from yolanda.bench.report.tables import figure_cell, titled
from yolanda.bench.results import PartResult, Point, spread

_CLIENT_FIGURES = (
    Figure(results.SERVER_BUSY, "server busy", "%", 100, 0),
    Figure(results.SERVER_WAITING, "server waited for its core", "%", 100, 1),
    Figure(results.CLIENT_BUSY, "client busy", "%", 100, 0),
    Figure(results.CLIENT_CPU, "client CPU a message", "us", 1e6, 2),
)


def troubles_of(part: Part, result: PartResult) -> list[str]:
    """Say who gave up where and why, and whose answers were wrong."""
    said = _by_contender(
        part,
        ((point, point.failure + _some_rounds(point)) for point in result.points if point.failure),
        result,
    )
    wrong = (
        (point, f"{number(errors, 0)} went wrong")
        for point in result.points
        if (errors := sum(sample.get(results.ERRORS, 0) for sample in point.samples))
    )
    return said + _by_contender(part, wrong, result)


def _some_rounds(point: Point) -> str:
    if not point.samples:
        return ""
    lost = len(point.rounds) - len(point.samples)
    return f" (in {lost} of {len(point.rounds)} rounds)" if lost else ""


def client_limits(part: Part, result: PartResult) -> list[str]:
    """Say where the figures are the client's or the machine's rather than the server's."""
    limited = (
        (point, "the client was the limit, so that its rate says little about it")
        for point in result.points
        if results.client_was_the_limit(point)
    )
    disturbed = (
        (point, "another process had its core for a part of the time, in every round")
        for point in result.points
        if point.samples and all(map(results.is_disturbed, point.samples))
    )
    return _by_contender(part, limited, result) + _by_contender(part, disturbed, result)


def _by_contender(part: Part, said: Iterable[tuple[Point, str]], result: PartResult) -> list[str]:
    """Make sentences that name contenders and conditions, as few as will do."""
    concerned: dict[tuple[str, str], list[Point]] = {}
    for point, words in said:
        concerned.setdefault((point.contender, words), []).append(point)
    together: dict[tuple[str, str], list[str]] = {}
    for (contender, words), points in concerned.items():
        every = [point for point in result.points if point.contender == contender]
        places = places_text(part, result, points, every)
        together.setdefault((places, words), []).append(contender)
    everybody = result.contenders()
    return [
        f"{'all' if len(who) == len(everybody) > 2 else listed(who)}"
        f"{f' at {places}' if places else ''}: {words}"
        for (places, words), who in together.items()
    ]


def client_grid(part: Part, result: PartResult) -> Grid | None:
    """Return the shares of their cores that server and client had, for each point."""
    figures = [
        figure
        for figure in _CLIENT_FIGURES
        if any(spread(point, figure.name) for point in result.points)
    ]
    if not figures:
        return None
    rows = []
    for point in result.points:
        if point.samples:
            name = ", ".join(filter(None, [point.contender, place_text(part, result, point)]))
            cells = [figure_cell(point, figure, None) for figure in figures]
            rows.append(Row(name, cells, is_ours(point.contender)))
    return Grid("What the client cost", ["", *(titled(figure) for figure in figures)], rows)
