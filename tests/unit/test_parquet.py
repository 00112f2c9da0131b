"""Parquet shards open anywhere, hold exactly what was given, and notice a flipped bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.formats.batch import ShardBatch, ShardColumn
from pipeline.formats.parquet import EXTENSION, ShardWriter
from pipeline.storage import HashedFile

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (
    ShardColumn(name="a", role="feature", dtype="float32"),
    ShardColumn(name="label", role="label", dtype="int64"),
    ShardColumn(name="b, c", role="feature", dtype="float32"),
    ShardColumn(name="w", role="weight", dtype="float32"),
    ShardColumn(name="x", role="keep", dtype="float64"),
    ShardColumn(name="t", role="keep", dtype="string"),
)
METADATA = {"pipeline.split": "val", "pipeline.shard": "1 of 2", "pipeline.fingerprint": "é0"}


def batch_of(num_records: int, *, seed: int) -> ShardBatch:
    """Return random records of `COLUMNS`."""
    rng = np.random.default_rng(seed)
    return ShardBatch(
        features=rng.normal(size=(2, num_records)).astype(np.float32),
        others={
            "label": rng.integers(0, 2, num_records),
            "w": rng.uniform(size=num_records).astype(np.float32),
            "x": rng.normal(size=num_records),
            "t": pa.array([f"é {index}\n" for index in range(num_records)], pa.large_string()),
        },
    )


def write(path: Path, *batches: ShardBatch, compression: str = "none") -> Path:
    """Write a shard of `batches` to `path`."""
    with HashedFile(path) as sink:
        writer = ShardWriter(sink, COLUMNS, metadata=METADATA, compression=compression)
        for batch in batches:
            writer.write(batch)
        writer.close()
        sink.publish()
    return path


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
def test_what_is_written_is_read_back(tmp_path: Path, compression: str) -> None:
    """Every value is read back to the bit, columns in the order of the CSV, with their types."""
    batch = batch_of(500, seed=1)
    table = pq.read_table(write(tmp_path / "a.parquet", batch, compression=compression))
    assert table.column_names == ["a", "label", "b, c", "w", "x", "t"]
    assert [str(kind) for kind in table.schema.types] == [
        "float",
        "int64",
        "float",
        "float",
        "double",
        "string",
    ]
    np.testing.assert_array_equal(table.column("a").to_numpy(), batch.features[0])
    np.testing.assert_array_equal(table.column("b, c").to_numpy(), batch.features[1])
    for name in ("label", "w", "x"):
        np.testing.assert_array_equal(table.column(name).to_numpy(), batch.others[name])
    assert table.column("t").to_pylist() == pa.array(batch.others["t"]).to_pylist()


def test_one_row_group_per_batch(tmp_path: Path) -> None:
    """Batches become row groups, each column of one a single page."""
    shard = pq.ParquetFile(write(tmp_path / "a.parquet", batch_of(300, seed=1), batch_of(7, seed=2)))
    assert [shard.metadata.row_group(group).num_rows for group in range(2)] == [300, 7]
    assert shard.metadata.num_rows == 307


def test_nothing_is_nullable_and_no_index_is_stored(tmp_path: Path) -> None:
    """Columns are required; neither pandas nor Arrow leaves notes of its own."""
    shard = pq.ParquetFile(write(tmp_path / "a.parquet", batch_of(3, seed=1)))
    assert not any(field.nullable for field in shard.schema_arrow)
    assert set(shard.metadata.metadata) == {key.encode() for key in METADATA}


def test_the_file_names_split_shard_and_dataset(tmp_path: Path) -> None:
    """The key-value metadata are those given."""
    shard = pq.ParquetFile(write(tmp_path / "a.parquet", batch_of(3, seed=1)))
    found = {key.decode(): value.decode() for key, value in shard.metadata.metadata.items()}
    assert found == METADATA


def test_same_batches_same_bytes(tmp_path: Path) -> None:
    """Nothing of time or place is in the file."""
    first = write(tmp_path / "a.parquet", batch_of(1000, seed=1)).read_bytes()
    (tmp_path / "elsewhere").mkdir()
    second = write(tmp_path / "elsewhere" / "b.parquet", batch_of(1000, seed=1)).read_bytes()
    assert first == second
    assert str(tmp_path).encode() not in first


def test_many_equal_values_make_no_dictionary(tmp_path: Path) -> None:
    """Encoding does not depend on the values: their number alone decides the size."""
    few = ShardBatch(features=np.zeros((2, 1000), np.float32), others=batch_of(1000, seed=1).others)
    sizes = [
        write(tmp_path / name, batch).stat().st_size
        for name, batch in (("a", few), ("b", batch_of(1000, seed=1)))
    ]
    assert sizes[0] == sizes[1]


def test_a_flipped_bit_in_a_page_is_noticed(tmp_path: Path) -> None:
    """Pages carry checksums: a reader that verifies them refuses each flipped bit of the values."""
    batch = batch_of(200, seed=1)
    path = write(tmp_path / "a.parquet", batch)
    clean = path.read_bytes()
    at = clean.index(batch.features[0].tobytes())
    for place in (at, at + 399, at + 799):
        damaged = bytearray(clean)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(OSError, match="CRC"):
            pq.read_table(path, page_checksum_verification=True)
        pq.read_table(path)  # which is why it must be asked for


def test_a_batch_of_no_records_is_fine(tmp_path: Path) -> None:
    """An empty batch makes an empty row group at most; the file still opens."""
    assert pq.read_table(write(tmp_path / "a.parquet", batch_of(0, seed=1))).num_rows == 0


def test_the_extension_is_what_readers_look_for() -> None:
    """Shards end in .parquet."""
    assert EXTENSION == "parquet"
