"""Owns reading a range of records from a Parquet shard, whole row groups at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShardError
from pipeline.loader.parquet_footer import DAMAGE, TYPES, damaged, footer_of
from pipeline.loader.plain_pages import read_plain
from pipeline.loader.rows import REMAKE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.loader.rows import Columns, Rows

TILE_RECORDS = 512  # what is transposed at once: of 32 float32 these are 64 KiB, well within a core's L2
LABEL_TYPES = {"int64": "int64", "float32": "float64"}  # a label that is a number is a double in a shard


def read_parquet(
    path: Path, *, begin: int, end: int, columns: Columns, into: Rows, verify_checksums: bool
) -> None:
    """Read the records [begin, end) of a shard into `into`, whole row groups at a time.

    Without `verify_checksums`, two fifths faster, a flipped bit is just another number.

    Raises:
        ShardError: the file is missing, damaged, or holds other records than the manifest says.
    """
    footer = footer_of(path)
    start = filled = 0
    try:
        for group_index in range(footer.num_row_groups):
            stop = start + footer.row_group(group_index).num_rows
            if start < end and stop > begin:
                group = Group(stop - start, columns)
                if verify_checksums or not read_plain(path, footer, group_index, group.by_name):
                    _decode(path, footer, group_index, group.by_name, verify_checksums=verify_checksums)
                low, high = max(begin - start, 0), min(end, stop) - start
                group.transpose(low, into.between(filled, filled + high - low))
                filled += high - low
            start = stop
    except DAMAGE as error:
        raise damaged(path, error) from None
    if filled != end - begin:
        raise ShardError(f"{start} records, expected at least {end}", path=str(path), hint=REMAKE)


class Group:
    """The columns of a row group, to be filled in `by_name`: contiguous arrays of their types."""

    def __init__(self, num_records: int, columns: Columns) -> None:
        self._columns = columns
        self._numbers = np.empty((columns.num_columns, num_records), np.float32)
        self.by_name: dict[str, NDArray[Any]] = dict(zip(columns.features, self._numbers, strict=False))
        self.by_name |= {name: np.empty(num_records, np.int64) for name in columns.categories}
        self.by_name[columns.label] = np.empty(num_records, LABEL_TYPES[columns.label_dtype])
        if columns.weight:
            self.by_name[columns.weight] = np.empty(num_records, np.float32)

    def transpose(self, begin: int, into: Rows) -> None:
        """Fill `into` with the records from `begin` on."""
        columns, num_records = self._columns, len(into.label)
        for row, name in enumerate(columns.categories, start=len(columns.features)):
            self._numbers[row] = self.by_name[name]
        numbers = self._numbers[:, begin : begin + num_records]
        # Tile by tile: copying the transposed whole would touch every line of the cache once per column.
        for low in range(0, num_records, TILE_RECORDS):
            into.features[low : low + TILE_RECORDS] = numbers[:, low : low + TILE_RECORDS].T
        into.label[:] = self.by_name[columns.label][begin : begin + num_records]
        if into.weight is not None and columns.weight is not None:
            into.weight[:] = self.by_name[columns.weight][begin : begin + num_records]


def _decode(
    path: Path,
    footer: pq.FileMetaData,
    group_index: int,
    into: Mapping[str, NDArray[Any]],
    *,
    verify_checksums: bool,
) -> None:
    """Fill `into` with the columns of a row group as pyarrow reads them, whatever their encoding."""
    # Not memory-mapped: a file that shrinks while it is mapped kills the process.
    with pq.ParquetFile(
        path, metadata=footer, page_checksum_verification=verify_checksums, pre_buffer=False
    ) as file:
        table = file.read_row_group(group_index, columns=[*into], use_threads=False)
    if any(table.num_rows != len(values) for values in into.values()):
        raise pa.ArrowInvalid("a row group has other records than its footer says")
    for name, values in into.items():
        values[:] = column_values(table, name, values.dtype.name)


def column_values(table: pa.Table, name: str, dtype: str) -> NDArray[Any]:
    """Return a column of `table`, not copied where it is in one piece.

    Raises:
        pyarrow.ArrowInvalid: it has another type than `dtype` or holds nulls.
    """
    column = table.column(name)
    if column.type != TYPES[dtype]:
        raise pa.ArrowInvalid(f"column {name!r} is {column.type}, expected {dtype}")
    if column.null_count:
        raise pa.ArrowInvalid(f"column {name!r} holds nulls")
    # Not to_numpy(): that imports pandas where it is installed, for a second and 40 MB.
    parts = [
        np.frombuffer(part.buffers()[1], dtype, len(part), part.offset * np.dtype(dtype).itemsize)
        for part in column.chunks
    ]
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, dtype)])
