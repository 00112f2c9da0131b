"""One bit flipped, anywhere in any file of a dataset: `verify` names the file, training reads nothing wrong.

A few hundred places by default, every byte of every file in the long run. Which of the eight bits is flipped
depends on the place, so that each gets its turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.convert import convert
from pipeline.errors import DatasetError
from pipeline.loader import batches
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.verify import verify
from support.damage import flip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.plan import ShardFormat

DATASETS: dict[str, dict[str, Any]] = {
    "parquet": {"formats": ("parquet",)},
    "parquet zstd": {"formats": ("parquet",), "compression": "zstd"},
    "parquet snappy": {"formats": ("parquet",), "compression": "snappy"},
    "tfrecord": {"formats": ("tfrecord",)},
    "tfrecord gzip": {"formats": ("tfrecord",), "compression": "gzip"},
    "both": {"formats": ("parquet", "tfrecord")},
}
TEXT = (
    "label,a,b,id,word\n" + "".join(f"{i % 2},{i / 7!r},{i * i},{i},w{i % 3}\n" for i in range(24)) + "1,x\n"
)
FLIPS_PER_DATASET = 120


@pytest.fixture(scope="module", params=DATASETS)
def shards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of several shards, kept columns and a row set aside; whole."""
    folder = tmp_path_factory.mktemp("flips")
    given = dict(DATASETS[request.param])
    identity = Identity(shard_bytes=300, on_bad_row="skip", compression=given.pop("compression", "none"))
    roles = RoleOptions(keep=("id", "word"))
    (folder / "source.csv").write_text(TEXT)
    convert(
        folder / "source.csv",
        folder / "shards",
        ConvertOptions(identity=identity, roles=roles, num_workers=1, **given),
    )
    assert verify(folder / "shards").faults == ()
    return folder / "shards"


def undetected(shards: Path, step: int) -> tuple[int, list[tuple[str, int]]]:
    """Flip a bit of every `step`-th byte, one after the other; return how many, and those nobody noticed."""
    paths = sorted(shards.iterdir())
    ends = [0]
    for path in paths:
        ends.append(ends[-1] + path.stat().st_size)
    missed = []
    places = range(0, ends[-1], step)
    for place in places:
        index = max(i for i, end in enumerate(ends[:-1]) if end <= place)
        path, at = paths[index], place - ends[index]
        flip(path, at, bit=(place // step) % 8)
        if path.name not in named_by_verify(shards):
            missed.append((path.name, at))
        flip(path, at, bit=(place // step) % 8)
    return len(places), missed


def named_by_verify(shards: Path) -> list[str]:
    """Return the names of the files in which `verify` finds a fault; only our own errors are faults."""
    try:
        faults = verify(shards, num_workers=1).faults
    except DatasetError as error:
        faults = (error,)
    return [fault.path.rpartition("/")[2] for fault in faults]


def test_flips_are_found(shards: Path) -> None:
    """At a hundred places over all files: each is found, and the file is named."""
    total = sum(path.stat().st_size for path in shards.iterdir())
    # A step prime to 8, so that all bits of all kinds of bytes have their turn.
    num_flips, missed = undetected(shards, total // FLIPS_PER_DATASET | 1)
    assert num_flips >= FLIPS_PER_DATASET - 1
    assert missed == []
    assert verify(shards).faults == (), "the dataset is whole again"


@pytest.mark.slow
def test_a_flip_in_any_byte_is_found(shards: Path, record_property: Callable[[str, object], None]) -> None:
    """At every byte of every file."""
    num_flips, missed = undetected(shards, 1)
    assert num_flips == sum(path.stat().st_size for path in shards.iterdir())
    assert missed == []
    record_property("points", num_flips)


def read_as_training_does(shards: Path, form: ShardFormat) -> list[NDArray[Any]] | None:
    """Return features and labels of all records as the first epoch reads them, or None if it is refused."""
    try:
        read = list(batches(shards, "train", 7, seed=1, shard_format=form, verify_checksums=True))
    except DatasetError:
        return None
    return [np.concatenate(arrays) for arrays in zip(*read, strict=True)]


def silently_wrong(shards: Path, step: int) -> tuple[int, list[tuple[str, int]]]:
    """Flip a bit of every `step`-th byte of the train shards; return how many, and which changed numbers."""
    wrong, num_flips = [], 0
    for path in sorted(shards.glob("train-00000-*")):
        form: Any = path.suffix.removeprefix(".")
        whole = read_as_training_does(shards, form)
        assert whole is not None
        for at in range(0, path.stat().st_size, step):
            flip(path, at, bit=(at // step) % 8)
            found = read_as_training_does(shards, form)
            if found is not None and not all(map(np.array_equal, found, whole)):
                wrong.append((path.name, at))
            flip(path, at, bit=(at // step) % 8)
            num_flips += 1
    return num_flips, wrong


def test_training_reads_no_other_numbers(shards: Path) -> None:
    """Without the check beforehand, too: a flipped bit is refused by a checksum, or makes no difference."""
    num_flips, wrong = silently_wrong(shards, 11)
    assert num_flips > 20
    assert wrong == []


@pytest.mark.slow
def test_training_reads_no_other_numbers_from_any_byte(
    shards: Path, record_property: Callable[[str, object], None]
) -> None:
    """At every byte of a shard."""
    num_flips, wrong = silently_wrong(shards, 1)
    assert wrong == []
    record_property("points", num_flips)
