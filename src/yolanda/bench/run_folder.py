"""The folder of a run: ``machine.json``, and a file of results for each part."""

import dataclasses
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from yolanda import __version__
from yolanda.bench.results import PartResult, load, save_json

_MACHINE = "machine.json"


@dataclass
class Run:
    """What was measured where and when.

    - ``machine``: its description, a name to a value.
    - ``version``: Yolanda's, and the commit where it is known.
    - ``started``: local time, ISO 8601.
    - ``short``: measured in a few seconds, so that no figure is to be judged.
    - ``parts``: the results, in the order in which they were measured.
    """

    machine: dict[str, str]
    version: str
    started: str
    short: bool = False
    parts: list[PartResult] = field(default_factory=list)


def save_run(run: Run, folder: Path) -> None:
    """Write what is known of a run beside its parts, which are in files of their own."""
    fields = dataclasses.asdict(dataclasses.replace(run, parts=[]))
    del fields["parts"]
    save_json(fields, folder / _MACHINE)


def load_run(folder: Path) -> Run:
    """Read a run.

    Raises `ValueError`, which names the folder or the file, if there is none or it cannot be read.
    """
    path = folder / _MACHINE
    if not path.is_file():
        raise ValueError(f"{folder}: there is no {_MACHINE}, as yolanda bench leaves it")
    try:
        run = Run(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not written by yolanda bench: {error}") from error
    files = [file for file in folder.glob("*.json") if file.name != _MACHINE]
    run.parts = sorted(map(load, files), key=lambda result: result.started)
    return run


def version_and_commit() -> str:
    """Return Yolanda's version, with the commit if it runs from a checkout."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / ".git").exists():
        return __version__
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=, changed", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return __version__  # no git is no reason not to measure
    commit = answer.stdout.strip()
    return f"{__version__} ({commit})" if answer.returncode == 0 and commit else __version__
