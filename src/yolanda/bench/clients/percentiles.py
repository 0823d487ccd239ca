"""Of many round trips: how long half of them took at most, and nearly all."""

from collections.abc import Iterable

TELLING = 2
"""Round trips that must have taken longer than a percentile for it to be one."""


def percentiles(trips: Iterable[float]) -> dict[str, float]:
    """Return the median of round trips, and what 1 in 100 and 1 in 1,000 of them exceed.

    Every round trip was kept, so the figures are exact; where there are too few for one, it is
    left out.
    """
    ordered = sorted(trips)
    found = {}
    for name, share in (("p50", 0.5), ("p99", 0.01), ("p999", 0.001)):
        above = int(len(ordered) * share)
        if above >= TELLING or (name == "p50" and ordered):
            found[name] = ordered[-1 - above]
    return found
