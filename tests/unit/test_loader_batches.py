"""Batches as NumPy arrays: complete, exact, the same for every format and number of threads."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import plan
from pipeline.convert import convert
from pipeline.errors import DatasetError, ManifestError, OptionError, ShardError
from pipeline.loader import batches, order, read_parquet
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.plan import ShardFormat

NUM_RECORDS = 4200
NUM_TRAIN = 3360
BATCH = 100
FORMATS: tuple[ShardFormat, ...] = ("parquet", "tfrecord")


@pytest.fixture(scope="module", autouse=True)
def small_row_groups() -> Iterator[None]:
    """Row groups of 256 records, the least there are, so that a small dataset has many blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "ROW_GROUP_BYTES", 1)
        patch.setattr(order, "MAX_GROUPS_PER_BLOCK", 4)
        yield


@pytest.fixture(scope="module")
def make_dataset(fresh_folder: Callable[[], Path]) -> Callable[..., Path]:
    """Convert columns of equal length to a dataset with both formats."""

    def make(
        columns: dict[str, Any],
        *,
        compression: Literal["none", "gzip", "zstd"] = "none",
        formats: tuple[ShardFormat, ...] = FORMATS,
        roles: RoleOptions | None = None,
        label_kind: Literal["auto", "classes", "number"] = "auto",
        shard_bytes: int = 16_000,
    ) -> Path:
        folder = fresh_folder()
        folder.mkdir()
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        text = ",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
        (folder / "source.csv").write_text(text)
        options = ConvertOptions(
            identity=Identity(
                standardize=False,
                shard_bytes=shard_bytes,
                compression=compression,
                split=(Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)),
            ),
            roles=roles or RoleOptions(),
            label_kind=label_kind,
            formats=formats,
            num_workers=1,
        )
        convert(folder / "source.csv", folder / "shards", options)
        return folder / "shards"

    return make


def numbered(num_records: int = NUM_RECORDS) -> dict[str, Any]:
    """Return columns in which every record can be told by its `id`."""
    ids = np.arange(num_records)
    return {"label": ids % 2, "id": ids, "half": ids / 2, "minus": -ids}


@pytest.fixture(scope="module")
def shards(make_dataset: Callable[..., Path]) -> Path:
    """Numbered records in both formats, in five train shards."""
    return make_dataset(numbered())


def ids(found: Iterator[tuple[Any, ...]]) -> list[int]:
    """Return the ids of the records of batches, in order."""
    return [int(value) for features, *_ in found for value in features[:, 0]]


def stored_ids(shards: Path, split: str) -> list[int]:
    """Return the ids as they lie in the Parquet shards, read by pyarrow alone."""
    paths = sorted(shards.glob(f"{split}-*.parquet"))
    return [int(value) for path in paths for value in pq.read_table(path).column("id").to_pylist()]


@pytest.mark.parametrize("shard_format", FORMATS)
def test_every_record_comes_once_and_whole(shards: Path, shard_format: ShardFormat) -> None:
    """Features in the order of the manifest, the label that belongs to them, every record once."""
    found = list(batches(shards, "train", BATCH, seed=1, shard_format=shard_format))
    features = np.concatenate([batch[0] for batch in found])
    label = np.concatenate([batch[1] for batch in found])
    assert sorted(features[:, 0].astype(int).tolist()) == sorted(stored_ids(shards, "train"))
    assert np.array_equal(features, np.stack([features[:, 0], features[:, 0] / 2, -features[:, 0]], axis=1))
    assert np.array_equal(label, features[:, 0].astype(int) % 2)
    assert [len(batch[1]) for batch in found] == [BATCH] * (NUM_TRAIN // BATCH) + [NUM_TRAIN % BATCH]
    assert (features.dtype, label.dtype) == (np.float32, np.int64)
    assert all(batch[0].flags.c_contiguous for batch in found)


def test_the_order_on_disk_is_kept_without_shuffle(shards: Path) -> None:
    """`shuffle=False` gives the records as pyarrow reads them, shard after shard."""
    assert ids(batches(shards, "train", BATCH, seed=1, shuffle=False)) == stored_ids(shards, "train")


def test_formats_and_threads_do_not_change_the_order(shards: Path) -> None:
    """Parquet and TFRecord, one thread or four: the same records in the same order."""
    orders = {
        tuple(ids(batches(shards, "train", BATCH, seed=1, shard_format=name, num_threads=threads)))
        for name in FORMATS
        for threads in (1, 2, 4)
    }
    assert len(orders) == 1


def test_epochs_differ_and_repeat(shards: Path) -> None:
    """Epochs 0 to 3 are four orders of the same records; epoch 2 asked again comes again."""
    orders = [ids(batches(shards, "train", BATCH, seed=1, epoch=epoch)) for epoch in (0, 1, 2, 3, 2)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[2] == orders[4]
    assert len({frozenset(order) for order in orders}) == 1


@pytest.mark.parametrize("batch_size", [1, 7, 256, 1000, 5000])
def test_any_batch_size_cuts_the_same_sequence(shards: Path, batch_size: int) -> None:
    """However the sequence is cut, across blocks or within, it is the same sequence."""
    assert ids(batches(shards, "train", batch_size, seed=1)) == ids(batches(shards, "train", 100, seed=1))


def test_an_epoch_continues_at_every_batch(shards: Path) -> None:
    """`first_batch=k` gives exactly the batches from the k-th on, for every k, and none after the last."""
    whole = [batch[0] for batch in batches(shards, "train", BATCH, seed=1, epoch=2)]
    for first in range(len(whole) + 2):
        rest = [batch[0] for batch in batches(shards, "train", BATCH, seed=1, epoch=2, first_batch=first)]
        assert len(rest) == max(0, len(whole) - first)
        assert all(np.array_equal(mine, yours) for mine, yours in zip(rest, whole[first:], strict=True))


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_partition_every_epoch(shards: Path, world_size: int) -> None:
    """The shares of all ranks, one after the other, are the sequence of the epoch."""
    for epoch in (0, 2):
        whole = ids(batches(shards, "train", BATCH, seed=1, epoch=epoch))
        shares = [
            ids(batches(shards, "train", BATCH, seed=1, epoch=epoch, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        assert list(itertools.chain(*shares)) == whole
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_drop_remainder_gives_only_full_batches(shards: Path) -> None:
    """With two ranks of 1,680 records, each gives 16 batches of 100 and leaves 80 records."""
    for rank in (0, 1):
        found = list(batches(shards, "train", 100, seed=1, rank=rank, world_size=2, drop_remainder=True))
        assert [len(batch[1]) for batch in found] == [100] * 16


def test_more_ranks_than_records(make_dataset: Callable[..., Path]) -> None:
    """With 10 records in val and 16 ranks, ten ranks read one each and six read none."""
    shards = make_dataset(numbered(100))
    shares = [ids(batches(shards, "val", 4, seed=1, rank=rank, world_size=16)) for rank in range(16)]
    assert sorted(map(len, shares)) == [0] * 6 + [1] * 10
    assert sorted(itertools.chain(*shares)) == sorted(stored_ids(shards, "val"))


@pytest.mark.parametrize("shard_format", FORMATS)
def test_weights_and_number_labels(make_dataset: Callable[..., Path], shard_format: ShardFormat) -> None:
    """A weight column comes as a third array; a number label as float32."""
    columns = numbered(600) | {"label": np.arange(600) / 8, "w": 1 + np.arange(600) % 4}
    shards = make_dataset(columns, roles=RoleOptions(weight="w"), label_kind="number")
    for features, label, weight in batches(shards, "train", 50, seed=1, shard_format=shard_format):
        assert label.dtype == weight.dtype == np.float32
        assert np.array_equal(label, features[:, 0] / 8)
        assert np.array_equal(weight, 1 + features[:, 0] % 4)


def test_kept_text_and_names_with_dots(make_dataset: Callable[..., Path]) -> None:
    """Kept columns of any length stand between the features and are not read; names may hold dots."""
    words = np.array(["word " * (index % 5) for index in range(3000)])
    columns = numbered(3000) | {"id.x": np.arange(3000) * 2, "word": words}
    shards = make_dataset(columns, roles=RoleOptions(keep=("word",)))
    found = [
        ids(batches(shards, "train", 100, seed=1, shard_format=shard_format)) for shard_format in FORMATS
    ]
    assert found[0] == found[1]
    assert sorted(found[0]) == sorted(stored_ids(shards, "train"))
    (features, _), *_ = batches(shards, "train", 100, seed=1)
    assert np.array_equal(features[:, 3], 2 * features[:, 0])


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_no_row_group_is_read_twice(
    compression: Literal["none", "zstd"], make_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long kept texts make row groups small; the loader reads each once an epoch, plain or by pyarrow."""
    # 300 records of 24 bytes with a text of 30; without the text it would be 675.
    monkeypatch.setattr(plan, "ROW_GROUP_BYTES", 300 * (24 + 30))
    columns = numbered(3000) | {"word": np.array(["x" * 30] * 3000)}
    shards = make_dataset(
        columns,
        roles=RoleOptions(keep=("word",)),
        shard_bytes=70_000,
        compression=compression,
        formats=("parquet",),
    )
    footers = [pq.read_metadata(path) for path in shards.glob("train-*.parquet")]
    assert [footer.num_row_groups for footer in footers] == [4, 4]
    assert footers[0].row_group(0).num_rows == 300
    read: dict[str, list[int]] = {"plain": [], "by pyarrow": []}
    decode, plain = pq.ParquetFile.read_row_group, read_parquet.read_plain

    def decoded(file: Any, index: int, **options: Any) -> Any:
        read["by pyarrow"].append(index)
        return decode(file, index, **options)

    def read_plain(path: Path, footer: pq.FileMetaData, index: int, into: Any) -> bool:
        done = plain(path, footer, index, into)
        read["plain"] += [index] if done else []
        return done

    expected = sorted(stored_ids(shards, "train"))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", decoded)
    monkeypatch.setattr(read_parquet, "read_plain", read_plain)
    assert sorted(ids(batches(shards, "train", BATCH, seed=1))) == expected
    way, other = ("plain", "by pyarrow") if compression == "none" else ("by pyarrow", "plain")
    assert (sorted(read[way]), read[other]) == ([0, 0, 1, 1, 2, 2, 3, 3], [])


def test_a_manifest_without_the_size_of_row_groups_will_do(
    shards: Path, fresh_folder: Callable[[], Path]
) -> None:
    """Manifests of other writers need not tell it: it is computed from the columns then."""
    other = fresh_folder()
    shutil.copytree(shards, other)
    manifest = json.loads((other / "manifest.json").read_text())
    assert manifest["options"].pop("row_group_records") == 256
    del manifest["digest"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert ids(batches(other, "train", BATCH, seed=1)) == ids(batches(shards, "train", BATCH, seed=1))


def test_gzip_shards_read_the_same(make_dataset: Callable[..., Path], shards: Path) -> None:
    """TFRecord shards compressed with gzip give the batches of the plain ones."""
    packed = make_dataset(numbered(), compression="gzip", formats=("tfrecord",))
    assert gzip.decompress(next(packed.glob("train-*")).read_bytes())
    assert ids(batches(packed, "train", BATCH, seed=1)) == ids(batches(shards, "train", BATCH, seed=1))


def test_row_groups_of_another_size_read_the_same(shards: Path, fresh_folder: Callable[[], Path]) -> None:
    """The order depends on the manifest alone, not on how a Parquet file is divided."""
    other = fresh_folder()
    other.mkdir()
    (other / "manifest.json").write_bytes((shards / "manifest.json").read_bytes())
    for path in shards.glob("*.parquet"):
        pq.write_table(pq.read_table(path), other / path.name, row_group_size=100)
    assert ids(batches(other, "train", BATCH, seed=1)) == ids(batches(shards, "train", BATCH, seed=1))


def test_batches_may_be_changed_in_place(shards: Path) -> None:
    """What is done to one batch does not show in any other."""
    seen = []
    for features, label in batches(shards, "train", BATCH, seed=1):
        seen += features[:, 0].astype(int).tolist()
        features[:] = -1
        label[:] = -1
    assert seen == ids(batches(shards, "train", BATCH, seed=1))


def test_a_source_sorted_by_label_gives_mixed_batches(make_dataset: Callable[..., Path]) -> None:
    """Every batch of 200 has the share of labels that chance gives, within 5 standard deviations."""
    columns = numbered() | {"label": (np.arange(NUM_RECORDS) >= NUM_RECORDS // 2).astype(int)}
    shares = [label.mean() for _, label in batches(make_dataset(columns), "train", 200, seed=1)]
    assert np.abs(np.array(shares[:-1]) - 0.5).max() < 5 * np.sqrt(0.25 / 200)


def test_an_abandoned_iteration_leaves_no_threads(shards: Path) -> None:
    """Closing the generator after one batch ends its threads."""
    found = batches(shards, "train", BATCH, seed=1)
    next(found)
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_numpy_batches_do_not_import_tensorflow(shards: Path) -> None:
    """`loader.batches` works where TensorFlow is not installed, and costs nothing of it where it is."""
    code = (
        "import sys; from pathlib import Path; from pipeline.loader import batches\n"
        f"sum(len(label) for _, label in batches(Path({str(shards)!r}), 'train', 100, seed=1))\n"
        "sys.exit('tensorflow' in sys.modules or 'polars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": "training"},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": 2**64},
        {"epoch": -1},
        {"rank": 2, "world_size": 2},
        {"first_batch": -1},
    ],
)
def test_values_out_of_range_are_refused(shards: Path, wrong: dict[str, Any]) -> None:
    """A value out of range is an error at once, not at the first batch."""
    arguments = {"split": "train", "batch_size": 10, "seed": 1} | wrong
    with pytest.raises(OptionError, match=next(iter(wrong))):
        batches(shards, **arguments)


def test_missing_dataset_and_missing_format(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    """No manifest is a `ManifestError`; a format that is not stored names the option of convert."""
    with pytest.raises(ManifestError):
        batches(tmp_path, "train", 10, seed=1)
    only = make_dataset(numbered(50), formats=("parquet",))
    with pytest.raises(DatasetError) as caught:
        batches(only, "train", 10, seed=1, shard_format="tfrecord")
    assert "--format tfrecord" in caught.value.hint


@pytest.fixture
def damaged(shards: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to be damaged."""
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "flipped", "shorter"])
def test_damaged_shards_are_named(damaged: Path, shard_format: ShardFormat, damage: str) -> None:
    """A shard missing, cut, empty, flipped in one bit or of fewer records is an error that names it."""
    path = damaged / f"train-00001-of-00005.{shard_format}"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        shorter = damaged / f"val-00000-of-00001.{shard_format}"
        path.write_bytes(shorter.read_bytes())
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"cut": data[: middle - 3], "empty": b"", "flipped": flipped}[damage])
    with pytest.raises(ShardError, match=path.name):
        list(batches(damaged, "train", BATCH, seed=1, shard_format=shard_format, verify_checksums=True))


def test_a_column_that_is_missing_or_holds_nulls_is_an_error(damaged: Path) -> None:
    """A Parquet file of the right name with the wrong columns, or with nulls, is damaged."""
    path = damaged / "train-00001-of-00005.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["half"]), path)
    with pytest.raises(ShardError, match="half"):
        list(batches(damaged, "train", BATCH, seed=1))
    nulls = pa.array([None] * table.num_rows, pa.float32())
    pq.write_table(table.set_column(2, "half", nulls), path)
    with pytest.raises(ShardError, match="nulls"):
        list(batches(damaged, "train", BATCH, seed=1))
