"""The structure that ARCHITECTURE.md promises: imports run downwards, and the core needs little."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src"
MODULES = sorted((SOURCE / "yolanda").rglob("*.py"))

LAYERS = [
    ("yolanda.buffer", "yolanda.address", "yolanda.networks"),
    ("yolanda.reactor",),
    ("yolanda.transport",),
    ("yolanda.framing", "yolanda.heartbeat", "yolanda.http"),
    ("yolanda.websocket",),
    ("yolanda.apps",),
    ("yolanda.programs",),
    ("yolanda.labs",),
    (
        "yolanda.catalogue",
        "yolanda.course_view",
        "yolanda.lab_command",
        "yolanda.serve_command",
        "yolanda.static_command",
        "yolanda.time_range",
    ),
    ("yolanda.bench",),
    ("yolanda.cli", "yolanda.__main__"),
]

EXTRAS = {
    "dotenv",
    "matplotlib",
    "nats",
    "prometheus_client",
    "uvloop",
    "watchfiles",
    "websockets",
    "yaml",
}
"""What an extra installs."""

PROGRAMS = LAYERS.index(("yolanda.programs",))

OPTIONAL = {
    "yolanda.websocket": ("websockets", "websocket"),
    "yolanda.apps.asgi.websocket": ("websockets", "websocket"),
    "yolanda.bench.report.plots": ("matplotlib", "bench"),
}
"""What is built on a library of its own, and the extra of the package that installs it."""


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def layer_of(name: str) -> int | None:
    for number, prefixes in enumerate(LAYERS):
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes):
            return number
    return None


class Import(NamedTuple):
    """Something that a module imports, and where."""

    target: str
    for_types_only: bool
    function: str  # inside which it is; empty if in none


@cache
def imports(path: Path) -> list[Import]:
    return imports_below(ast.parse(path.read_text()))


def imports_below(node: ast.AST, for_types_only: bool = False, function: str = "") -> list[Import]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue
        if isinstance(child, ast.Import):
            found += [Import(alias.name, for_types_only, function) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            found.append(Import(child.module or "", for_types_only, function))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            found += imports_below(child, for_types_only, child.name)
        else:
            types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            found += imports_below(child, for_types_only or types, function)
    return found


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_downwards(path: Path) -> None:
    name = module_name(path)
    own = layer_of(name)
    if own is None:
        assert name == "yolanda", f"{name} belongs to no layer: name it in this test"
        return
    for target, for_types_only, _ in imports(path):
        if target == "yolanda":  # the public names stand above all that they are made of
            assert own >= PROGRAMS, f"{name} imports from the package itself"
        if target.startswith("yolanda.") and not for_types_only:
            other = layer_of(target)
            assert other is not None, f"{name} imports {target}, which is in no layer"
            assert other <= own, f"{name} imports {target} from a layer above it"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_nothing_but_options_is_imported_inside_a_function(path: Path) -> None:
    for target, _, function in imports(path):
        if function and target not in OPTIONAL:
            assert target.partition(".")[0] in EXTRAS, f"{function} imports {target}"


def imported_from_elsewhere(modules: list[str]) -> set[str]:
    """What comes from outside the standard library when ``modules`` are imported."""
    program = (
        "import sys, importlib\n"
        "before = set(sys.modules)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "new = set(sys.modules) - before\n"
        "files = {name: getattr(sys.modules[name], '__file__', None) for name in new}\n"
        "print(*sorted({name.partition('.')[0] for name, file in files.items() if file}\n"
        "              - set(sys.stdlib_module_names)))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split()) - {"yolanda"}


def test_the_core_needs_httptools_alone() -> None:
    names = [module_name(path) for path in MODULES]
    core = [
        name
        for name in names
        if (layer_of(name) or 0) < PROGRAMS and not name.startswith(tuple(OPTIONAL))
    ]
    assert imported_from_elsewhere(core) == {"httptools"}


def test_a_program_of_the_course_waits_for_no_other_command() -> None:
    assert imported_from_elsewhere(["yolanda.cli"]) == {"click"}


@pytest.mark.parametrize("package", [name for name in OPTIONAL if (layer_of(name) or 0) < PROGRAMS])
def test_an_extra_needs_its_library_alone(package: str) -> None:
    assert imported_from_elsewhere([package]) == {"httptools", OPTIONAL[package][0]}


@pytest.mark.parametrize("package", OPTIONAL)
def test_what_needs_an_extra_names_it(package: str) -> None:
    library, extra = OPTIONAL[package]
    program = f"import sys; sys.modules[{library!r}] = None; import {package}"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 1
    assert f"pip install 'yolanda[{extra}]'" in answer.stderr.splitlines()[-1]


def test_public_names_exist() -> None:
    program = (
        "import yolanda, yolanda.http, yolanda.websocket\n"
        "for package in (yolanda, yolanda.http, yolanda.websocket):\n"
        "    for name in package.__all__: assert getattr(package, name) is not None, name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
