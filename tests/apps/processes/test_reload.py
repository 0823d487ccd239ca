import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from yolanda.apps.processes.reload import SourceFiles, has_watchfiles

from ..conftest import Client, Served, alive, get, wait_until

PROGRAM = Path(__file__).parent / "reload_program.py"

Start = Callable[[], Served]


@pytest.fixture(params=["poll", "events"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a reloader, over ``answer.py`` in the test's folder."""
    if request.param == "events" and not has_watchfiles():
        pytest.skip("watchfiles is not installed")
    started: list[Served] = []

    def launch() -> Served:
        served = Served([sys.executable, str(PROGRAM), str(tmp_path), request.param])
        started.append(served)
        return served

    yield launch
    for served in started:
        served.close()


def say(folder: Path, answer: str) -> None:
    (folder / "answer.py").write_text(f"ANSWER = {answer!r}\n")


def serves_after(served: Served, times: int) -> int:
    """Wait until a worker is ready for the n-th time; its port."""
    return int(served.expect(r"listening on \S*:(\d+)", times=times)[-1])


def test_a_change_brings_the_new_code(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    port = serves_after(served, 1)
    assert get(port) == "first"
    for times, answer in enumerate(["second", "third"], 2):
        say(tmp_path, answer)
        served.expect("changed: .*answer.py; starting anew", times=times - 1)
        assert serves_after(served, times) == port
        assert get(port) == answer
    children = served.workers()
    assert len(children) == 2
    assert served.stop() == 0
    wait_until(lambda: not any(map(alive, children)))


def test_an_error_is_survived(start: Start, tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text("ANSWER = (\n")
    served = start()
    served.expect("the application could not be started: SyntaxError")
    served.expect("waiting for a change")
    (tmp_path / "answer.py").write_text("import nowhere_to_be_found\n")
    served.expect("the application could not be started: ModuleNotFoundError")
    served.expect("waiting for a change", times=2)
    say(tmp_path, "at last")
    assert get(serves_after(served, 1)) == "at last"
    assert served.stop() == 0


def test_a_worker_that_ends_is_started_after_the_next_change(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    with Client(serves_after(served, 1)) as client:
        client.send("/exit")
        served.expect(r"the worker ended \(exit status 7\); waiting for a change")
    say(tmp_path, "second")
    assert get(serves_after(served, 2)) == "second"
    assert served.stop() == 0


@pytest.mark.parametrize("path", ["/never", "/block"])
def test_a_restart_waits_for_nobody(start: Start, tmp_path: Path, path: str) -> None:
    say(tmp_path, "first")
    served = start()
    port = serves_after(served, 1)
    with Client(port) as client:
        client.ask()
        client.send(path)
        say(tmp_path, "second")
        assert serves_after(served, 2) == port
        assert get(port) == "second"
    assert served.stop() == 0


def test_files_that_come_and_go(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    serves_after(served, 1)
    (tmp_path / "notes.txt").write_text("not watched")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "module.py").write_text("not watched")
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("")
    served.expect("changed: .*module.py; starting anew")
    serves_after(served, 2)
    (package / "module.py").unlink()
    served.expect("changed: .*module.py; starting anew", times=2)
    serves_after(served, 3)
    assert "notes.txt" not in served.text
    assert "hidden" not in served.text
    assert served.stop() == 0


def test_sighup_starts_anew(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    serves_after(served, 1)
    served.send(signal.SIGHUP)
    assert get(serves_after(served, 2)) == "first"
    served.send(signal.SIGQUIT)
    assert served.wait() == 0


def test_signals_for_the_worker_end_nobody(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    port = serves_after(served, 1)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        served.send(number)
    assert serves_after(served, 2) == port
    assert get(port) == "first"
    assert served.stop() == 0


def test_interrupts(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    with Client(serves_after(served, 1)) as client:
        client.ask()
        client.send("/never")
        os.killpg(served.pid, signal.SIGINT)
        served.expect("got SIGINT")
        served.send(signal.SIGINT)
        assert served.wait() == 0


def test_all_end_with_the_parent(start: Start, tmp_path: Path) -> None:
    say(tmp_path, "first")
    served = start()
    serves_after(served, 1)
    children = served.workers()
    os.kill(served.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, children)))


# ---- which files are watched -------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "app.py",
        "page.html",
        ".env",
        "package/module.py",
        "package/data.json",
        "package/__pycache__/module.py",
        ".venv/lib/python3/site-packages/library.py",
        "venv/lib/python3/site-packages/library.py",
        "build/copy.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), {"app.py", "package/module.py", "build/copy.py"}),
        (("*.html",), (), {"app.py", "package/module.py", "build/copy.py", "page.html"}),
        ((".env",), ("build",), {"app.py", "package/module.py", ".env"}),
        (("package/*",), ("build/",), {"app.py", "package/module.py", "package/data.json"}),
        ((), ("*.py",), set()),
        ((), ("package/module.py", "./build"), {"app.py"}),
        (("*.json",), ("package",), {"app.py", "build/copy.py"}),
    ],
)
def test_patterns(
    tree: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: set[str]
) -> None:
    source = SourceFiles([str(tree)], include, exclude)
    assert {os.path.relpath(path, tree) for path in source.files()} == expected
    everything = [path for path in tree.rglob("*") if path.is_file()]
    accepted = {str(path.relative_to(tree)) for path in everything if source.accepts(str(path))}
    assert accepted - {"package/__pycache__/module.py"} == expected


def test_a_file_elsewhere_is_not_watched(tree: Path) -> None:
    assert not SourceFiles([str(tree / "package")]).accepts(str(tree / "app.py"))


def test_a_folder_that_is_none(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"app\.py' is no folder that could be watched"):
        SourceFiles([str(tree / "app.py")])
