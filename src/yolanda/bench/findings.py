"""Sentences about what came out, for those who do not want to read a table."""

from collections.abc import Iterable, Mapping

from yolanda.bench.part import Figure
from yolanda.bench.report.numbers import listed, ratio_spread_text, ratio_text, value_text
from yolanda.bench.results import Condition, PartResult, Spread, ratio, spread


def comparison(
    result: PartResult,
    figure: Figure,
    where: Mapping[str, Condition],
    subject: str,
    ours: str,
    peers: Iterable[str],
) -> list[str]:
    """Say what ours costs, and how much of that is each peer's: one sentence, or none.

    ``subject`` is what it costs it for: ``"small GET"``.
    """
    point = result.find(ours, where)
    own = spread(point, figure.name)
    if own is None:
        return []
    said = [
        f"{times(found)} {peer}"
        for peer in peers
        if (found := ratio(point, result.find(peer, where), figure.name))
    ]
    sentence = f"{subject}: {ours} takes {value_text(figure, own.median)}"
    return [f"{sentence}, {listed(said)}." if said else f"{sentence}."]


def times(found: Spread) -> str:
    """Write a ratio, and in brackets between what the rounds lay."""
    between = ratio_spread_text(found)
    return ratio_text(found.median) + (f" ({between})" if between else "")
