"""What the documentation shows is Python, and what it shows as a program runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh.md",
    ROOT / "ARCHITECTURE.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```python( run)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")

# Instead of serving for ever, the main loop of a program runs for a moment, at a port of the
# kernel's choice. What it makes is closed with the process.
SHORTENED = """
import threading
from yolanda import EventLoop

_run = EventLoop.run

def run(self):
    if threading.current_thread() is threading.main_thread():
        self.call_later(0.05, self.stop)
    _run(self)

EventLoop.run = run
"""


def blocks() -> Iterator[tuple[str, int, bool, str]]:
    for page in PAGES:
        text = page.read_text()
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start(2)) + 1
            yield page.name, line, bool(found[1]), found[2]


ALL = [pytest.param(*block, id=f"{block[0]}:{block[1]}") for block in blocks()]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the programs speak of."""
    folder = tmp_path_factory.mktemp("certified")
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(folder / "server.pem"), append=True)
    return folder


@pytest.mark.parametrize(("page", "line", "runs", "code"), ALL)
def test_an_example_is_python(page: str, line: int, runs: bool, code: str) -> None:
    compile("\n" * (line - 1) + code, page, "exec")


@pytest.mark.parametrize(
    ("page", "line", "runs", "code"),
    [block for block in ALL if block.values[2] and block.values[0] != "README.zh.md"],
)
def test_a_program_runs(page: str, line: int, runs: bool, code: str, certified: Path) -> None:
    program = SHORTENED + code.replace("127.0.0.1:43211", "127.0.0.1:0")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=certified if "server.pem" in code else ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_both_readmes_show_the_same_programs() -> None:
    def code_of(name: str) -> list[str]:
        return [re.sub(r"#.*", "", code) for page, _, _, code in blocks() if page == name]

    assert code_of("README.md") == code_of("README.zh.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_is_there(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} points to {target}"
