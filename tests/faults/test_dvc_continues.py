"""`dvc repro` after a kill continues: DVC removes what a stage has made, but not its unfinished work."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.command import ROOT
from support.documents import run_script
from support.dvc_project import make_project, own_settings
from support.forked import recorded
from support.unfinished import STAGING, TARGET, Files, files, wait_until_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.file_operations import Operation

pytestmark = pytest.mark.slow  # DVC itself takes seconds for each command

PARAMETERS = {"rows: 200000": "rows: 300", "shard_size: 4MiB": "shard_size: 4kB"}
LAST_SHARD = "test-00000-of-00001.parquet.partial"


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See `own_settings`."""
    with own_settings(tmp_path_factory.mktemp("settings")):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose source was simulated and converted without an accident."""
    project = make_project(tmp_path_factory.mktemp("project") / "project", PARAMETERS)
    run_script(repro(project), project)
    return project


@pytest.fixture
def begun(whole: Path, tmp_path: Path) -> Path:
    """The same project as it was before its source was converted."""
    project = Path(shutil.copytree(whole, tmp_path / "project"))
    (project / "dvc.lock").unlink()
    shutil.rmtree(project / TARGET)
    shutil.rmtree(project / ".dvc" / "cache")
    return project


def repro(project: Path, **fields: Any) -> str:
    """Return the script that makes the shards in `project`, where `pipeline convert` has these `fields`.

    They are those of `forked.Request`; the other stages are run by the program as it is.
    """
    folder = project.parent / "bin"
    folder.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    program = shlex.join([sys.executable, "-m", "support.forked", json.dumps(fields)])
    (folder / "pipeline").write_text(
        f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(paths)}\n"
        f'test "$1" = convert && exec {program} "$@"\n'
        f'exec {shlex.quote(sys.executable)} -m pipeline "$@"\n',
        encoding="utf-8",
    )
    (folder / "pipeline").chmod(0o755)
    return f"export PATH={shlex.quote(str(folder))}:$PATH; dvc repro convert"


def written(operations: list[Operation]) -> set[str]:
    """Return the names of the runs and shards that were written."""
    paths = {o.path.rpartition("/")[2] for o in operations if o.kind == "open" and o.data}
    return {name.removesuffix(".partial") for name in paths if name.startswith(("run-", "train-", "val-"))}


def finished(project: Path) -> set[str]:
    """Return the names of the runs and shards that the journal names."""
    text = (project / STAGING / "journal.jsonl").read_text(encoding="utf-8")
    entries = [json.loads(line.partition(" ")[2]) for line in text.splitlines()]
    return {entry.get("file") or entry["entries"][0]["path"] for entry in entries}


def assert_continues(project: Path, whole: Path) -> None:
    """Fail unless `dvc repro` takes up what is there, and leaves what the uninterrupted one left."""
    done = finished(project)
    assert {name[:4] for name in done} >= {"run-", "trai"}
    assert not (project / TARGET).exists()
    # What is unfinished disturbs neither git nor DVC.
    assert "incomplete" not in run_script("git status --porcelain; dvc status", project)
    record = project.parent / "operations"
    run_script(repro(project, record=str(record)), project)
    assert not written(recorded(record)) & done
    assert shards(project) == shards(whole)
    assert not (project / STAGING).exists()
    assert "up to date" in run_script("dvc status convert", project)


def shards(project: Path) -> Files:
    """Return the files of the dataset."""
    return files(project / TARGET)


def test_after_the_command_was_killed(begun: Path, whole: Path) -> None:
    """The stage fails when its command is killed; repeated, it finishes what was begun."""
    accident = {"kind": "kill", "at": 1, "ending": LAST_SHARD}
    with pytest.raises(AssertionError, match="failed to reproduce 'convert'"):
        run_script(repro(begun, accident=accident), begun)
    assert_continues(begun, whole)


def test_after_everything_was_killed(begun: Path, whole: Path) -> None:
    """DVC and its command killed at once, as when a machine goes down: the next `dvc repro` finishes it."""
    accident = {"kind": "stop", "at": 1, "ending": LAST_SHARD}
    script = repro(begun, accident=accident)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=begun,
        env=os.environ | {"PATH": path},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until_stopped(begun)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert_continues(begun, whole)


def test_a_dataset_is_made_anew_after_a_kill(begun: Path, whole: Path) -> None:
    """With a dataset there already, which DVC removes first, unfinished work is taken up just the same."""
    shutil.copytree(whole / TARGET, begun / TARGET)
    accident = {"kind": "kill", "at": 1, "ending": LAST_SHARD}
    with pytest.raises(AssertionError, match="failed to reproduce 'convert'"):
        run_script(repro(begun, accident=accident), begun)
    assert_continues(begun, whole)
