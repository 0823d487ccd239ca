"""The command line: what it says, what it refuses, and how it ends."""

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from yolanda import __version__
from yolanda.cli import cli, main
from yolanda.programs.chapter34 import http_server01
from yolanda.reactor.dispatcher import DISPATCHERS

PATIENCE = 60  # seconds after which a process that should have ended has failed
COMMAND = [sys.executable, "-m", "yolanda"]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what would change the command's ways."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("YOLANDA_", "_YOLANDA_"))}
    return {**kept, "COLUMNS": "200", **changes}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``yolanda`` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment(**variables),
    )


def invoke(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, arguments, prog_name="yolanda")


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``yolanda http`` on a port of the kernel's choice: the process, and the server's URL."""
    with subprocess.Popen(
        [*COMMAND, "http", "127.0.0.1:0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line
            yield process, found[0]
        finally:
            if process.poll() is None:
                process.kill()


def refused(result: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line with which the command refused."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("yolanda: error: ")
    return line


class TestHelp:
    @pytest.mark.parametrize("option", ["--help", "-h"])
    def test_names_the_commands(self, option: str) -> None:
        result = invoke(option)
        assert result.exit_code == 0
        assert result.output.startswith("Usage: yolanda ")
        assert "http" in result.output
        assert "completion" in result.output

    def test_of_http_names_options_defaults_and_the_variable(self) -> None:
        text = invoke("http", "--help").output
        for expected in ("--threads", "--dispatcher", "--trace", "YOLANDA_DISPATCHER", "curl"):
            assert expected in text

    def test_offers_every_dispatcher_of_this_platform(self) -> None:
        text = invoke("http", "--help").output
        (names,) = re.findall(r"--dispatcher \[([^]]+)\]", text)
        assert {"auto", *DISPATCHERS} <= set(names.split("|"))

    def test_of_completion_says_how_to_install_it(self) -> None:
        text = invoke("completion", "--help").output
        for shell in ("bash", "zsh", "fish"):
            assert f"yolanda completion {shell}" in text

    def test_is_what_no_command_gets(self) -> None:
        result = run()
        assert result.returncode == 2
        assert "Usage: yolanda " in result.stderr


def test_version() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"yolanda {__version__}\n")


def test_the_script_is_the_module() -> None:
    script = Path(sys.executable).parent / "yolanda"
    if not script.exists():
        pytest.skip("the script yolanda is not installed beside this Python")
    result = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert result.stdout == run("--help").stdout


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_is_a_script_about_yolanda(self, shell: str) -> None:
        result = invoke("completion", shell)
        assert result.exit_code == 0
        assert "_YOLANDA_COMPLETE" in result.output

    def test_of_bash_is_bash(self) -> None:
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("there is no bash here")
        script = run("completion", "bash").stdout
        subprocess.run([bash, "-n"], input=script, text=True, check=True, timeout=PATIENCE)

    @pytest.mark.parametrize(
        ("words", "last", "expected"),
        [
            ("yolanda ht", "1", "http"),
            ("yolanda http --th", "2", "--threads"),
            ("yolanda http --dispatcher sel", "3", "select"),
            ("yolanda completion z", "2", "zsh"),
        ],
    )
    def test_completes(self, words: str, last: str, expected: str) -> None:
        result = run(_YOLANDA_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=last)
        assert result.returncode == 0
        assert result.stdout == f"plain,{expected}\n"

    def test_refuses_other_shells(self) -> None:
        assert "csh" in refused(run("completion", "csh"), 2)


class TestArguments:
    """What the command hands to the program."""

    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
        calls: list[tuple[object, ...]] = []
        monkeypatch.setattr(http_server01, "serve", lambda *arguments: calls.append(arguments))
        monkeypatch.delenv("YOLANDA_DISPATCHER", raising=False)
        return calls

    def test_defaults(self, served: list[tuple[object, ...]]) -> None:
        assert invoke("http").exit_code == 0
        assert served == [("127.0.0.1:43211", 2, "auto", False)]

    def test_all_of_them(self, served: list[tuple[object, ...]]) -> None:
        arguments = ("http", "[::1]:80", "--threads", "0", "--dispatcher", "poll", "--trace")
        assert invoke(*arguments).exit_code == 0
        assert served == [("[::1]:80", 0, "poll", True)]

    def test_as_many_threads_as_are_good(self, served: list[tuple[object, ...]]) -> None:
        assert invoke("http", "--threads", "auto").exit_code == 0
        assert served == [("127.0.0.1:43211", "auto", "auto", False)]

    def test_dispatcher_of_the_environment(
        self, served: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("YOLANDA_DISPATCHER", "select")
        invoke("http")
        invoke("http", "--dispatcher", "poll")
        assert [call[2] for call in served] == ["select", "poll"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["htp"], "'htp'"),
            (["http", "--colour"], "--colour"),
            (["http", "--threads", "many"], "'--threads': 'many'"),
            (["http", "--threads", "-1"], "'--threads': '-1'"),
            (["http", "--dispatcher", "magic"], "'--dispatcher'"),
            (["http", "127.0.0.1"], "'127.0.0.1'"),
            (["http", "127.0.0.1:65536"], "65536"),
            (["http", "127.0.0.1:http"], "'http'"),
            (["http", "[::g]:80"], "::g"),
            (["http", "unix:"], "'unix:'"),
        ],
    )
    def test_of_what_is_wrongly_written(self, arguments: list[str], named: str) -> None:
        assert named in refused(run(*arguments), 2)

    def test_of_a_wrong_variable_names_it(self) -> None:
        line = refused(run("http", YOLANDA_DISPATCHER="magic"), 2)
        assert "YOLANDA_DISPATCHER" in line
        assert "'magic'" in line

    @pytest.mark.skipif("kqueue" in DISPATCHERS, reason="this platform has kqueue")
    def test_of_a_dispatcher_that_is_not_here(self) -> None:
        assert "'kqueue'" in refused(run("http", "127.0.0.1:0", "--dispatcher", "kqueue"), 2)

    def test_of_a_used_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            line = refused(run("http", address), 1)
        assert address in line
        assert "[EADDRINUSE]" in line

    def test_of_a_missing_folder(self, tmp_path: Path) -> None:
        address = f"unix:{tmp_path}/missing/socket"
        line = refused(run("http", address), 1)
        assert address in line
        assert "[ENOENT]" in line

    def test_of_a_descriptor_that_is_not_open(self) -> None:
        line = refused(run("http", "fd:99"), 1)
        assert "fd:99" in line
        assert "[EBADF]" in line

    def test_of_a_name_that_has_no_address(self) -> None:
        # RFC 6761, section 6.4: nothing below .invalid ever has one.
        assert "yolanda.invalid:80" in refused(run("http", "yolanda.invalid:80"), 1)

    def test_of_a_missing_privilege(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # Whoever runs the tests may well have the privilege.
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied (127.0.0.1:80)")

        monkeypatch.setattr(http_server01, "serve", refuse)
        monkeypatch.setattr(sys, "argv", ["yolanda", "http", "127.0.0.1:80"])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 1
        expected = "yolanda: error: Permission denied (127.0.0.1:80) [EACCES]\n"
        assert capsys.readouterr().err == expected

    def test_a_reader_that_is_gone_is_no_traceback(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            result = subprocess.run(
                [*COMMAND, "completion", "bash"],
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                timeout=PATIENCE,
                check=False,
                env=environment(),
            )
        finally:
            os.close(writing)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr


class TestServing:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_answers_and_ends_cleanly(self, number: signal.Signals) -> None:
        with serving("--threads", "1") as (process, url):
            with urllib.request.urlopen(f"{url}network", timeout=PATIENCE) as answer:
                assert answer.read() == b"hello, network programming"
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert "Traceback" not in errors

    def test_serves_page_and_picture_and_nothing_else(self) -> None:
        with serving("--threads", "0") as (_, url):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert answer.headers["Content-Type"] == "text/html"
                assert b"network programming" in answer.read()
            with urllib.request.urlopen(f"{url}photo", timeout=PATIENCE) as answer:
                assert answer.headers["Content-Type"] == "image/png"
                assert answer.read() == http_server01.PHOTO
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(f"{url}missing", timeout=PATIENCE)
            assert refusal.value.code == 404
            refusal.value.close()

    @pytest.mark.parametrize("name", sorted(DISPATCHERS))
    def test_traces_with_the_course_s_words(self, name: str) -> None:
        with serving("--trace", "--threads", "1", "--dispatcher", name) as (process, url):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                answer.read()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
        lines = errors.splitlines()
        assert lines[0] == f"[msg] set {name} as dispatcher, main thread"
        assert all(line.startswith("[msg] ") for line in lines)
        assert any(line.endswith(", Thread-1") for line in lines)

    def test_says_nothing_of_that_unasked(self) -> None:
        with serving("--threads", "1") as (process, url):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                answer.read()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
        assert "[msg]" not in errors
        assert "dispatcher" not in errors


def test_a_connection_that_broke_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def serve(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "send error: Broken pipe")

    monkeypatch.setattr(http_server01, "serve", serve)
    monkeypatch.setattr(sys, "argv", ["yolanda", "http"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capfd.readouterr().err == "yolanda: error: send error: Broken pipe [EPIPE]\n"


def test_a_reader_of_the_output_that_left_ends_it_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*COMMAND, "run", "tcpserver", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=environment(),
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")
