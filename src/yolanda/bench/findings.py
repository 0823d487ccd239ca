"""Sentences about what came out, for those who do not want to read a table."""

from collections.abc import Iterable, Mapping

from yolanda.bench.part import Figure
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
        f"{_times(found)} {peer}"
        for peer in peers
        if (found := ratio(point, result.find(peer, where), figure.name))
    ]
    value = f"{own.median * figure.scale:,.{figure.digits}f} {figure.unit}"
    sentence = f"{subject}: {ours} takes {value}"
    return [f"{sentence}, {listed(said)}." if said else f"{sentence}."]


def _times(found: Spread) -> str:
    return f"{found.median:.2f} ({found.least:.2f} to {found.most:.2f}) times"


def listed(parts: list[str]) -> str:
    """Join what is listed: ``"a, b and c"``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
