"""A disk that is full at the n-th operation, n = 1, 2, …: the target is absent, and the same command goes on.

Conversions to Parquet are in test_continuation.py, with everything else that can interrupt them; here are the
other formats, replacing a dataset, fetching and training. Some points by default, all with `make test-all`.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from support.forked import Accident, recorded
from support.unfinished import TARGET, files, names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.command import Outcome
    from support.file_operations import Operation
    from support.forked import Forker
    from support.unfinished import Scene

SHORT_POINTS = {"tfrecord": 6, "both formats": 4, "overwrite": 4}
FETCH = ("fetch", "simulated", "raw.csv", "--rows", "30000", "--quiet")
TRAIN = ("train", TARGET, "-o", "model", "--epochs", "1", "--layers", "4", "--quiet")


def taking_space(operations: Sequence[Operation]) -> list[int]:
    """Return the numbers of the operations that a full disk lets fail."""
    return [n for n, o in enumerate(operations, 1) if o.kind == "mkdir" or o.data]


def assert_told(outcome: Outcome) -> None:
    """Fail unless the command ended with E502, in two lines."""
    assert outcome.status == 5, outcome.stderr
    first, second = outcome.stderr.splitlines()
    assert first.startswith("error[E502] ")
    assert second.startswith("  hint: ")


def fill(scene: Scene, points: Sequence[int], folder: Path) -> None:
    """Fail unless after each full disk there is no new target, and the same command continues."""
    for at in points:
        place = scene.copied(folder / "place")
        outcome = scene.run(place, Accident(kind="fill", at=at))
        try:
            if outcome.status:
                assert_told(outcome)
            else:
                assert files(place / TARGET) == scene.whole  # what failed was the clearing up
            scene.assert_absent_or_valid(place)
            scene.assert_continues(place)
        except AssertionError as error:
            error.add_note(f"full at {at}, before {scene.operations[at - 1]!r:.300}")
            raise
        shutil.rmtree(place)


@pytest.mark.parametrize("name", SHORT_POINTS)
def test_converting_on_a_full_disk(scene_of: Callable[[str], Scene], tmp_path: Path, name: str) -> None:
    """At points spread over reading, spilling, writing and publishing."""
    scene = scene_of(name)
    found = taking_space(scene.operations)
    assert any("/runs/" in scene.operations[at - 1].path for at in found), "it spills"
    fill(scene, found[:: len(found) // SHORT_POINTS[name]], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT_POINTS)
def test_converting_on_a_disk_full_anywhere(
    scene_of: Callable[[str], Scene],
    tmp_path: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Whichever operation is the first for which there is no room."""
    scene = scene_of(name)
    found = taking_space(scene.operations)
    fill(scene, found, tmp_path)
    record_property("points", len(found))
    print(f"{name}: {len(found)} points")  # noqa: T201  # the report, seen with -s


def test_fetching_on_a_full_disk(forker: Forker, tmp_path: Path) -> None:
    """At every operation: no file, two lines, and the same command makes the file that it would have made."""
    whole = tmp_path / "whole"
    whole.mkdir()
    assert forker.run(*FETCH, cwd=whole, record=tmp_path / "operations").status == 0
    expected = files(whole)
    assert names(whole) == ["raw.csv"]
    found = taking_space(recorded(tmp_path / "operations"))
    assert len(found) > 3
    for at in found:
        place = tmp_path / "place"
        place.mkdir()
        assert_told(forker.run(*FETCH, cwd=place, accident=Accident(kind="fill", at=at)))
        assert "raw.csv" not in names(place)
        assert forker.run(*FETCH, cwd=place).status == 0
        assert files(place) == expected
        shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.parametrize("max_file_bytes", [1_000, 4_000])
def test_training_on_a_full_disk(
    forker: Forker, scene_of: Callable[[str], Scene], tmp_path: Path, max_file_bytes: int
) -> None:
    """When no file may grow beyond some kilobytes there is no model: two lines, and later it trains."""
    place = tmp_path / "place"
    shutil.copytree(scene_of("parquet").place, place)
    assert_told(forker.run(*TRAIN, cwd=place, max_file_bytes=max_file_bytes))
    assert "model" not in names(place)
    outcome = forker.run(*TRAIN, cwd=place)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert {"model.keras", "model.json", "metrics.json"} <= set(names(place / "model"))
