"""The course on the command line: its lists, its programs, its labs."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from yolanda import labs, programs
from yolanda.catalogue import Catalogue
from yolanda.cli import cli, main
from yolanda.lab_command import LabName

Shown = tuple[int, str, str]


@pytest.fixture
def yolanda(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Shown]:
    """Run the command in this process: status, output, errors."""

    def run(*arguments: str) -> Shown:
        monkeypatch.setattr(sys, "argv", ["yolanda", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        output, errors = capsys.readouterr()
        status = end.value.code or 0
        assert isinstance(status, int)
        return status, output, errors

    return run


@pytest.fixture
def stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put labs of the test's own in place of the real ones."""
    package = tmp_path / "ownlabs"
    folder = package / "chapter07"
    folder.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (folder / "__init__.py").write_text('"""Chapter 7: tried."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name: str, body: str) -> None:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        (folder / f"{name}.py").write_text(
            f'"""Is [this] {name}?"""\n'
            "from yolanda.labs.stage import LabFailed\n"
            f"def play(stage):\n{lines}\n"
        )
        for module in [module for module in sys.modules if module.startswith("ownlabs")]:
            del sys.modules[module]
        monkeypatch.setattr(LabName, "catalogue", Catalogue(__import__("ownlabs")))

    return add


def test_programs_are_listed_by_chapter(yolanda: Callable[..., Shown]) -> None:
    status, output, _ = yolanda("programs")
    assert status == 0
    lines = output.splitlines()
    for entry in Catalogue(programs):
        named = [line for line in lines if line.split()[0].replace("_", "-") == entry.name]
        assert len(named) == 1, entry.name
    assert lines.index("Chapter 5: reading and writing through the socket's buffers") + 1 == [
        line.split()[0] for line in lines
    ].index("tcpclient")


def test_labs_are_listed_by_chapter(yolanda: Callable[..., Shown]) -> None:
    status, output, _ = yolanda("labs")
    assert status == 0
    names = [line.split()[0] for line in output.splitlines() if line.startswith("  ")]
    assert names == [entry.name for entry in Catalogue(labs)]


def test_an_unknown_program_is_one_line(yolanda: Callable[..., Shown]) -> None:
    status, output, errors = yolanda("run", "tcpsever")
    assert (status, output) == (2, "")
    assert errors == (
        "yolanda: error: there is no program 'tcpsever'; did you mean tcpserver or "
        + errors.partition("tcpserver or ")[2]
    )
    assert yolanda("run", "xyzzy")[2] == (
        "yolanda: error: there is no program 'xyzzy'; 'yolanda programs' lists them\n"
    )


def test_an_unknown_lab_is_one_line(yolanda: Callable[..., Shown]) -> None:
    status, _, errors = yolanda("lab", "buffer-3")
    assert status == 2
    assert "there is no lab 'buffer-3'; did you mean buffer-" in errors
    status, _, errors = yolanda("lab")
    assert status == 2
    assert "which lab?" in errors
    status, _, errors = yolanda("lab", "buffer-1", "--patience", "0")
    assert status == 2
    assert "--patience" in errors


def test_a_lab_that_shows_what_it_should(
    yolanda: Callable[..., Shown], stock: Callable[[str, str], None]
) -> None:
    stock("good", "stage.note('look')\nstage.check('the sun rises', True, 'light')")
    status, output, errors = yolanda("lab", "good")
    assert (status, errors) == (0, "")
    assert output.startswith("good: Is [this] good?\n")
    assert "--- look" in output
    assert "seen      the sun rises  (light)" in output


def test_a_lab_that_does_not(
    yolanda: Callable[..., Shown], stock: Callable[[str, str], None]
) -> None:
    stock("bad", "stage.check('the sun rises', False)")
    status, output, errors = yolanda("lab", "bad")
    assert status == 1
    assert "NOT SEEN  the sun rises" in output
    assert errors == "yolanda: error: not seen in bad\n"


def test_a_lab_that_waits_in_vain(
    yolanda: Callable[..., Shown], stock: Callable[[str, str], None]
) -> None:
    body = "actor = stage.start_command(['true'], name='a')\nactor.expect('hello')"
    stock("vain", body)
    status, output, _ = yolanda("lab", "vain")
    assert status == 1
    assert "$ true" in output
    assert "NOT SEEN  a ended without saying 'hello'" in output


def test_a_lab_that_judges_nothing_has_shown_nothing(
    yolanda: Callable[..., Shown], stock: Callable[[str, str], None]
) -> None:
    stock("empty", "pass")
    assert yolanda("lab", "empty")[0] == 1


def test_a_lab_that_cannot_be_played_here(
    yolanda: Callable[..., Shown], stock: Callable[[str, str], None]
) -> None:
    stock("elsewhere", "stage.skip('there is no kqueue here')")
    status, output, _ = yolanda("lab", "elsewhere")
    assert status == 0
    assert "skipped: there is no kqueue here" in output


def test_several_labs(yolanda: Callable[..., Shown], stock: Callable[[str, str], None]) -> None:
    stock("good", "stage.check('the sun rises', True)")
    stock("bad", "stage.check('the moon falls', False)")
    status, output, errors = yolanda("lab", "--all")
    assert status == 1
    assert "1 of 2 labs showed what they should" in output
    assert errors == "yolanda: error: not seen in bad\n"
    assert yolanda("lab", "good", "good")[0] == 0


def test_names_are_completed() -> None:
    def completed(words: str) -> list[str]:
        result = subprocess.run(
            [sys.executable, "-m", "yolanda"],
            env={
                **os.environ,
                "_YOLANDA_COMPLETE": "bash_complete",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - 1),
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return [line.partition(",")[2] for line in result.stdout.splitlines()]

    assert completed("yolanda lab buf") == ["buffer-1", "buffer-2"]
    assert completed("yolanda run tcps") == ["tcpserver"]


def test_a_pipe_that_nobody_reads_is_no_traceback() -> None:
    script = f"{sys.executable} -m yolanda run tcpserver --source | true"
    result = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.stderr == ""


def test_what_no_memory_holds_is_no_traceback(yolanda: Callable[..., Shown]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        status, _, errors = yolanda("run", "tcpclient", "--port", port, "--size", str(sys.maxsize))
    assert status == 1
    assert errors.startswith("yolanda: error: not enough memory")
    assert errors.count("\n") == 1


def test_a_copied_program_runs_alone(tmp_path: Path) -> None:
    source = Catalogue(programs).find("tcpclient")
    assert source is not None
    path = source.load().__file__
    assert path is not None
    copy = tmp_path / "copied.py"
    copy.write_text(Path(path).read_text())
    result = subprocess.run(
        [sys.executable, str(copy), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Send ten million bytes" in result.stdout


def test_run_says_how_to_go_on() -> None:
    result = CliRunner().invoke(cli, ["run", "--help"])
    assert result.exit_code == 0
    assert "yolanda programs" in result.output
