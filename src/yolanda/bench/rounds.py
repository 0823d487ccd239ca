"""The order of a measurement: every contender in turn, once a round, under every load.

What changes slowly on the machine (its temperature, the neighbours of a virtual machine) so hits
all alike.  Each time the server is a new process, since where its memory comes to lie, and how its
hashes fall, is chance that lasts as long as a process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolanda.bench import contenders, cores, descriptors
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Missing, Progress, Settings
from yolanda.bench.results import PartResult

Prepare = Callable[[Server], None]


@dataclass(frozen=True)
class Entry:
    """A contender and what it is loaded with, one load after the other, on one server.

    ``prepare`` checks that the server does what it shall, and warms it up.
    """

    contender: Contender
    loads: Sequence[Load]
    prepare: Prepare


def no_preparation(server: Server) -> None:
    """Prepare nothing: the client warms the server up, and looks at the answers."""


def measure(
    entries: Sequence[Entry],
    settings: Settings,
    progress: Progress,
    result: PartResult,
    *,
    shared_cores: bool = False,
) -> None:
    """Measure those of the entries that are wanted and can be, and put the samples into ``result``.

    Server and client run on a core each, or with ``shared_cores`` both on both.  A contender that
    lacks something is skipped, and what one does not bear is kept in words.
    """
    present = _present(entries, settings, progress, result)
    server_core, client_core = cores.choose()
    both = (server_core, client_core)
    server_cores, client_cores = (both, both) if shared_cores else (both[:1], both[1:])
    result.settings["server's cores"] = ", ".join(map(str, sorted(set(server_cores))))
    result.settings["client's cores"] = ", ".join(map(str, sorted(set(client_cores))))
    if server_core == client_core:
        result.notes.append("There is one core; server and client share it.")
    descriptors.raise_limit()
    progress.expect(settings.rounds * sum(len(entry.loads) for entry in present))
    with cores.pinned(*client_cores):  # load generators inherit it
        for _ in range(settings.rounds):
            for entry in present:
                _run(entry, server_cores, settings, progress, result)


def _present(
    entries: Sequence[Entry], settings: Settings, progress: Progress, result: PartResult
) -> list[Entry]:
    present = []
    lacking: dict[str, str] = {}
    for entry in entries:
        contender = entry.contender
        if not settings.wants(contender.name):
            continue
        reason = contender.missing()
        if not reason:
            present.append(entry)
            result.versions.setdefault(contender.name, contender.version())
        elif lacking.setdefault(contender.name, reason) is reason:
            progress.note(f"{contender.name} is skipped: {reason}")
            result.notes.append(f"{contender.name} was skipped: {reason}.")
    if not present:
        raise Missing("; ".join(lacking.values()) or "no contender of that name is in this part")
    return present


def _run(
    entry: Entry,
    server_cores: tuple[int, ...],
    settings: Settings,
    progress: Progress,
    result: PartResult,
) -> None:
    """Measure one contender under all its loads.

    One that fails is told, and those after it get a new server; if that does not start, all do.
    """
    name = entry.contender.name
    remaining = list(entry.loads)
    while remaining:
        failed = len(remaining)  # all of them, until the server has shown that it works
        try:
            with contenders.running(entry.contender, *server_cores) as server:
                entry.prepare(server)
                while remaining:
                    failed = 1
                    load = remaining[0]
                    progress.advance(f"{name}: {load}")
                    result.add(name, load.at, load.run(server, settings.seconds))
                    del remaining[0]
        except RuntimeError as error:
            reason = _in_one_line(error)
            progress.note(f"{name} gave up: {reason}")
            for load in remaining[:failed]:
                result.give_up(name, load.at, reason)
            del remaining[:failed]


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
