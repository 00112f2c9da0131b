"""The check before the first epoch: every shard there, whole, and of this dataset."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from pipeline.convert import convert
from pipeline.errors import ManifestError, ShardError
from pipeline.loader import check_dataset
from pipeline.plan import ConvertOptions, Identity
from support.damage import rewrite
from support.texts import numbered_text

if TYPE_CHECKING:
    from pathlib import Path


def make_dataset(folder: Path, *, seed: int = 42) -> Path:
    """Convert 200 records to a dataset of both formats, four train shards."""
    (folder / "source.csv").write_text(numbered_text(200))
    identity = Identity(shard_bytes=800, seed=seed)
    options = ConvertOptions(identity=identity, formats=("parquet", "tfrecord"), num_workers=1)
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, whole."""
    return make_dataset(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def shards(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(whole, tmp_path / "shards")
    return tmp_path / "shards"


def test_a_whole_dataset_passes(shards: Path) -> None:
    """The manifest comes back."""
    assert check_dataset(shards).splits["train"].records == 160


def test_no_dataset(tmp_path: Path) -> None:
    """A folder without a manifest, or none at all, is no dataset."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ManifestError, match="no manifest"):
            check_dataset(path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("extension", ["parquet", "tfrecord"])
def test_a_missing_shard_is_named(shards: Path, split: str, extension: str) -> None:
    """A shard of any split and format that is gone is named."""
    path = next(shards.glob(f"{split}-00000-*.{extension}"))
    path.unlink()
    with pytest.raises(ShardError, match=f"{path.name}: no such shard"):
        check_dataset(shards)


@pytest.mark.parametrize("extension", ["parquet", "tfrecord"])
def test_a_cut_shard_is_named_with_its_sizes(shards: Path, extension: str) -> None:
    """A shard that lost its last byte is named, with found and expected bytes."""
    path = next(shards.glob(f"train-00001-*.{extension}"))
    num_bytes = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ShardError, match=f"{path.name}: {num_bytes - 1} bytes, expected {num_bytes}"):
        check_dataset(shards)


def test_all_faults_are_counted(shards: Path) -> None:
    """Three shards gone: the first is named, the others are counted."""
    for path in sorted(shards.glob("train-*.parquet"))[:3]:
        path.unlink()
    with pytest.raises(ShardError, match=r"train-00000.*and 2 more shards"):
        check_dataset(shards)


def test_a_damaged_footer_is_found(shards: Path) -> None:
    """A Parquet shard of the right size whose footer is damaged is named."""
    path = next(shards.glob("val-*.parquet"))
    data = bytearray(path.read_bytes())
    data[-400:-8] = bytes(392)
    path.write_bytes(data)
    with pytest.raises(ShardError, match=f"{path.name}: damaged"):
        check_dataset(shards)


def test_wrong_record_counts_are_found(shards: Path) -> None:
    """A shard with another number of records than the manifest says is named, even if its size were right."""
    path = next(shards.glob("test-*.parquet"))
    entry = next(e for e in check_dataset(shards).splits["test"].shards if e.path == path.name)
    pq.write_table(pq.read_table(path).slice(1), path)

    def change(tree: dict[str, Any]) -> None:
        stored = next(e for e in tree["splits"]["test"]["shards"] if e["path"] == path.name)
        stored |= {"bytes": path.stat().st_size, "head_sha256": ""}

    rewrite(shards, change)
    with pytest.raises(ShardError, match=f"{entry.records - 1} records, expected {entry.records}"):
        check_dataset(shards)


def test_a_shard_of_another_run_is_found(shards: Path, tmp_path: Path) -> None:
    """A shard converted with another seed has the same name, size and count, and yet is found out."""
    (tmp_path / "other").mkdir()
    other = make_dataset(tmp_path / "other", seed=7)
    path = next(other.glob("train-00002-*.parquet"))
    assert path.stat().st_size == (shards / path.name).stat().st_size
    shutil.copy(path, shards / path.name)
    with pytest.raises(ShardError, match=f"{path.name}: a shard of another dataset"):
        check_dataset(shards)
