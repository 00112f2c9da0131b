"""One column of a split, in the order of the batches that are not shuffled."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import manifest as manifests
from pipeline.errors import ShardError
from pipeline.loader import batches, column
from pipeline.loader.column import read_column

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.plan import ShardFormat
    from support.trained import Made

FORMATS: tuple[ShardFormat, ...] = ("parquet", "tfrecord")


def values_of(shards: Path, name: str, shard_format: ShardFormat) -> list[Any]:
    """Return the values of a column of the train split."""
    manifest = manifests.load(shards)
    entry = next(column for column in manifest.columns if column.name == name)
    found: Iterable[Any] = read_column(shards, manifest.splits["train"], entry, shard_format=shard_format)
    return [value for block in found for value in block.tolist()]


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("block_records", [7, 100_000])
def test_kept_columns_stand_beside_their_records(
    two: Made, shard_format: ShardFormat, block_records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Integers, texts and numbers of the very records that the batches hold, whatever is read at a time."""
    monkeypatch.setattr(column, "BLOCK_RECORDS", block_records)
    rows = np.array(values_of(two.shards, "id", shard_format)) - (1 << 53)
    found = batches(two.shards, "train", 50, seed=0, shuffle=False, shard_format=shard_format)
    assert np.concatenate([label for _, label in found]).tolist() == two.columns["label"][rows].tolist()
    assert values_of(two.shards, "name", shard_format) == two.columns["name"][rows].tolist()
    level = two.columns["level"][rows]
    stored = level if shard_format == "parquet" else level.astype(np.float32)
    assert values_of(two.shards, "level", shard_format) == stored.tolist()


@pytest.mark.parametrize("shard_format", FORMATS)
def test_damage_is_an_error(two: Made, tmp_path: Path, shard_format: ShardFormat) -> None:
    """A shard that is cut, and one that is gone, are named."""
    shards = shutil.copytree(two.shards, tmp_path / "shards")
    path = min(shards.glob(f"train-*.{shard_format}"))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ShardError, match=path.name):
        values_of(shards, "id", shard_format)
    path.unlink()
    with pytest.raises(ShardError, match="no such shard"):
        values_of(shards, "id", shard_format)
