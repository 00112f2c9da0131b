"""Killed before any of its operations on the disk, a conversion leaves no half dataset, and continues.

A few points by default, all of them with `make test-all`; `pytest -s -m slow` prints how many there are.
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.forked import KILLED, Accident
from support.unfinished import TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.file_operations import Operation
    from support.unfinished import Scene

SHORT_POINTS = {
    "parquet": 16,
    "tfrecord": 5,
    "stratified": 4,
    "by time": 4,
    "overwrite": 5,
    "overwrite, no exchange": 5,
}
EVERY_WRITE = 5  # every k-th write is enough: between two renames they all leave the same names


def points(scene: Scene) -> list[Accident]:
    """Return a kill before every operation, and one in the middle of every k-th write."""
    found: list[Accident] = []
    num_writes = 0
    for number, operation in enumerate(scene.operations, 1):
        if operation.kind != "write":
            found.append(Accident(kind="kill", at=number))
            continue
        if num_writes % EVERY_WRITE == 0:
            found += [Accident(kind=kind, at=number) for kind in ("kill", "tear")]
        num_writes += 1
    return found


def replacing(scene: Scene) -> int:
    """Return the number of the operation from which on replacing a dataset differs from making one."""
    kinds = [operation.path.endswith("receipt.json.partial") for operation in scene.operations]
    return kinds.index(True) + 1


def spread(found: Sequence[Accident], count: int) -> list[Accident]:
    """Return `count` of the accidents, at equal distances, the last one among them."""
    return [found[(index + 1) * len(found) // count - 1] for index in range(count)]


def sweep(scene: Scene, accidents: Sequence[Accident], folder: Path) -> None:
    """Fail unless after each accident the target is absent or valid, and the same command continues."""
    for accident in accidents:
        place = scene.copied(folder / "place")
        assert scene.run(place, accident).status == KILLED, accident
        try:
            scene.assert_absent_or_valid(place)
            scene.assert_continues(place)
        except AssertionError as error:
            error.add_note(f"after {accident}, before {scene.operations[accident.at - 1]!r:.300}")
            raise
        shutil.rmtree(place)


@pytest.mark.parametrize("name", SHORT_POINTS)
def test_killed_at_some_points(scene_of: Callable[[str], Scene], tmp_path: Path, name: str) -> None:
    """At points spread over reading, spilling, writing and publishing, no harm is done."""
    scene = scene_of(name)
    kinds = Counter(operation.kind for operation in scene.operations)
    assert kinds["rename"] > 10, "it has runs on disk, several shards, and publishes"
    assert kinds["exchange"] == (name == "overwrite"), "where the system can, it exchanges two folders"
    found = points(scene)
    publication = [point for point in found if _publishes(scene.operations[point.at - 1])]
    sweep(scene, [*spread(found, SHORT_POINTS[name]), *publication], tmp_path)


def _publishes(operation: Operation) -> bool:
    """Whether this changes what the target's name stands for."""
    return operation.kind in {"rename", "exchange"} and operation.other.endswith(f"/{TARGET}")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT_POINTS)
def test_killed_at_every_point(
    scene_of: Callable[[str], Scene],
    tmp_path: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Before every operation but most of the writes, and in the middle of writes, no harm is done."""
    scene = scene_of(name)
    found = points(scene)
    if "--overwrite" in scene.options:
        found = [point for point in found if point.at >= replacing(scene) or point.at % EVERY_WRITE == 0]
    sweep(scene, found, tmp_path)
    record_property("points", len(found))
    print(f"{name}: {len(found)} points")  # noqa: T201  # the report, seen with -s
