import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from yolanda.apps.processes.pid_file import PidFile


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_it_is_there_while_the_block_lasts(tmp_path: Path) -> None:
    path = tmp_path / "y.pid"
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert path.stat().st_mode & 0o777 == 0o644
        assert list(tmp_path.iterdir()) == [path]
    assert list(tmp_path.iterdir()) == []


def test_it_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), PidFile(tmp_path / "y.pid"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_lives_is_not_pushed_out(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "y.pid"
    path.write_text(f"{other.pid}\n")
    with (
        pytest.raises(OSError, match=rf"process {other.pid} is running already .*y\.pid"),
        PidFile(path),
    ):
        pass
    assert path.read_text() == f"{other.pid}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stale_file_is_replaced(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "y.pid"
    path.write_text(f"{other.pid}\n")
    other.send_signal(signal.SIGKILL)
    other.wait()
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("content", ["", "what?", "0", "-1", "99999999999999", "own"])
def test_a_file_that_names_nobody_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "y.pid"
    path.write_text(str(os.getpid()) if content == "own" else content)
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_file_that_is_somebody_elses_by_now_stays(tmp_path: Path) -> None:
    path = tmp_path / "y.pid"
    with PidFile(path):
        path.write_text("1\n")
    assert path.read_text() == "1\n"
    path.unlink()
    with PidFile(path):
        path.unlink()
    assert not path.exists()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"No such file or directory \(pid file .*/none/y\.pid\)"),
        PidFile(tmp_path / "none" / "y.pid"),
    ):
        pass


def test_of_many_that_find_a_stale_file_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "y.pid"
    path.write_text("what?")
    program = (
        "import sys\n"
        "from yolanda.apps.processes.pid_file import PidFile\n"
        "sys.stdin.read(1)\n"
        "try:\n"
        "    with PidFile(sys.argv[1]):\n"
        "        print('mine', flush=True)\n"
        "        sys.stdin.read()\n"
        "except OSError as error:\n"
        "    print(error, flush=True)\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(5)
    ]
    try:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("g")
            racer.stdin.flush()
        said = [racer.stdout.readline() for racer in racers if racer.stdout is not None]
        assert sum(line == "mine\n" for line in said) == 1, said
        assert sum("is running already" in line for line in said) == 4, said
    finally:
        for racer in racers:
            racer.communicate(timeout=30)
    assert list(tmp_path.iterdir()) == []
