"""After a power failure at any moment, with all that was not forced to the disk forgotten, no harm is done.

The operations of one conversion are replayed on a model of a disk; what may have survived at each prefix is
restored, looked at, and continued. A few prefixes by default, all of them with `make test-all`.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, get_args

import pytest

from support.forgetful_disk import ForgetfulDisk, Survival, Tree, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.file_operations import Operation
    from support.unfinished import Scene

NAMES = ("both formats", "overwrite", "overwrite, no exchange")
NUM_MIXTURES = 2  # seeds of what survives by chance, in the long test
SHORT_POINTS = 8


def survivals(
    scene: Scene, num_mixtures: int, forget: Callable[[Operation], bool] = lambda _operation: False
) -> list[tuple[str, Tree]]:
    """Return every different tree that may have survived, with the words that tell when and how.

    What `forget` names is not done, as if the program were without it.
    """
    found: list[tuple[str, Tree]] = []
    seen: set[int] = set()
    disk = ForgetfulDisk(scene.source, name=scene.place)
    how: list[tuple[Survival, int]] = [(kind, 0) for kind in get_args(Survival) if kind != "mixed"]
    how += [("mixed", seed) for seed in range(num_mixtures)]
    for number, operation in enumerate(scene.operations, 1):
        if not forget(operation):
            disk.do(operation)
        for kind, seed in how:
            tree = disk.surviving(kind, seed=1000 * seed + number)
            digest = hash(frozenset(tree.items()))
            if digest not in seen:
                seen.add(digest)
                found.append((f"{kind}, after operation {number}: {operation!r:.300}", tree))
    return found


def sweep(scene: Scene, trees: Sequence[tuple[str, Tree]]) -> None:
    """Fail unless each tree holds the old dataset, none, or the new one, and the same command continues."""
    for words, tree in trees:
        shutil.rmtree(scene.place)
        scene.place.mkdir()
        restore(tree, scene.place)
        try:
            scene.assert_absent_or_valid(scene.place)
            scene.assert_continues(scene.place)
        except AssertionError as error:
            error.add_note(words)
            raise


@pytest.mark.parametrize("name", NAMES)
def test_forgotten_at_some_points(scene_of: Callable[[str], Scene], name: str) -> None:
    """At points spread over a conversion, whatever survives is absent or valid, and continues."""
    found = survivals(scene_of(name), 1)
    step = len(found) // SHORT_POINTS
    sweep(scene_of(name), found[step - 1 :: step])


WRONG = {
    "shards are not forced to the disk": ("fsync", ".parquet.partial"),
    "the folder of shards is not forced to the disk": ("fsync", "/dataset"),
    "the manifest is not forced to the disk": ("fsync", "manifest.json.partial"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_program_is_caught(scene_of: Callable[[str], Scene], wrong: str) -> None:
    """If the program did not force this to the disk, there would be a target that is not valid."""
    kind, ending = WRONG[wrong]
    scene = scene_of("both formats")
    found = survivals(scene, 0, lambda o: o.kind == kind and o.path.endswith(ending))
    targets = [
        {name.removeprefix("shards/"): content[0] for name, content in tree.items() if content}
        for _, tree in found
        if "shards" in tree
    ]
    whole = [{n: d for n, d in target.items() if "/" not in n and n != "raw.csv"} for target in targets]
    assert any(target != scene.whole for target in whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_forgotten_at_every_point(
    scene_of: Callable[[str], Scene], name: str, record_property: Callable[[str, object], None]
) -> None:
    """After every operation, in whichever way the disk forgets, what survives is valid and continues."""
    found = survivals(scene_of(name), NUM_MIXTURES)
    sweep(scene_of(name), found)
    record_property("points", len(found))
    print(f"{name}: {len(found)} points")  # noqa: T201  # the report, seen with -s
