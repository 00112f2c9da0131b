"""Owns reading a range of records from a Parquet shard, whole row groups at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShardError
from pipeline.loader.parquet_footer import DAMAGE, TYPES, damaged, footer_of
from pipeline.loader.rows import REMAKE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.loader.rows import Columns, Rows

TILE_RECORDS = 512  # what is transposed at once: of 32 float32 these are 64 KiB, well within a core's L2
LABEL_TYPES = {"int64": "int64", "float32": "float64"}  # a label that is a number is a double in a shard


def read_parquet(
    path: Path, *, begin: int, end: int, columns: Columns, into: Rows, verify_checksums: bool
) -> None:
    """Read the records [begin, end) of a shard into `into`, whole row groups at a time.

    Without `verify_checksums`, a quarter faster, a flipped bit is just another number.

    Raises:
        ShardError: the file is missing, damaged, or holds other records than the manifest says.
    """
    footer = footer_of(path)
    names = [*columns.features, *columns.categories, columns.label]
    names += [columns.weight] if columns.weight else []
    try:
        # Not memory-mapped: a file that shrinks while it is mapped kills the process.
        with pq.ParquetFile(
            path, metadata=footer, page_checksum_verification=verify_checksums, pre_buffer=False
        ) as file:
            start = filled = 0
            for group_index in range(file.metadata.num_row_groups):
                stop = start + file.metadata.row_group(group_index).num_rows
                if start < end and stop > begin:
                    table = file.read_row_group(group_index, columns=names, use_threads=False)
                    table = table.slice(max(begin - start, 0), min(end, stop) - max(begin, start))
                    _fill(into.between(filled, filled + table.num_rows), table, columns)
                    filled += table.num_rows
                start = stop
    except DAMAGE as error:
        raise damaged(path, error) from None
    if filled != end - begin:
        raise ShardError(f"{start} records, expected at least {end}", path=str(path), hint=REMAKE)


def _fill(into: Rows, table: pa.Table, columns: Columns) -> None:
    by_column = np.stack(
        [
            *(column_values(table, name, "float32") for name in columns.features),
            *(column_values(table, name, "int64").astype(np.float32) for name in columns.categories),
        ]
    )
    # Tile by tile: copying the transposed whole would touch every line of the cache once per column.
    for begin in range(0, table.num_rows, TILE_RECORDS):
        into.features[begin : begin + TILE_RECORDS] = by_column[:, begin : begin + TILE_RECORDS].T
    into.label[:] = column_values(table, columns.label, LABEL_TYPES[columns.label_dtype])
    if into.weight is not None and columns.weight is not None:
        into.weight[:] = column_values(table, columns.weight, "float32")


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
