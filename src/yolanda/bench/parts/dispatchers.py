"""Part ``dispatchers``: what one event costs among many watched descriptors.

Chapter 23 of the course shows a picture: with epoll an event among 10,000 descriptors costs hardly
more than one among 10, with select and poll it costs ever more.  Chapter 29 says why: select and
poll hand their whole set to the kernel in each call, which looks through all of it, and so does the
program with the answer.  Chapter 20 knows of select's limit, 1,024 descriptors, and chapter 23 of
edge-triggered epoll that it is thought to be more efficient than level-triggered.

Measured are select, poll and epoll, level- and edge-triggered, twice: called from Python with
nothing around them, and through Yolanda's `EventLoop` with a channel and a callback for each
descriptor.  One process on one core, for nobody has to be woken; how, `yolanda.bench.watching`
tells.
"""

import statistics
from collections.abc import Iterator

from yolanda.bench import cores
from yolanda.bench.part import Figure, Headline, Part, Plot, Progress, Settings, Table
from yolanda.bench.probe import PATIENCE, Answer, Probe, ProbeError
from yolanda.bench.report.numbers import ratio_text, value_text
from yolanda.bench.results import Condition, PartResult, Point, Sample, Spread, ratio, spread

INTERFACES = ("select", "poll", "epoll", "epoll-et")
NOBODY = "nobody waits"
"""The descriptors are written to and read by who knows which they are: the floor."""
CONTENDERS = (*INTERFACES, NOBODY)

WATCHED = (10, 100, 1_000, 10_000)
SHARES = (0.01, 0.1, 0.5, 1.0)
"""Of the descriptors, as many are active in each turn; and one alone."""

FEW_ROUNDS = 3
"""With fewer, that all agree means nothing."""

KERNEL, LOOP = "the kernel's interface", "Yolanda's loop"
LEVELS = {KERNEL: "kernel", LOOP: "yolanda"}
TURNS, CHANGES = "turns", "changes"

EVENT = Figure("event", "CPU an event", "us", 1e6)
WHOLE = Figure("whole", "CPU an event with write and read", "us", 1e6)
CHANGE_FIGURES = (
    Figure("add", "to add one", "us", 1e6),
    Figure("update", "to change one", "us", 1e6),
    Figure("remove", "to remove one", "us", 1e6),
)
FIGURES = (
    EVENT,
    Figure("turn", "CPU a turn", "us", 1e6),
    Figure("waits", "waits a turn", digits=1),
    WHOLE,
    Figure("user", "in the program", "us", 1e6),
    Figure("system", "in the kernel", "us", 1e6),
    *CHANGE_FIGURES,
)


# ---- measuring ---------------------------------------------------------------------------


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """Measure all interfaces in turn, in each round; see `Part`."""
    names = [name for name in INTERFACES if settings.wants(name)]
    core, _ = cores.choose()
    patience = PATIENCE + 2 * settings.seconds
    with cores.pinned(core), Probe("yolanda.bench.watching", patience) as probe:
        plan = _plan(probe.ask("limit")["descriptors"], settings, progress, result)
        measuring = _Measuring(probe, names, settings, result)
        progress.expect(settings.rounds * (len(plan) + len({watched for watched, _ in plan})))
        for _ in range(settings.rounds):
            for watched, active in plan:
                progress.advance(f"{active:,} of {watched:,} active")
                measuring.turns(watched, active)
            for watched in dict.fromkeys(watched for watched, _ in plan):
                progress.advance(f"changes among {watched:,}")
                measuring.changes(watched)


class _Measuring:
    """Asks for the figures of one round after the other.

    Who has given up among so many descriptors is not asked again.
    """

    def __init__(
        self, probe: Probe, names: list[str], settings: Settings, result: PartResult
    ) -> None:
        self._probe = probe
        self._names = names
        self._seconds = settings.seconds
        self._floor_is_wanted = settings.wants(NOBODY)
        self._result = result
        self._given_up: set[tuple[str, str, int]] = set()

    def turns(self, watched: int, active: int) -> None:
        """Measure turns of all contenders, and after each of them those of nobody.

        What is wanted is the smaller part of what a turn costs; so what drifts meanwhile would else
        be taken for it.
        """
        conditions = {"watched": watched, "active": active}
        at: dict[str, Condition] = {"what": TURNS, **conditions}
        floors = [self._probe.ask("reading", **conditions, seconds=self._seconds)]
        for level in LEVELS:
            for name in self._names:
                answer = self._ask("turns", level, name, at, **conditions)
                if not answer:
                    continue
                floors.append(self._probe.ask("reading", **conditions, seconds=self._seconds))
                own = answer["turn"] - _mean(floors[-2:], "turn")
                sample = {"event": own / active, "turn": own, "waits": answer["waits"]}
                sample |= _parts(answer, active)
                self._result.add(name, {**at, "level": level}, sample)
        if self._floor_is_wanted:
            floor = {name: _mean(floors, name) for name in ("turn", "user", "system")}
            for level in LEVELS:
                self._result.add(NOBODY, {**at, "level": level}, _parts(floor, active))

    def changes(self, watched: int) -> None:
        """Measure changes of what is watched, with all contenders."""
        at: dict[str, Condition] = {"what": CHANGES, "watched": watched}
        for level in LEVELS:
            for name in self._names:
                answer = self._ask("changes", level, name, at, watched=watched)
                if answer:
                    self._result.add(name, {**at, "level": level}, answer)

    def _ask(
        self, job: str, level: str, name: str, at: dict[str, Condition], watched: int, **more: int
    ) -> Answer | None:
        if (level, name, watched) in self._given_up:
            return None
        try:
            return self._probe.ask(
                job,
                level=LEVELS[level],
                interface=name,
                watched=watched,
                seconds=self._seconds,
                **more,
            )
        except ProbeError as error:
            self._given_up.add((level, name, watched))
            self._result.give_up(name, {**at, "level": level}, str(error))
            return None


def _plan(
    most: int, settings: Settings, progress: Progress, result: PartResult
) -> list[tuple[int, int]]:
    """Choose how many descriptors are watched and how many of them are active."""
    sizes = [count for count in WATCHED if count <= most]
    if most < WATCHED[-1]:
        sizes.append(most)
        note = (
            f"This process may have no more than {most:,} descriptors to watch (ulimit -n), and"
            f" not {WATCHED[-1]:,}."
        )
        result.notes.append(note)
        progress.note(note)
    plan = []
    for watched in sizes:
        shares: tuple[float, ...] = SHARES
        if settings.short:  # 10,000 at once take long
            shares = SHARES[-1:] if watched <= 1_000 else ()
        counts = {1, *(max(1, int(watched * share)) for share in shares)}
        plan += [(watched, active) for active in sorted(counts)]
    return plan


def _mean(answers: list[Answer], name: str) -> float:
    return statistics.fmean(float(answer[name]) for answer in answers)


def _parts(turn: Answer, active: int) -> Sample:
    """Divide what a turn costs among its events."""
    return {
        "whole": turn["turn"] / active,
        "user": turn["user"] / active,
        "system": turn["system"] / active,
    }


# ---- what the figures say ----------------------------------------------------------------


def findings(result: PartResult) -> list[str]:
    """Say what the figures show of what the course says."""
    return [
        sentence
        for say in (_growth, _limit_of_select, _shares, _edges, _layer, _changes)
        for sentence in say(result)
    ]


def _turns(
    result: PartResult, name: str, watched: Condition, active: Condition, level: str = KERNEL
) -> Point | None:
    where = {"what": TURNS, "level": level, "watched": watched, "active": active}
    return result.find(name, where)


def _event(
    result: PartResult, name: str, watched: Condition, active: Condition, figure: Figure = EVENT
) -> Spread | None:
    return spread(_turns(result, name, watched, active), figure.name)


def _growth(result: PartResult) -> Iterator[str]:
    """Tell how the cost of one event grows with the number of descriptors."""
    grown: dict[str, float] = {}
    most = 0
    for name in INTERFACES:
        costs = {
            count: found.median
            for count in sorted(result.values("watched"), key=float)
            if isinstance(count, int) and (found := _event(result, name, count, 1))
        }
        if len(costs) < 2:
            continue
        few, many = min(costs), max(costs)
        most = max(most, many)
        if many == most and costs[few] > 0:
            grown[name] = costs[many] / costs[few]
        yield (
            f"{name}: one event costs {value_text(EVENT, costs[few])} among {few:,} descriptors"
            f" and {value_text(EVENT, costs[many])} among {many:,}."
        )
    if "epoll" in grown and "poll" in grown:
        shown = grown["epoll"] < 3 < 10 < grown["poll"]
        yield (
            f"Up to {most:,} descriptors an event's cost grows {ratio_text(grown['poll'])} with"
            f" poll and {ratio_text(grown['epoll'])} with epoll. The picture of chapter 23"
            f" {'is' if shown else 'is not'} what these figures show."
        )


def _limit_of_select(result: PartResult) -> Iterator[str]:
    for point in result.at({"what": TURNS, "level": KERNEL, "active": 1}):
        if point.contender == "select" and point.failure:
            yield (
                f"select gives up at {point.at['watched']:,} descriptors, which chapter 20 says"
                f" of more than 1,024: {point.failure}."
            )
            return


def _shares(result: PartResult) -> Iterator[str]:
    """Tell from how many active ones on poll's looking at all is no loss."""
    for watched in result.values("watched"):
        if not isinstance(watched, int) or watched < 1000:
            continue
        cheaper: list[Condition] = []
        dearer: list[Condition] = []
        for active in sorted(result.values("active"), key=float):
            poll = _event(result, "poll", watched, active, WHOLE)
            epoll = _event(result, "epoll", watched, active, WHOLE)
            if poll and epoll:
                (cheaper if poll.most < epoll.least else dearer).append(active)
        for active in cheaper[-1:]:
            costs = [
                f"{value_text(WHOLE, found.median)} {words}"
                for name, words in (
                    ("poll", "with poll"),
                    ("epoll", "with epoll"),
                    (NOBODY, "where nobody waits"),
                )
                if (found := _event(result, name, watched, active, WHOLE))
            ]
            yield (
                f"With {active:,} of {watched:,} active, to write, await and read a byte costs"
                f" {', '.join(costs)}: who has to look at so many anyway loses nothing by looking"
                " at all, and epoll has to enter each one in its list."
            )
        if not cheaper and len(dearer) > 1:
            yield f"Of {watched:,} descriptors, poll is cheaper at no share of active ones."


def _edges(result: PartResult) -> Iterator[str]:
    """Tell whether edge-triggered epoll is the cheaper one."""
    watched = 1000
    for active in (1, watched):
        pair = [_turns(result, name, watched, active) for name in ("epoll-et", "epoll")]
        found = ratio(pair[0], pair[1], WHOLE.name)
        if found is None:
            continue
        start = (
            f"Edge-triggered, epoll costs {ratio_text(found.median)} what it costs level-triggered,"
            f" write and read included ({found.least:.2f} to {found.most:.2f}), with {active:,} of"
            f" {watched:,} active"
        )
        if found.rounds < FEW_ROUNDS:
            yield f"{start}: too few rounds to say more."
        elif found.most < 1:
            yield f"{start}: it is the cheaper one, as chapter 23 expects."
        elif found.least > 1:
            yield f"{start}: it is the dearer one, which chapter 23 does not expect."
        else:
            yield f"{start}: no difference that the rounds agree on."


def _layer(result: PartResult) -> Iterator[str]:
    """Tell what Yolanda's loop adds."""
    watched = 1000
    for name in ("epoll", "poll"):
        added = {
            active: found
            for active in (1, watched // 10, watched)
            if (found := _difference(result, name, watched, active))
        }
        if added:
            parts = [
                f"{value_text(EVENT, found.median)} with {active:,} active"
                for active, found in added.items()
            ]
            yield (
                f"Yolanda's loop adds to the cost of an event with {name} among {watched:,}:"
                f" {', '.join(parts)}."
            )


def _difference(
    result: PartResult, name: str, watched: Condition, active: Condition
) -> Spread | None:
    bare = _turns(result, name, watched, active)
    loop = _turns(result, name, watched, active, LOOP)
    if bare is None or loop is None:
        return None
    pairs = zip(loop.rounds, bare.rounds, strict=False)
    return Spread.of([ours["whole"] - theirs["whole"] for ours, theirs in pairs if ours and theirs])


def _changes(result: PartResult) -> Iterator[str]:
    """Tell what it costs that a descriptor comes and goes."""
    where: dict[str, Condition] = {"what": CHANGES, "level": KERNEL, "watched": 1000}
    costs = {}
    for name in ("poll", "epoll"):
        point = result.find(name, where)
        if point is not None and point.samples:
            sums = [sample["add"] + sample["remove"] for sample in point.samples]
            found = Spread.of(sums)
            assert found is not None
            costs[name] = value_text(EVENT, found.median)
    if len(costs) == 2:
        yield (
            f"To add and remove a descriptor costs {costs['epoll']} with epoll, which makes a"
            f" system call of each, and {costs['poll']} with poll, which tells the kernel nothing"
            " before it waits."
        )


# ---- the part ----------------------------------------------------------------------------

_AT_1000: dict[str, Condition] = {"what": TURNS, "watched": 1000}
_ONE: dict[str, Condition] = {"what": TURNS, "active": 1}

PART = Part(
    name="dispatchers",
    title="select, poll and epoll",
    question=(
        "What does one event cost among 10 to 10,000 watched descriptors, and when many are active"
        " at once? Chapter 23 of the course shows that epoll's cost hardly grows while that of"
        " select and poll does, and chapter 29 says why. What does Yolanda's loop add to it?"
    ),
    contenders=CONTENDERS,
    figures=FIGURES,
    measure=measure,
    findings=findings,
    conditions={"watched": "descriptors watched", "active": "active in each turn"},
    headlines=tuple(
        Headline(
            "event",
            {"what": TURNS, "level": KERNEL, "watched": watched, "active": 1},
            "epoll",
            f"of CPU for one event among {watched:,} descriptors",
            "poll",
        )
        for watched in (10_000, 1_000)
    ),
    plots=(
        Plot(
            "lines",
            "event",
            "One event among many",
            x="watched",
            where=_ONE,
            log_x=True,
            log_y=True,
            caption=(
                "One descriptor is active in each turn, another one every time. What it costs to"
                " make it readable and to read is not in it."
            ),
        ),
        *(
            Plot(
                "lines",
                "whole",
                f"Some of {watched:,} descriptors active",
                x="active",
                where={"what": TURNS, "level": KERNEL, "watched": watched},
                log_x=True,
                log_y=True,
                contenders=tuple(name for name in CONTENDERS if name not in absent),
                caption=(
                    "The more descriptors are active in a turn, the more events share the cost of"
                    " looking at all of them. Where nobody waits, the same bytes are written, and"
                    " read by who knows where they are."
                ),
            )
            for watched, absent in ((1_000, ()), (10_000, ("select",)))
        ),
        Plot(
            "lines",
            "whole",
            "What Yolanda's loop adds, 1,000 descriptors",
            x="active",
            series="level",
            where=_AT_1000,
            log_x=True,
            contenders=("epoll",),
            caption="A turn of the loop has a cost of its own, which the events of a turn share.",
        ),
    ),
    tables=(
        Table(("event",), "One event among many", columns="watched", where=_ONE),
        Table(("whole",), "By how many are active", columns="active", where=_AT_1000),
        Table(
            ("whole", "user", "system", "event", "turn", "waits"),
            "What a turn is made of, 100 of 1,000 active",
            where={**_AT_1000, "active": 100},
        ),
        Table(
            ("add", "update", "remove"),
            "Changes of what is watched, among 1,000",
            where={"what": CHANGES, "watched": 1000},
        ),
    ),
    rounds=5,
    seconds=0.05,
    short_rounds=1,
    short_seconds=0.01,
)
