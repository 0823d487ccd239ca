"""``yolanda serve`` and `yolanda.serve`: where options come from, what is told of wrong ones."""

import contextlib
import dataclasses
import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from click.testing import CliRunner

from yolanda.apps.config import Config, options
from yolanda.serve_command import main

from .apps.conftest import PATIENCE, Service, wait_until

APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise TypeError
    text = f"{scope['root_path']} {os.environ.get('GREETING', '')} {os.getpid()}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})

def make():
    return app

nothing = 5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module ``site_app``."""
    (tmp_path / "site_app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Service]]:
    """Start a service in ``folder``: ``start("site_app", "--workers", "2", GREETING="hi")``."""
    started: list[Service] = []

    def launch(*arguments: str, command: list[str] | None = None, **variables: str) -> Service:
        service = Service(
            command or [sys.executable, "-m", "yolanda", "serve", *arguments],
            cwd=folder,
            env={**os.environ, **variables},
        )
        started.append(service)
        return service

    yield launch
    for service in started:
        service.close()


def ask(port: int) -> tuple[http.client.HTTPResponse, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, PATIENCE)) as client:
        client.request("GET", "/")
        response = client.getresponse()
        return response, response.read().decode()


# ---- where options come from ---------------------------------------------------------------


def test_help_lists_every_option() -> None:
    text = CliRunner().invoke(main, ["--help"], env={"COLUMNS": "100"}).output
    for item in options():
        assert f"--{item.name.replace('_', '-')}" in text
    assert "Where to listen:" in text
    assert "[default: 127.0.0.1]" in text


def test_all_places_together(start: Callable[..., Service], folder: Path) -> None:
    """The file says one thing, a file of variables another, the environment and the line more."""
    (folder / "pyproject.toml").write_text(
        "[tool.yolanda]\n"
        'app-dir = "."\n'
        'header = ["X-From: file", "X-More: file"]\n'
        'root_path = "/file"\n'
        'env-file = "variables"\n'
        "port = 1\n"
    )
    (folder / "variables").write_text(
        "# of the application, and of Yolanda\nGREETING='from the file'\n"
        "YOLANDA_ROOT_PATH=/variables\nYOLANDA_SERVER_HEADER=no\n"
    )
    service = start("site_app", "--port", "0", YOLANDA_HEADER="X-From: environment")
    response, text = ask(service.address)
    assert text.startswith("/variables from the file ")
    assert response.headers["x-from"] == "environment"
    assert response.headers["x-more"] is None
    assert response.headers["server"] is None
    assert service.stop() == 0


def test_a_variable_that_is_set_counts_more_than_the_file_of_variables(
    start: Callable[..., Service], folder: Path
) -> None:
    (folder / "variables").write_text("GREETING=file\n")
    service = start("site_app", "--port", "0", "--env-file", "variables", GREETING="set")
    assert " set " in ask(service.address)[1]


@pytest.mark.parametrize(
    "arguments", [["site_app"], ["site_app:app"], ["site_app:make", "--factory"]]
)
@pytest.mark.parametrize("more", [[], ["--workers", "2"], ["--workers", "2", "--preload"]])
def test_names_of_applications(
    start: Callable[..., Service], arguments: list[str], more: list[str]
) -> None:
    service = start(*arguments, *more, "--port", "0")
    assert ask(service.address)[0].status == 200
    assert service.stop() == 0


def test_several_addresses(start: Callable[..., Service], folder: Path) -> None:
    path = folder / "socket"
    service = start("site_app", "-b", "127.0.0.1:0", "-b", "[::1]:0", "-b", f"unix:{path}")
    service.expect(r"serving unix:.*/socket ")
    (port,) = service.expect(r"serving http://127\.0\.0\.1:(\d+)/")
    (port6,) = service.expect(r"serving http://\[::1\]:(\d+)/")
    ends: list[tuple[int, Any]] = [
        (socket.AF_INET, ("127.0.0.1", int(port))),
        (socket.AF_INET6, ("::1", int(port6))),
        (socket.AF_UNIX, str(path)),
    ]
    for family, end in ends:
        with socket.socket(family) as client:
            client.settimeout(PATIENCE)
            client.connect(end)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    assert service.stop() == 0
    assert not path.exists()


def test_an_inherited_socket(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = Service(
            [sys.executable, "-m", "yolanda", "serve", "site_app", "--fd", str(listener.fileno())],
            cwd=folder,
            pass_fds=[listener.fileno()],
        )
        try:
            assert ask(listener.getsockname()[1])[0].status == 200
            assert service.stop() == 0
        finally:
            service.close()


# ---- what is told of wrong ones ------------------------------------------------------------


def fail(
    folder: Path, *arguments: str, without: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that comes to nothing, and find one line that says why."""
    program = (
        f"import sys; sys.argv[0] = 'yolanda'; sys.modules[{without!r}] = None\n"
        "from yolanda.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "serve", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.stderr.startswith("yolanda: error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["site_app", "--wokers", "2"], "No such option '--wokers'. Did you mean '--workers'?"),
        (["site_app", "--workers", "two"], "'--workers'"),
        (["site_app", "--workers", "0"], "--workers is 1 or more, not 0"),
        (["site_app", "--lifespan", "maybe"], "'--lifespan'"),
        (["site_app", "--unix", "/a", "--port", "1"], "--host/--port and --unix say two things"),
        (["site_app", "--reload", "--workers", "2"], "--reload serves with one process"),
        (["site_app", "--header", "X"], "--header is written NAME:VALUE, not 'X'"),
        (["site_app", "--env-file", "missing"], "--env-file missing: No such file or directory"),
        (["site_app", "--ssl-certfile", "missing"], "missing"),
        (["site_app", "--forwarded-allow-ips", "here"], "--forwarded-allow-ips: 'here'"),
        (["site_app", "--log-config", "missing.json"], "missing.json"),
        ([], "Missing argument 'APP'"),
    ],
)
def test_usage(folder: Path, arguments: list[str], message: str) -> None:
    result = fail(folder, *arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_wrong_variable(folder: Path) -> None:
    result = fail(folder, "site_app", YOLANDA_WORKERS="many")
    assert result.stderr == "yolanda: error: YOLANDA_WORKERS: 'many' is no whole number\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:app", "there is no module 'nowhere' in "),
        ("site_app:nowhere", "site_app has no 'nowhere'"),
        ("site_app:nothing", "site_app:nothing is no application, but int"),
        ("site_app.py:app", "'site_app.py' is a file; name its module: site_app:app"),
        ("site_app:make", "for a function that makes the application there is --factory"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--workers", "2", "--preload"]])
def test_wrong_application(folder: Path, name: str, message: str, more: list[str]) -> None:
    result = fail(folder, name, "--port", "0", *more)
    assert result.returncode == 1
    assert message in result.stderr


def test_address_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        result = fail(folder, "site_app", "--port", port)
    assert result.returncode == 1
    assert "Address already in use" in result.stderr
    assert f"127.0.0.1:{port}" in result.stderr


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [("uvloop", ["--loop", "uvloop"], "uvloop"), ("dotenv", ["--env-file", "variables"], "env")],
)
def test_library_that_is_missing(
    folder: Path, library: str, arguments: list[str], extra: str
) -> None:
    (folder / "variables").write_text("")
    result = fail(folder, "site_app", "--port", "0", *arguments, without=library)
    assert f"pip install 'yolanda[{extra}]'" in result.stderr


def test_without_uvloop_asyncio_will_do(start: Callable[..., Service]) -> None:
    program = (
        "import sys; sys.modules['uvloop'] = sys.modules['websockets'] = None\n"
        "from yolanda.cli import main; main()"
    )
    service = start(command=[sys.executable, "-c", program, "serve", "site_app", "--port", "0"])
    assert ask(service.address)[0].status == 200
    assert service.stop() == 0


# ---- from Python ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "yolanda.serve(site_app.app, port=0, root_path='/python')",
        "yolanda.serve('site_app:app', port=0, root_path='/python')",
        "yolanda.serve('site_app:make', factory=True, bind=['127.0.0.1:0'], root_path='/python')",
        "yolanda.serve(site_app.make, factory=True, port=0, root_path='/python')",
        "yolanda.serve(site_app.app, port=0, workers=2, root_path='/python')",
    ],
)
def test_serve_in_a_program(start: Callable[..., Service], call: str) -> None:
    program = f"import yolanda, site_app, sys\nsys.exit({call} + 10)"
    service = start(command=[sys.executable, "-c", program], YOLANDA_ROOT_PATH="/environment")
    assert ask(service.address)[1].startswith("/python ")
    assert service.stop() == 10


def test_serve_raises(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yolanda
    from yolanda.apps.config import ConfigError

    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=r"there is no option 'wokers'; did you mean 'workers'\?"):
        yolanda.serve("site_app", wokers=2)


def test_options_have_one_name() -> None:
    """What the command line calls ``--app-dir`` is ``app_dir`` elsewhere."""
    for item in dataclasses.fields(Config):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", item.name)
        assert item.metadata["help"].endswith((".", ")", "; 0: never.")), item.name


def test_the_reader_is_told_where(start: Callable[..., Service]) -> None:
    service = start("site_app", "--port", "0")
    wait_until(lambda: "serving" in service.text)
    (line,) = service.lines
    assert re.search(r"serving http://127\.0\.0\.1:\d+/ \(ASGI; Ctrl\+C stops it\)$", line)


# ---- the guide -----------------------------------------------------------------------------


def table_of_options() -> str:
    """All options as docs/applications.md shows them."""
    lines = ["| | | |", "|---|---|---|"]
    kinds = get_type_hints(Config)
    for item in options():
        metadata = item.metadata
        if metadata["section"]:
            lines.append(f"| **{metadata['section']}** | | |")
        name = f"--{item.name.replace('_', '-')}"
        shown = f"`{metadata['short']}`, `{name}`" if metadata["short"] else f"`{name}`"
        if get_origin(kinds[item.name]) is Literal:
            shown += " " + ", ".join(f"`{word}`" for word in get_args(kinds[item.name]))
        elif metadata["metavar"]:
            shown += f" {metadata['metavar']}"
        default = item.default
        if kinds[item.name] is bool:
            default = "yes" if default else "no"
        elif default in (None, (), ""):
            default = ""
        elif isinstance(default, float):
            default = f"{default:g}"
        lines.append(f"| {shown} | {default} | {metadata['help']} |")
    return "\n".join(lines) + "\n"


def test_the_guide_has_every_option() -> None:
    text = (Path(__file__).parent.parent / "docs" / "applications.md").read_text()
    _, _, rest = text.partition("with the program -->\n")
    table, _, _ = rest.partition("<!-- end of options -->")
    assert table.strip() == table_of_options().strip(), f"it has to be:\n{table_of_options()}"
