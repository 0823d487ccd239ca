"""``yolanda serve`` as a process, with an application of this folder."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Served

FOLDER = Path(__file__).parent


class ServedCommand(Served):
    """The command, which tells where it listens in its own words."""

    def port(self) -> int:
        return int(self.expect(r"serving https?://127\.0\.0\.1:(\d+)/")[0])


Start = Callable[..., ServedCommand]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Start]:
    """``command("bare_app:app", "--workers", "2", NAME=value)``: options and variables."""
    started: list[ServedCommand] = []

    def launch(*arguments: str, **variables: str) -> ServedCommand:
        line = [sys.executable, "-m", "yolanda", "serve", "--port", "0", "--app-dir", str(FOLDER)]
        served = ServedCommand(
            [*line, *arguments], env={**os.environ, **variables}, cwd=str(tmp_path)
        )
        started.append(served)
        return served

    yield launch
    for served in started:
        served.close()
