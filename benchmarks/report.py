"""From samples to what is read: medians with their spread, ratios to the peers, and verdicts."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from load import Sample

Rounds = dict[str, list[Sample | None]]
"""The samples of each contender, one a round; None where it failed."""


OURS = "yolanda"


@dataclass(frozen=True)
class Figure:
    """One of the figures: how it is called, and how it is taken from a sample."""

    title: str
    value: Callable[[Sample], float]
    digits: int


@dataclass(frozen=True)
class Target:
    """What was promised: ours is at most so many times the peer's processor time."""

    workload: str
    peer: str
    limit: float
    ours: str = OURS


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


TARGETS = [
    Target("small GET", "nginx", 1.8),
    Target("small GET", "uvicorn", 0.42),
    Target("browser's GET", "nginx", 2.5),
    Target("small GET", "uvicorn", 0.5, "yolanda-asgi"),
    Target("small GET", "granian", 0.5, "yolanda-asgi"),
    Target("echo of 64 bytes", "asyncio", 1.0),
    Target("echo of 64 KiB", "uvloop", 1.0),
]
TARGET_CONNECTIONS = 64

_SLOW_BUSY = 0.9  # below this share the server waited for its client
_DISTURBED = 0.03  # above this share another process had the server's core


def _processor(sample: Sample) -> float:
    return sample.cpu * 1e6


def _rate(sample: Sample) -> float:
    return sample.rate


def _tail(sample: Sample) -> float:
    return sample.p99 * 1e3


def figures(unit: str) -> list[Figure]:
    """The three figures for a ``unit`` of work: a request or a message."""
    return [
        Figure(f"server CPU a {unit} (us)", _processor, 2),
        Figure(f"{unit}s a second", _rate, 0),
        Figure("p99 (ms)", _tail, 2),
    ]


def spread(rounds: Rounds, name: str, value: Callable[[Sample], float]) -> Spread | None:
    """Sum up a figure of one contender; None if no round of it succeeded."""
    values = [value(sample) for sample in rounds.get(name, []) if sample is not None]
    return Spread.of(values) if values else None


def ratio(rounds: Rounds, name: str, peer: str, value: Callable[[Sample], float]) -> Spread | None:
    """Compare two contenders round by round, so that what disturbs a round disturbs both."""
    pairs = zip(rounds.get(name, []), rounds.get(peer, []), strict=False)
    values = [value(ours) / value(theirs) for ours, theirs in pairs if ours and theirs]
    return Spread.of(values) if values else None


def print_table(title: str, unit: str, rounds: Rounds, peers: Sequence[str]) -> None:
    """Print the figures of a workload, each with its ratios to those peers that took part."""
    peers = [peer for peer in peers if any(rounds.get(peer, []))]
    print(f"\n{title}")
    for figure in figures(unit):
        heads = "".join(f"{'x ' + peer:>12}" for peer in peers)
        print(f"  {figure.title:<28}{'median':>10}   {'min - max':<19}{heads}")
        for name in rounds:
            found = spread(rounds, name, figure.value)
            if found is None:
                print(f"    {name:<26}{'failed':>10}")
                continue
            digits = figure.digits
            ends = f"{found.least:.{digits}f} - {found.most:.{digits}f}"
            columns = "".join(
                f"{_ratio_text(ratio(rounds, name, peer, figure.value)):>12}" for peer in peers
            )
            print(f"    {name:<26}{found.median:>10.{digits}f}   {ends:<19}{columns}")
    print("  the server's core")
    for name in rounds:
        _print_remarks(name, rounds)


def _ratio_text(found: Spread | None) -> str:
    return f"{found.median:.2f}" if found else "-"


def _print_remarks(name: str, rounds: Rounds) -> None:
    samples = [sample for sample in rounds[name] if sample is not None]
    if not samples:
        return
    busy = statistics.median(sample.busy for sample in samples)
    remarks = [f"busy {busy:.0%}"]
    if statistics.median(sample.busy + sample.waiting for sample in samples) < _SLOW_BUSY:
        remarks[0] += " (the client was the limit)"
    waiting = max(sample.waiting for sample in samples)
    if waiting > _DISTURBED:
        remarks.append(f"waited for its core up to {waiting:.0%} of a run")
    client = [sample.client for sample in samples if sample.client is not None]
    if client:
        remarks.append(f"client CPU {statistics.median(client) * 1e6:.2f} us a message")
    errors = sum(sample.errors for sample in samples)
    if errors:
        remarks.append(f"{errors} ERRORS")
    print(f"    {name}: {', '.join(remarks)}")


def print_verdicts(measured: dict[tuple[str, int], Rounds]) -> None:
    """Say of each target whether it is met, by the rounds in which nobody disturbed it."""
    print(f"\nTargets (server CPU, {TARGET_CONNECTIONS} connections, median of the rounds' ratios)")
    for target in TARGETS:
        rounds = measured.get((target.workload, TARGET_CONNECTIONS), {})
        quiet = _quiet(rounds, target.ours, target.peer)
        found = ratio(quiet, target.ours, target.peer, _processor)
        remark = ""
        if found is None:
            found = ratio(rounds, target.ours, target.peer, _processor)
            remark = "; no round was quiet"
        elif len(quiet[target.ours]) < len(rounds[target.ours]):
            remark = f"; quiet rounds: {len(quiet[target.ours])} of {len(rounds[target.ours])}"
        line = f"  {target.workload}, {target.ours}: "
        if found is None:
            print(f"{line}not measured (target {target.limit:.2f} x {target.peer})")
            continue
        line += f"{found.median:.2f} x {target.peer}"
        line += f" ({found.least:.2f} - {found.most:.2f}{remark}; target {target.limit:.2f}): "
        excess = found.median / target.limit - 1
        verdict = "met" if excess <= 0 else f"missed by {excess:.1%}"
        if found.least <= target.limit < found.most:
            verdict += ", but the rounds disagree"
        print(line + verdict)


def _quiet(rounds: Rounds, name: str, peer: str) -> Rounds:
    """Keep the rounds in which neither of two contenders had to wait for its core."""
    pairs = [
        (ours, theirs)
        for ours, theirs in zip(rounds.get(name, []), rounds.get(peer, []), strict=False)
        if ours and theirs and max(ours.waiting, theirs.waiting) <= _DISTURBED
    ]
    return {name: [ours for ours, _ in pairs], peer: [theirs for _, theirs in pairs]}
