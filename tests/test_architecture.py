"""The layers are kept, each library has one home, help is light, and every module says what it owns."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

PACKAGE = Path(pipeline.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 300

# Where each library may be imported; a folder stands for all its modules. NumPy is at home everywhere.
HOMES = {
    "click": ["cli"],
    "rich": ["cli"],
    "dask": ["engine/dask.py", "engine/clusters.py"],
    "distributed": ["engine/dask.py", "engine/clusters.py"],
    "polars": ["source", "loader"],
    "pyarrow": ["source", "runs", "formats", "convert", "loader", "predict"],
    "tensorflow": ["backend.py", "loader", "models", "train", "evaluate", "predict"],
    "keras": ["backend.py", "models", "train", "evaluate", "predict"],
    "torch": ["loader/torchdata.py"],
    "matplotlib": ["plots.py"],
    "google_crc32c": ["formats"],
    "xxhash": ["source", "runs", "convert"],
    "ctypes": ["storage"],
    "fcntl": ["storage", "partial.py"],
    "urllib": ["download.py", "fetch.py"],
    "http": ["download.py"],
}
HEAVY = [
    "numpy",
    "polars",
    "pyarrow",
    "pandas",
    "tensorflow",
    "keras",
    "dask",
    "matplotlib",
    "rich",
    "torch",
    "sklearn",
]
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "core"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_paths() -> list[str]:
    """Return every module of the package, relative to it."""
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def tree_of(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imported_libraries(module: str) -> set[str]:
    """Return the top-level names a module imports, within functions and for type checking too."""
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_imports_go_downward() -> None:
    """The contract in pyproject.toml holds: the rows of docs/design.md import downward only."""
    # As a process of its own: the library writes to the standard output that there was when it was imported.
    command = [Path(sys.executable).with_name("lint-imports"), "--config", "pyproject.toml", "--no-cache"]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_one_home(library: str) -> None:
    """A library is imported in its home only, so that replacing it touches one place."""
    homes = tuple(home if home.endswith(".py") else f"{home}/" for home in HOMES[library])
    homes += tuple(f"{home}.py" for home in HOMES[library])
    strays = [
        module
        for module in module_paths()
        if library in imported_libraries(module) and not module.startswith(homes)
    ]
    assert strays == []


def test_a_stray_import_would_be_seen() -> None:
    """The search for imports finds those within functions and for type checking."""
    assert "click" in imported_libraries("cli/convert.py")
    assert "rich" in imported_libraries("cli/page.py")
    assert "polars" in imported_libraries("source/fast.py")


def test_nothing_is_imported_by_a_relative_name() -> None:
    """Inside the package always `from pipeline.plan import …`: one spelling for one module."""
    for module in module_paths():
        relative = [n for n in ast.walk(tree_of(module)) if isinstance(n, ast.ImportFrom) and n.level]
        assert relative == [], module


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["", "convert", "fetch simulated", "train"])
def test_help_is_light(command: str) -> None:
    """No command's help loads any of the heavy libraries, nor does asking for the version."""
    arguments = [*command.split(), "--help"]
    code = f"from pipeline.cli import cli\ncli.main({arguments!r}, standalone_mode=False)"
    assert loaded_by(code) & set(HEAVY) == set()


def test_a_conversion_loads_no_more_than_it_needs() -> None:
    """Converting needs neither TensorFlow nor Dask, pandas or matplotlib; only whoever reads loads Polars."""
    loaded = loaded_by("import pipeline.convert, pipeline.convert.cluster_tasks")
    assert {"numpy", "pyarrow"} <= loaded
    needless = {"tensorflow", "keras", "dask", "distributed", "pandas", "matplotlib", "click", "polars"}
    assert loaded & needless == set()


def test_importing_the_package_loads_nothing() -> None:
    """`import pipeline` costs nothing: there is nothing at import time."""
    assert loaded_by("import pipeline") & {"click", *HEAVY} == set()


@pytest.mark.parametrize("module", module_paths())
def test_every_module_says_what_it_owns_and_is_short(module: str) -> None:
    """A docstring at the top, fewer than 300 lines, and a name that says what is inside."""
    text = (PACKAGE / module).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    # One class per stable code, and the tree of them all in the docstring: cut in two it would say less.
    assert text.count("\n") < MAX_LINES or module == "errors.py"
    assert not VAGUE & set(Path(module).with_suffix("").parts)


def public_functions(module: str) -> list[Function]:
    """Return the public functions and methods of a module."""
    tree = tree_of(module)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    bodies = [tree.body, *(node.body for node in classes)]
    return [
        node
        for body in bodies
        for node in body
        if isinstance(node, Function) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("module", module_paths())
def test_every_public_function_says_what_it_does(module: str) -> None:
    """Public functions have a docstring whose first line is a sentence."""
    for function in public_functions(module):
        docstring = ast.get_docstring(function)
        assert docstring, function.name
        assert docstring.splitlines()[0].rstrip().endswith((".", "?", ":")), function.name


@pytest.mark.parametrize("module", [m for m in module_paths() if not m.startswith("cli/")])
def test_no_public_function_takes_whatever_comes(module: str) -> None:
    """No `**kwargs`, and no flag that could be passed without its name."""
    for function in public_functions(module):
        assert function.args.kwarg is None, function.name
        positional = [*function.args.posonlyargs, *function.args.args]
        flags = [
            a.arg for a in positional if isinstance(a.annotation, ast.Name) and a.annotation.id == "bool"
        ]
        assert flags == [], function.name


def dataclass_keywords(node: ast.ClassDef) -> set[str] | None:
    """Return the keywords of a `@dataclass(…)`, or None where a class is none."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("dataclass"):
            return {k.arg or "" for k in decorator.keywords if ast.unparse(k.value) == "True"}
        if ast.unparse(decorator).endswith("dataclass"):
            return set()
    return None


@pytest.mark.parametrize("module", module_paths())
def test_values_are_slotted_and_built_by_name(module: str) -> None:
    """Dataclasses have slots and take their fields by name."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ClassDef) and (keywords := dataclass_keywords(node)) is not None:
            assert {"slots", "kw_only"} <= keywords, node.name


@pytest.mark.parametrize("module", [m for m in module_paths() if ">>> " in (PACKAGE / m).read_text("utf-8")])
def test_the_examples_in_docstrings_hold(module: str) -> None:
    """Every doctest gives what it says."""
    parts = Path(module).with_suffix("").parts
    name = ".".join(["pipeline", *(part for part in parts if part != "__init__")])
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
