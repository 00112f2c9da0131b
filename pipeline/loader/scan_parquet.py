"""Owns a Parquet shard decoded from beginning to end, one row group in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.loader.parquet_footer import DAMAGE, damaged, footer_of
from pipeline.loader.read_parquet import column_values
from pipeline.loader.scanned import Scanned
from pipeline.manifest.checks import record_bytes
from pipeline.plan import row_group_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.manifest import Manifest


def scan_parquet(path: Path, manifest: Manifest) -> Iterator[Scanned]:
    """Yield the records of a shard, a row group at a time; texts are valid UTF-8.

    Page checksums are verified in the first row group only, as a test of the writer: who has hashed all bytes
    needs no other proof of them, and it would take a tenth of the time.

    Raises:
        ShardError: the bytes are damaged, or the row groups are larger than those of the format.
    """
    footer = footer_of(path)
    most = row_group_records(record_bytes(manifest))
    try:
        for index in range(footer.num_row_groups):
            num_records = footer.row_group(index).num_rows
            if num_records > most:
                raise pa.ArrowInvalid(f"a row group of {num_records} records, expected at most {most}")
            verifies = index == 0
            with pq.ParquetFile(
                path, metadata=footer, page_checksum_verification=verifies, pre_buffer=False
            ) as file:
                yield _scanned(file.read_row_group(index, use_threads=False), manifest)
    except DAMAGE as error:
        raise damaged(path, error) from None


def _scanned(table: pa.Table, manifest: Manifest) -> Scanned:
    others = {}
    for column in manifest.columns:
        if column.dtype == "string":
            _check_texts(table.column(column.name))
        elif column.role != "feature":
            others[column.name] = column_values(table, column.name, column.dtype)
    features = (column_values(table, column.name, column.dtype) for column in manifest.features)
    return Scanned(features=tuple(features), others=others)


def _check_texts(texts: pa.ChunkedArray) -> None:
    texts.validate(full=True)
    if texts.null_count:
        raise pa.ArrowInvalid("a text column holds nulls")
