"""The tables of a part: medians, with their spreads and ratios."""

from yolanda.bench.part import Figure, Part, Table
from yolanda.bench.report.comparison import PartMoves
from yolanda.bench.report.document import Cell, Grid, Row
from yolanda.bench.report.numbers import (
    condition_text,
    percent_text,
    ratio_spread_text,
    ratio_text,
    spread_text,
    unit_of,
    value_text,
)
from yolanda.bench.report.pictures import (
    CONTENDER,
    condition_title,
    facet_text,
    facets,
    is_ours,
    value_of,
    values,
)
from yolanda.bench.results import Condition, PartResult, Point, Spread, ratio, spread


def grids_of(part: Part, result: PartResult, table: Table) -> list[Grid]:
    """Return a table, as often as there are conditions that it does not show."""
    shown = (table.rows, table.columns) if table.columns else (table.rows,)
    grids = []
    for facet, points in facets(result, table.figures, shown, table.where):
        title = table.title + facet_text(part, facet)
        make = _crossed_grid if table.columns else _figure_grid
        grids.append(make(part, table, points, title))
    return grids


def moves_grid(part: PartMoves) -> Grid:
    """Return what moved in a part between two runs."""
    rows = [
        Row(
            ", ".join(filter(None, [move.contender, move.place, move.figure.title])),
            [
                Cell(percent_text(move.change), "better" if move.better else "worse"),
                Cell(value_text(move.figure, move.old.median), spread_text(move.figure, move.old)),
                Cell(value_text(move.figure, move.new.median), spread_text(move.figure, move.new)),
            ],
            is_ours(move.contender),
        )
        for move in part.moved
    ]
    title = f"{len(part.moved)} of {len(part.moves)} figures moved beyond their spread"
    return Grid(title, ["", "change", "before", "now"], rows)


def medians_grid(part: PartMoves) -> Grid:
    """Return how each figure of a part moved on the whole."""
    medians = part.medians()
    ours = any(own is not None for _, own, _ in medians)
    others = any(other is not None for _, _, other in medians)
    head = ["Yolanda", "others"] if ours and others else ["all"]
    rows = []
    for figure, own, other in medians:
        changes = [own, other] if ours and others else [own if ours else other]
        texts = ["" if change is None else percent_text(change) for change in changes]
        rows.append(Row(figure.title, [Cell(text) for text in texts]))
    return Grid("The median of all changes", ["", *head], rows)


def _figure_grid(part: Part, table: Table, points: list[Point], title: str) -> Grid:
    """A column for each figure, then one for each peer."""
    figures = [part.figure(name) for name in table.figures]
    found = {point.contender: point for point in points} if table.rows == CONTENDER else {}
    peers = [peer for peer in table.peers if peer in found]
    head = [
        _over(part, table.rows),
        *(titled(figure) for figure in figures),
        *(f"× {peer}" for peer in peers),
    ]
    best = [_best(points, figure) for figure in figures]
    rows = []
    for value in values(points, table.rows):
        point = next(point for point in points if value_of(point, table.rows) == value)
        cells = [
            figure_cell(point, figure, ahead) for figure, ahead in zip(figures, best, strict=True)
        ]
        cells += [_ratio_cell(point, found[peer], figures[0]) for peer in peers]
        rows.append(_row(table.rows, value, cells))
    return Grid(title, head, rows)


def _crossed_grid(part: Part, table: Table, points: list[Point], title: str) -> Grid:
    """A column for each value of a condition, or each contender, for one figure."""
    figure = part.figure(table.figures[0])
    columns = values(points, table.columns)
    head = [_over(part, table.rows)]
    head += [condition_text(table.columns, column) for column in columns]
    by_place = {
        (value_of(point, table.rows), value_of(point, table.columns)): point for point in points
    }
    rows = []
    for value in values(points, table.rows):
        cells = []
        for column in columns:
            point = by_place.get((value, column))
            peer = _peer_of(table, by_place, value, column)
            same = [by_place[place] for place in by_place if _rivals(table, place, value, column)]
            cells.append(figure_cell(point, figure, _best(same, figure), peer))
        rows.append(_row(table.rows, value, cells))
    if table.columns != CONTENDER:
        title += f" by {condition_title(part, table.columns)}"
    return Grid(f"{title}, {unit_of(figure)}" if figure.unit else title, head, rows)


def _rivals(
    table: Table,
    place: tuple[Condition | None, Condition | None],
    row: Condition,
    column: Condition,
) -> bool:
    """Tell whether a place of a table is that of another contender under the same conditions."""
    if table.rows == CONTENDER:
        return place[1] == column
    return table.columns == CONTENDER and place[0] == row


def _peer_of(
    table: Table,
    by_place: dict[tuple[Condition | None, Condition | None], Point],
    row: Condition,
    column: Condition,
) -> Point | None:
    for peer in table.peers:
        place = (peer, column) if table.rows == CONTENDER else (row, peer)
        if place in by_place:
            return by_place[place]
    return None


def _row(name: str, value: Condition, cells: list[Cell]) -> Row:
    if name == CONTENDER:
        return Row(str(value), cells, is_ours(str(value)))
    return Row(condition_text(name, value), cells)


def figure_cell(
    point: Point | None, figure: Figure, best: float | None, peer: Point | None = None
) -> Cell:
    """Return the cell of a figure; ``peer``: whose ratio stands there in place of the spread."""
    found = spread(point, figure.name)
    if found is None:
        if point is not None and point.failure:
            return Cell("gave up", point.failure, failed=True)
        return Cell("")
    detail = spread_text(figure, found)
    if peer is not None and peer is not point:
        beside = ratio(point, peer, figure.name)
        if beside is not None:
            detail = f"{ratio_text(beside.median)} {peer.contender}"
    text = value_text(figure, found.median, unit=False)
    return Cell(text, detail, best=found.median == best)


def _ratio_cell(point: Point, peer: Point, figure: Figure) -> Cell:
    if point is peer:
        return Cell("1")
    found = ratio(point, peer, figure.name)
    return Cell("" if found is None else ratio_text(found.median), _ratio_detail(found))


def _ratio_detail(found: Spread | None) -> str:
    return ratio_spread_text(found) if found is not None else ""


def _best(points: list[Point], figure: Figure) -> float | None:
    """Return the best median, if there are several to choose from."""
    medians = [found.median for point in points if (found := spread(point, figure.name))]
    if len(medians) < 2:
        return None
    return min(medians) if figure.less_is_better else max(medians)


def titled(figure: Figure) -> str:
    """Return what a figure is called, and its unit."""
    return f"{figure.title}, {unit_of(figure)}" if figure.unit else figure.title


def _over(part: Part, name: str) -> str:
    return "" if name == CONTENDER else condition_title(part, name)
