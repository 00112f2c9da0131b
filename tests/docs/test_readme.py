"""The commands in the README run as they are printed; its tree and docs/files.md are the package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.documents import ROOT, document, fenced, run_script

if TYPE_CHECKING:
    from pathlib import Path

PAGE = document("README.md")

# What would take minutes is made small; each of these must occur, or the test is out of date.
SMALLER = {
    "--rows 1000000": "--rows 3000",
    "pipeline train shards/ -o model/": "pipeline train shards/ -o model/ --epochs 1 --layers 8",
}

EXCLUDED = {
    "make demo": "installs the whole pinned set; it is what CI and a new user run first",
    "make test": "would run this very test again",
}
MAX_PICTURE_BYTES = 150_000


def commands() -> list[str]:
    """Return every command line of the README that is to be run here, in order."""
    lines = [line for block in fenced(PAGE, "console") for line in block.splitlines()]
    return [line for line in lines if line not in EXCLUDED]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the README were run, one after the other."""
    folder = tmp_path_factory.mktemp("readme")
    script = "\n".join(commands())
    for printed, small in SMALLER.items():
        assert printed in script
        script = script.replace(printed, small)
    run_script(script, folder)
    return folder


def test_every_command_is_run_or_accounted_for() -> None:
    """No command is excluded that the README does not show, and some are left to be run."""
    lines = {line for block in fenced(PAGE, "console") for line in block.splitlines()}
    assert set(EXCLUDED) <= lines
    assert len(commands()) >= 6


def test_commands_make_what_is_promised(folder: Path) -> None:
    """After the commands, every file that the tree of results names is there."""
    tree = PAGE.partition("## What comes out")[2].partition("Any tool")[0]
    files = re.findall(r"^      ([\w.-]+)", tree, re.MULTILINE)
    assert "manifest.json" in files
    assert "model.keras" in files
    there = {re.sub(r"-of-\d+", "", path.name) for path in folder.glob("*/*")}
    assert {re.sub(r"-of-\d+", "", name) for name in files} - there == set()


@pytest.mark.parametrize("code", fenced(PAGE, "python"))
def test_reading_code_runs(code: str, folder: Path) -> None:
    """The code of the README reads the dataset that its commands made."""
    (folder / "read.py").write_text(code, encoding="utf-8")
    run_script("python read.py", folder)


def test_files_are_those_of_the_package() -> None:
    """The tree of docs/files.md names every folder and module of the package, and no other."""
    tree = document("docs/files.md").partition("    tests/")[0]
    folders: list[str] = []
    named = set()
    for indent, name in re.findall(r"^    ((?:  )*)(\w+(?:/|\.py))", tree, re.MULTILINE):
        folders = [*folders[: len(indent) // 2], name]
        named.add("".join(folders))
    package = [path for path in (ROOT / "pipeline").rglob("*.py") if path.name != "__main__.py"]
    modules = {path.relative_to(ROOT).as_posix() for path in package}
    assert named == {module.removesuffix("__init__.py") for module in modules}


def test_every_package_is_in_the_tree() -> None:
    """The tree at the end of the README names every folder of the package, and no other."""
    tree = PAGE.partition("## Files")[2].partition("    tests/")[0]
    named = set(re.findall(r"(\w+)/", tree)) - {"pipeline"}
    assert named == {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}


def test_the_picture_is_small() -> None:
    """What the README shows is in the repository, and loads at once."""
    [picture] = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert 0 < (ROOT / picture).stat().st_size <= MAX_PICTURE_BYTES
