"""Row groups read without decoding: the values that pyarrow reads, or nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.loader.plain_pages import read_plain

if TYPE_CHECKING:
    from pathlib import Path

TYPES = {"label": "int64", "a": "float32", "b": "float32", "kind": "int64", "weight": "float64"}
# As formats.parquet writes them.
OURS: dict[str, Any] = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
OURS |= {"write_page_checksum": True, "data_page_size": 1 << 30, "write_batch_size": 1 << 20}


def table_of(num_records: int, types: dict[str, str] = TYPES, *, nullable: bool = False) -> pa.Table:
    """Return a table with any bits at all in its columns."""
    rng = np.random.default_rng(num_records)
    arrays = [
        pa.array(np.frombuffer(rng.bytes(num_records * np.dtype(dtype).itemsize), dtype))
        for dtype in types.values()
    ]
    fields = [
        pa.field(name, array.type, nullable=nullable) for name, array in zip(types, arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def read(path: Path, group_index: int, types: dict[str, str] = TYPES) -> dict[str, bytes] | None:
    """Return what is read of a row group, as bytes, or None."""
    footer = pq.read_metadata(path)
    num_records = footer.row_group(group_index).num_rows
    into = {name: np.zeros(num_records, dtype) for name, dtype in types.items()}
    if not read_plain(path, footer, group_index, into):
        return None
    return {name: values.tobytes() for name, values in into.items()}


def as_bytes(table: pa.Table, types: dict[str, str] = TYPES) -> dict[str, bytes]:
    """Return the columns of a table as bytes."""
    return {name: table.column(name).to_numpy().astype(dtype).tobytes() for name, dtype in types.items()}


@pytest.mark.parametrize("num_records", [1, 7, 20_000, 20_001, 50_000])
def test_values_are_those_that_were_written(num_records: int, tmp_path: Path) -> None:
    """In one page or several, with and without checksums, in the first row group and in others."""
    path, table = tmp_path / "shard.parquet", table_of(num_records)
    for options in (OURS, OURS | {"write_page_checksum": False}):
        pq.write_table(table, path, row_group_size=max(1, num_records // 3), **options)
        begin = 0
        for index in range(pq.read_metadata(path).num_row_groups):
            size = pq.read_metadata(path).row_group(index).num_rows
            assert read(path, index) == as_bytes(table.slice(begin, size))
            begin += size
        assert begin == num_records


def test_columns_behind_those_wanted_are_not_read(tmp_path: Path) -> None:
    """Of the first columns any texts may follow; columns between those wanted are left to pyarrow."""
    path, table = tmp_path / "shard.parquet", table_of(1000)
    pq.write_table(table.append_column("text", pa.array(["x" * (n % 9) for n in range(1000)])), path, **OURS)
    assert read(path, 0) == as_bytes(table)
    some = {name: dtype for name, dtype in TYPES.items() if name != "a"}
    assert read(path, 0, some) is None


@pytest.mark.parametrize(
    "other",
    [
        {"compression": "zstd"},
        {"compression": "snappy"},
        {"use_dictionary": True},
        {"data_page_version": "2.0"},
        {"column_encoding": "BYTE_STREAM_SPLIT"},
        {"nullable": True},
    ],
    ids=str,
)
def test_what_is_not_plain_is_left_to_pyarrow(other: dict[str, Any], tmp_path: Path) -> None:
    """Compressed, encoded, in pages of another kind, with nulls: nothing is read."""
    types = {"a": "float32", "b": "float32"}
    table = table_of(1000, types, nullable=other.pop("nullable", False))
    path = tmp_path / "shard.parquet"
    pq.write_table(table, path, **OURS | other)
    assert read(path, 0, types) is None


def test_no_flipped_bit_and_no_cut_gives_other_sizes(tmp_path: Path) -> None:
    """Of a damaged header nothing comes, or what pyarrow reads as well; of a file that is cut, nothing."""
    path, types = tmp_path / "shard.parquet", {"a": "float32", "b": "float32"}
    table = table_of(50, types)
    pq.write_table(table, path, **OURS)
    data, footer = path.read_bytes(), pq.read_metadata(path)
    expected = as_bytes(table, types)
    header_bytes = footer.row_group(0).total_byte_size // 2 - 200
    refused = 0
    for bit in range(8 * header_bytes):
        flipped = bytearray(data)
        flipped[4 + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        into = {name: np.zeros(50, dtype) for name, dtype in types.items()}
        if read_plain(path, footer, 0, into):
            assert {name: values.tobytes() for name, values in into.items()} == expected
        else:
            refused += 1
    # All bits but those of the checksum, and of how levels are encoded that are not there.
    assert refused >= 8 * (header_bytes - 6) - 2
    for num_bytes in (0, 3, 4, 20, 4 + header_bytes, 4 + header_bytes + 199, len(data) // 2):
        path.write_bytes(data[:num_bytes])
        into = {name: np.zeros(50, dtype) for name, dtype in types.items()}
        assert not read_plain(path, footer, 0, into)
