"""The check before the first epoch: every shard there, whole, and of this dataset."""

from __future__ import annotations

import itertools
import os
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
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

EXTENSIONS = ("parquet", "tfrecord")


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
    for path, said in ((tmp_path, "no manifest"), (tmp_path / "absent", "no such folder")):
        with pytest.raises(ManifestError, match=said):
            check_dataset(path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_missing_shard_is_named(shards: Path, split: str, extension: str) -> None:
    """A shard of any split and format that is gone is named."""
    path = next(shards.glob(f"{split}-00000-*.{extension}"))
    path.unlink()
    with pytest.raises(ShardError, match=f"{path.name}: no such shard"):
        check_dataset(shards)


@pytest.mark.parametrize("extension", EXTENSIONS)
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


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_renamed_shard_is_named(shards: Path, extension: str) -> None:
    """A shard under another name is missing under its own."""
    path = next(shards.glob(f"train-00001-*.{extension}"))
    path.rename(path.with_name(f"train-00009-of-00010.{extension}"))
    with pytest.raises(ShardError, match=f"{path.name}: no such shard"):
        check_dataset(shards)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_empty_shard_is_named(shards: Path, extension: str) -> None:
    """A shard without a byte is named: every TFRecord reader takes it for one without records."""
    path = next(shards.glob(f"val-*.{extension}"))
    path.write_bytes(b"")
    with pytest.raises(ShardError, match=f"{path.name}: 0 bytes, expected"):
        check_dataset(shards)


@pytest.mark.parametrize("num_left", [39, 20, 1])
def test_a_cut_between_two_records_is_found(shards: Path, num_left: int) -> None:
    """A TFRecord cut exactly between two records is a whole file with fewer of them; its size tells."""
    path = next(shards.glob("train-00000-*.tfrecord"))
    data = path.read_bytes()
    assert len(data) % 40 == 0, "40 records of one size"
    path.write_bytes(data[: len(data) // 40 * num_left])
    with pytest.raises(ShardError, match=f"{path.name}: {len(data) // 40 * num_left} bytes, expected"):
        check_dataset(shards)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_shard_of_another_run_is_found(shards: Path, tmp_path: Path, extension: str) -> None:
    """A shard converted with another seed has the same name, size and count, and yet is found out."""
    (tmp_path / "other").mkdir()
    other = make_dataset(tmp_path / "other", seed=7)
    path = next(other.glob(f"train-00002-*.{extension}"))
    assert path.stat().st_size == (shards / path.name).stat().st_size
    shutil.copy(path, shards / path.name)
    what = {"parquet": "a shard of another dataset", "tfrecord": "damaged, or another shard"}[extension]
    with pytest.raises(ShardError, match=f"{path.name}: {what}"):
        check_dataset(shards)


def two_of_one_size(shards: Path, extension: str) -> list[Path]:
    """Return two train shards that only their contents tell apart."""
    paths = sorted(shards.glob(f"train-*.{extension}"))
    pairs = (pair for pair in itertools.combinations(paths, 2) if len({p.stat().st_size for p in pair}) == 1)
    return list(next(pairs))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_swapped_shards_are_found(shards: Path, extension: str) -> None:
    """Two shards of one size that took each other's names are both found out."""
    mine, other = two_of_one_size(shards, extension)
    aside = shards / "aside"
    mine.rename(aside)
    other.rename(mine)
    aside.rename(other)
    with pytest.raises(ShardError, match=f"{mine.name}: .*another shard.*and 1 more shards with faults"):
        check_dataset(shards)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_duplicated_shard_is_found(shards: Path, extension: str) -> None:
    """A copy in the place of another shard of its size would give some records twice, and others never."""
    mine, other = two_of_one_size(shards, extension)
    shutil.copy(mine, other)
    with pytest.raises(ShardError, match=f"{other.name}: .*another shard") as caught:
        check_dataset(shards)
    assert ("its pipeline.shard is" in str(caught.value)) == (extension == "parquet")


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("make", "wording"),
    [
        pytest.param(lambda path: path.symlink_to("elsewhere"), "a symbolic link", id="a link"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "a symbolic link", id="a device"),
        pytest.param(os.mkfifo, "no regular file", id="a pipe"),
        pytest.param(lambda path: path.mkdir(), "no regular file", id="a folder"),
    ],
)
def test_what_is_no_file_is_not_opened(
    shards: Path, extension: str, make: Callable[[Path], object], wording: str
) -> None:
    """Links, pipes and folders in the place of a shard are refused; a link even if it leads to the shard."""
    path = next(shards.glob(f"test-*.{extension}"))
    path.rename(shards / "elsewhere")
    make(path)
    with pytest.raises(ShardError, match=f"{path.name}: {wording}"):
        check_dataset(shards)


@pytest.mark.parametrize(
    ("change", "wording"),
    [
        (lambda t: t.rename_columns(["label", "id", "f0", "other"]), "column 3 is other float, expected f1"),
        (lambda t: t.select(["id", "label", "f0", "f1"]), "column 0 is id float, expected label int64"),
        (lambda t: t.drop_columns(["f1"]), "column 3 is nothing , expected f1 float"),
        (
            lambda t: t.set_column(1, "id", t["id"].cast("float64")),
            "column 1 is id double, expected id float",
        ),
    ],
)
def test_another_schema_is_found(shards: Path, change: Callable[[pa.Table], pa.Table], wording: str) -> None:
    """Columns of other names, types or order than the manifest says are found before the first epoch."""
    path = next(shards.glob("test-*.parquet"))
    pq.write_table(change(pq.read_table(path)), path)

    def fit(tree: dict[str, Any]) -> None:
        stored = next(e for e in tree["splits"]["test"]["shards"] if e["path"] == path.name)
        stored |= {"bytes": path.stat().st_size, "head_sha256": ""}

    rewrite(shards, fit)
    with pytest.raises(ShardError, match=f"{path.name}: {wording}"):
        check_dataset(shards)
