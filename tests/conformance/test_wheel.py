"""The wheel, in an environment of its own: the base alone converts, and says what training would need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support.documents import ROOT, document

PROJECT = tomllib.loads(document("pyproject.toml"))["project"]
NAME = PROJECT["name"]
MAX_MEGABYTES = 500
TEXT = "label,mass,pt\n" + "".join(f"{index % 2},{index * 7 % 31},{index % 11}.5\n" for index in range(200))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the build backend makes of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it requires, all of it, and nothing else."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in required(Requirement(NAME)):
        link(metadata.distribution(name), packages)
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--quiet")
    run(*pip, "install", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel))
    return folder


def required(requirement: Requirement) -> set[str]:
    """Return the names of the distributions that a requirement brings with it."""
    found: set[str] = set()
    waiting = [requirement]
    while waiting:
        asked = waiting.pop()
        for text in requirements_of(asked.name):
            inner = Requirement(text)
            extras = asked.extras or {""}
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                if inner.name not in found:
                    waiting.append(inner)
                found.add(inner.name)
    return found


def requirements_of(name: str) -> list[str]:
    """Return what a distribution requires; ours may not be installed, or be an older one."""
    if name == NAME:
        return list(PROJECT["dependencies"])
    return metadata.requires(name) or []


def link(distribution: metadata.Distribution, packages: Path) -> None:
    """Make what is installed here of a distribution be there as well."""
    installed = Path(str(distribution.locate_file("")))
    names = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
    assert names
    for name in names:
        if not (packages / name).exists():
            (packages / name).symlink_to(installed / name)


def run(*command: str, cwd: Path | None = None, status: int = 0) -> str:
    """Run a command that knows nothing of this checkout; return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        check=False,
        encoding="utf-8",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def try_out(environment: Path, folder: Path) -> None:
    """Convert, look, verify and report with the program of an environment without extras."""
    program = str(environment / "bin" / "pipeline")
    (folder / "raw.csv").write_text(TEXT, encoding="utf-8")
    assert run(program, "--version", cwd=folder).strip() == f"pipeline, version {PROJECT['version']}"
    for line in (
        "inspect raw.csv",
        "convert raw.csv shards --format parquet --format tfrecord",
        "inspect shards",
        "verify shards",
        "report shards",
    ):
        run(program, *line.split(), cwd=folder)
    assert (folder / "shards" / "manifest.json").exists()
    for line, extra in (("train shards", "train"), ("convert raw.csv other --engine dask", "dask")):
        printed = run(program, *line.split(), cwd=folder, status=5)
        assert f'hint: pip install "{NAME}[{extra}]"' in printed


def test_the_wheel_holds_the_package_and_its_license(wheel: Path) -> None:
    """Every module of the package is in the wheel, with the mark of its types; no test, no document."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob("*.py")}
    assert names == modules | {"pipeline/py.typed"}


def test_the_base_works_without_extras(base: Path, tmp_path: Path) -> None:
    """With NumPy, Polars and pyarrow alone, all but training works, and training says what it needs."""
    loaded = run(
        str(base / "bin" / "python"),
        "-c",
        "import importlib.util as u; print([n for n in ('tensorflow', "
        "'keras', 'dask', 'pandas', 'matplotlib') if u.find_spec(n)])",
    )
    assert loaded.strip() == "[]"
    try_out(base, tmp_path)


def test_the_base_is_small() -> None:
    """What an installation of the base brings has less than 500 MB, and about as many as the page says."""
    files = [
        file.locate()
        for name in required(Requirement(NAME))
        for file in metadata.distribution(name).files or []
        if file.suffix != ".pyc"
    ]
    megabytes = sum(Path(str(file)).stat().st_size for file in files if Path(str(file)).is_file()) / 1e6
    [told] = re.findall(r"\*\*(\d+) MB\*\*", document("docs/how-to/install.md"))
    assert megabytes < MAX_MEGABYTES
    assert megabytes == pytest.approx(float(told), rel=0.05)  # another platform has other files


@pytest.mark.slow
def test_pip_installs_the_wheel_and_what_it_needs(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment pip finds everything that the base needs, at the pinned versions."""
    pins = re.findall(r"^([\w.-]+==.*?) *\\?$", document("constraints.txt"), re.MULTILINE)
    (tmp_path / "pins.txt").write_text("\n".join(pins), encoding="utf-8")
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True, with_pip=True)
    pip = [
        str(environment / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    run(*pip, "--constraint", str(tmp_path / "pins.txt"), str(wheel))
    try_out(environment, tmp_path)
    shutil.rmtree(environment)
