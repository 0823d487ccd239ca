"""What the comparison of I/O models shows, in sentences that are made of its figures."""

from collections.abc import Iterable

from yolanda.bench.report.numbers import listed
from yolanda.bench.results import CLIENT_BUSY, Condition, PartResult, spread
from yolanda.bench.servers import model_blocking, model_multiplexing, model_reactors
from yolanda.bench.servers.model_work import MUCH, NONE, SECONDS, WAIT

SOME_CONNECTIONS = 100
"""Of which every model has its figures, but for one that serves a single one."""
SEVERAL_CORES = 1.3
"""Whoever kept more cores busy used a second one."""
CLIENT_LIMIT = 0.9
"""A client that ran for a larger share of the time was what limited the rate."""

_NAMES = (*model_blocking.MODELS, *model_multiplexing.MODELS, *model_reactors.MODELS)
_TYPICAL = ("fork", "thread", "epoll", "reactor")


def findings(result: PartResult) -> list[str]:
    """Say what the figures show, as far as they were measured."""
    figures = _Figures(result)
    sentences = [
        _who_gives_up(figures),
        _watching_many(figures),
        _memory(figures),
        _taking_in(figures),
        _latency(figures),
        _switches(figures),
        _handing_over(figures),
        _much_work(figures),
        _waiting(figures),
        _limits_of_the_client(figures),
    ]
    return [sentence for sentence in sentences if sentence]


class _Figures:
    """Finds the medians.

    - ``most``: the largest number of connections; ``some``: the largest that all can be asked for.
    """

    def __init__(self, result: PartResult) -> None:
        self.result = result
        self.numbers = sorted(n for n in result.values("connections") if isinstance(n, int))
        self.most = max(self.numbers, default=0)
        self.some = max((n for n in self.numbers if n <= SOME_CONNECTIONS), default=0)

    def get(self, name: str, figure: str, connections: int, work: str = NONE) -> float | None:
        """Return the median of a model's figure, or None if it has none."""
        at: dict[str, Condition] = {"connections": connections, "work": work}
        found = spread(self.result.find(name, at), figure)
        return None if found is None else found.median

    def all(
        self, names: Iterable[str], figure: str, connections: int, work: str = NONE
    ) -> dict[str, float]:
        """Return those of several models, without those that have none."""
        found = {name: self.get(name, figure, connections, work) for name in names}
        return {name: value for name, value in found.items() if value is not None}


def _who_gives_up(figures: _Figures) -> str:
    served = figures.all(_NAMES, "served", figures.most)
    words, others = [], []
    for name in figures.result.contenders():
        point = figures.result.find(name, {"connections": figures.most, "work": NONE})
        if point is None:
            continue
        if name not in served:
            words.append(f"{name} gave up")
        elif served[name] < figures.most:
            words.append(f"{name} served {served[name]:,.0f}")
        else:
            others.append(name)
    if not words:
        return ""
    rest = f"; all were served by {listed(others)}." if others else "."
    return f"Of {figures.most:,} connections {listed(words)}{rest}"


def _watching_many(figures: _Figures) -> str:
    grown = []
    for name in model_multiplexing.MODELS:
        costs = {
            number: cost
            for number in figures.numbers
            if number >= figures.some and (cost := figures.get(name, "cpu", number)) is not None
        }
        last = max(costs, default=0)
        if last > figures.some and figures.some in costs:
            times = costs[last] / costs[figures.some]
            grown.append(f"{times:.2f} times the CPU with {name} and {last:,}")
    if not grown:
        return ""
    return (
        f"Watching costs: with more than {figures.some:,} connections, but no more messages under "
        f"way, a message takes {listed(grown)}."
    )


def _memory(figures: _Figures) -> str:
    found = figures.all(_TYPICAL, "memory_each", figures.most)
    kernel = figures.all(_TYPICAL, "kernel_each", figures.most)
    if not found:
        return ""
    words = [
        f"{value / 1024:,.1f} KiB with {name}"
        + (f" (and {kernel[name] / 1024:,.1f} of the kernel's)" if name in kernel else "")
        for name, value in found.items()
    ]
    return f"Of {figures.most:,} connections each takes {listed(words)}."


def _taking_in(figures: _Figures) -> str:
    found = figures.all(_TYPICAL, "setup", figures.most)
    if not found:
        return ""
    words = [f"{value * 1e6:,.0f} µs with {name}" for name, value in found.items()]
    return f"To connect, be accepted and answered for the first time takes {listed(words)}."


def _latency(figures: _Figures) -> str:
    number = max((n for n in figures.numbers if n <= 10 * SOME_CONNECTIONS), default=0)
    found = figures.all(_NAMES, "p99", number)
    if len(found) < 2:
        return ""
    ordered = sorted(found, key=found.__getitem__)
    first, last = ordered[0], ordered[-1]
    return (
        f"At {number:,} connections and {NONE}, 99 of 100 messages are answered within "
        f"{found[first] * 1e3:.1f} ms by {first} and within {found[last] * 1e3:.1f} ms by {last}."
    )


def _switches(figures: _Figures) -> str:
    found = figures.all(_TYPICAL, "voluntary", figures.some)
    if not found:
        return ""
    words = [f"{value:.2f} times with {name}" for name, value in found.items()]
    return (
        f"At {figures.some:,} connections the server goes to sleep, and has to be woken, "
        f"{listed(words)} for each message."
    )


def _handing_over(figures: _Figures) -> str:
    one = figures.get("reactor", "cpu", figures.some)
    found = figures.all(model_reactors.MODELS, "cpu", figures.some)
    found.pop("reactor", None)
    if not one or not found:
        return ""
    words = [f"{name} {value / one:.2f} times" for name, value in found.items()]
    return (
        f"Handing over costs: with nothing to do for a message, at {figures.some:,} connections "
        f"{listed(words)} the CPU that one reactor takes."
    )


def _much_work(figures: _Figures) -> str:
    have = len(figures.result.settings.get("cores", {}).get("much", ()))
    used = figures.all(_NAMES, "cores", figures.some, MUCH)
    several = [name for name, cores in used.items() if cores > SEVERAL_CORES]
    rates = figures.all([*several, "thread"], "rate", figures.some, MUCH)
    if have < 2 or not several or "thread" not in rates:
        return ""
    words = [
        f"{name} (busy on {used[name]:.1f} of {have}, {rates[name] / rates['thread']:.2f} times "
        "the rate of a thread for each connection)"
        for name in several
    ]
    return (
        f"With {SECONDS[MUCH] * 1e3:.0f} ms of Python a message, a second core is used by "
        f"{listed(words)}; threads take turns, because of the GIL."
    )


def _waiting(figures: _Figures) -> str:
    names = ("epoll", "reactor", "sub-reactors-4", "reactor-workers", "thread-pool", "thread")
    found = figures.all(names, "rate", figures.some, WAIT)
    if not found:
        return ""
    words = [f"{name} {value:,.0f}" for name, value in found.items()]
    return (
        f"Where a message waits {SECONDS[WAIT] * 1e3:.0f} ms for somebody else, a thread answers "
        f"at most {1 / SECONDS[WAIT]:,.0f} a second, and several threads wait at the same time: "
        f"at {figures.some:,} connections {listed(words)} a second."
    )


def _limits_of_the_client(figures: _Figures) -> str:
    limited: dict[str, list[str]] = {}
    for point in figures.result.points:
        busy = spread(point, CLIENT_BUSY)
        if "work" in point.at and busy is not None and busy.median > CLIENT_LIMIT:
            where = f"{point.at['connections']:,} connections, {point.at['work']}"
            limited.setdefault(where, []).append(point.contender)
    if not limited:
        return ""
    words = [f"{listed(names)} at {where}" for where, names in limited.items()]
    return (
        f"The client had no time left, so that its rate says little about the server, with "
        f"{'; '.join(words)}. The CPU a message does."
    )
