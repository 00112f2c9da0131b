"""What stands in the way of a target is named and left alone; a dataset is replaced whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.command import ROOT
from support.forked import KILLED, Accident, Forker
from support.unfinished import STAGING, TARGET, Scene, command, files, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Outcome

NOBODY = 65534


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


def test_a_finished_target_is_not_touched(scene: Scene, tmp_path: Path) -> None:
    """Without --overwrite a dataset stays as it is, and nothing is left beside it."""
    place = scene.copied(tmp_path / "place")
    assert scene.run(place).status == 0
    times = {path: path.stat().st_mtime_ns for path in (place / TARGET).iterdir()}
    outcome = scene.run(place)
    assert outcome.status == 2
    assert outcome.stderr == (
        f"error[E202] {TARGET}: the target exists\n"
        "  hint: pass --overwrite to replace it, or name another target\n"
    )
    assert {path: path.stat().st_mtime_ns for path in (place / TARGET).iterdir()} == times
    assert names(place) == ["raw.csv", TARGET]


@pytest.mark.parametrize(
    ("make", "wording"),
    [
        pytest.param(lambda place: (place / TARGET).write_text("x"), "is not a folder", id="a file"),
        pytest.param(
            lambda place: (place / TARGET / "mine").mkdir(parents=True),
            "holds other things",
            id="a folder in use",
        ),
        pytest.param(lambda place: (place / STAGING).write_text("x"), "is no folder", id="staging is a file"),
        pytest.param(
            lambda place: (place / STAGING).symlink_to(place.parent), "is a link", id="staging is a link"
        ),
        pytest.param(
            lambda place: (place / STAGING / "mine").mkdir(parents=True),
            "holds other things",
            id="staging holds things of somebody else",
        ),
    ],
)
@pytest.mark.parametrize("option", [(), ("--overwrite",)])
def test_what_is_in_the_way_is_named_and_left(
    forker: Forker,
    scene: Scene,
    tmp_path: Path,
    make: Callable[[Path], object],
    wording: str,
    option: tuple[str, ...],
) -> None:
    """A file, a link, or somebody else's folder in the place of target or staging: E202, all left alone."""
    place = scene.copied(tmp_path / "place")
    make(place)
    before = sorted(place.rglob("*"))
    outcome = forker.run(*command(*option), cwd=place)
    assert outcome.status == 2, outcome.stderr
    assert outcome.stderr.startswith("error[E202] ")
    assert wording in outcome.stderr
    assert "  hint: " in outcome.stderr
    assert sorted(place.rglob("*")) == before


def test_a_target_below_a_file_is_refused(forker: Forker, scene: Scene, tmp_path: Path) -> None:
    """`raw.csv/shards` cannot be made; the error names the file."""
    place = scene.copied(tmp_path / "place")
    arguments = ["raw.csv/shards" if argument == TARGET else argument for argument in command()]
    outcome = forker.run(*arguments, cwd=place)
    assert outcome.status == 2, outcome.stderr
    assert outcome.stderr.startswith("error[E202] ")
    assert names(place) == ["raw.csv"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of somebody else")
def test_a_parent_that_may_not_be_written_as_somebody_else(forker: Forker, scene: Scene) -> None:
    """Without the right to write there, the error says so, with status 5, and nothing has changed."""
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in (ROOT, *ROOT.parents)):
        pytest.skip("nobody else may enter this checkout")
    with tempfile.TemporaryDirectory() as folder:  # one that others may enter, unlike pytest's
        Path(folder).chmod(0o755)
        place = Path(shutil.copytree(scene.source, Path(folder) / "place"))
        refused = forker.run(*command(), cwd=place, as_user=NOBODY)
        assert_denied(refused, place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_parent_that_may_not_be_written(scene: Scene, tmp_path: Path) -> None:
    """Without the right to write there, the error says so, with status 5, and nothing has changed."""
    place = scene.copied(tmp_path / "place")
    place.chmod(0o500)
    try:
        assert_denied(scene.run(place), place)
    finally:
        place.chmod(0o700)


def assert_denied(outcome: Outcome, place: Path) -> None:
    """Fail unless the outcome is E504 and `place` holds the source alone."""
    assert outcome.status == 5, outcome.stderr
    assert outcome.stderr.startswith(f"error[E504] {place / STAGING}: permission denied\n")
    assert names(place) == ["raw.csv"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_the_old_dataset_survives_a_failing_run(
    forker: Forker, scene_of: Callable[[str], Scene], tmp_path: Path, *, can_exchange: bool
) -> None:
    """With --overwrite, a fault in the new source leaves the old dataset as it was, and nothing beside it."""
    scene = scene_of("overwrite")
    place = scene.copied(tmp_path / "place")
    with (place / "raw.csv").open("a", encoding="utf-8") as file:
        file.write("0,1,2.0,three,w\n")
    arguments = ["error" if argument == "skip" else argument for argument in command("--overwrite")]
    outcome = forker.run(*arguments, cwd=place, can_exchange=can_exchange)
    assert outcome.status == 3, outcome.stderr
    assert files(place / TARGET) == scene.old
    assert names(place) == ["raw.csv", TARGET]


def test_a_target_moved_aside_is_put_back(scene_of: Callable[[str], Scene], tmp_path: Path) -> None:
    """Killed between two renames, where folders cannot be exchanged, the next run puts the old one back.

    Even if that run then fails, because its source has changed.
    """
    scene = scene_of("overwrite, no exchange")
    place = scene.copied(tmp_path / "place")
    [number] = [n for n, o in enumerate(scene.operations, 1) if o.other.endswith(f"/{TARGET}")]
    assert scene.run(place, Accident(kind="kill", at=number)).status == KILLED
    assert not (place / TARGET).exists()
    os.utime(place / "raw.csv")
    assert scene.run(place).status == 3
    assert files(place / TARGET) == scene.old
