"""Owns reading one column of a split that no batch holds, such as a kept one, in the order on disk.

That is the order of an epoch that is not shuffled. Neighbours: `reader` reads what is trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShardError
from pipeline.formats.tf_example import TfField
from pipeline.formats.tfrecord import KINDS
from pipeline.loader.parquet_footer import footer_of
from pipeline.loader.read_tfrecord import read_fields
from pipeline.loader.rows import REMAKE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.manifest import ColumnEntry, ShardEntry, Split
    from pipeline.plan import ShardFormat

BLOCK_RECORDS = 65_536  # half a MiB of doubles at a time


def read_column(
    shards: Path, split: Split, column: ColumnEntry, *, shard_format: ShardFormat
) -> Iterator[NDArray[Any] | pa.Array]:
    """Yield the values of `column` for all records of `split`, some at a time; bounded memory.

    Numbers come as NumPy arrays of the dtype in the shards (of TFRecord, float32 for float64), texts as Arrow
    arrays. Every checksum is verified.

    Raises:
        ShardError: a shard is missing, damaged, or holds other records than the manifest says.
    """
    reader = _of_parquet if shard_format == "parquet" else _of_tfrecord
    for entry in split.of_format(shard_format):
        num_records = 0
        for values in reader(shards / entry.path, entry, column):
            num_records += len(values)
            yield values
        if num_records != entry.records:
            message = f"{num_records} records, expected {entry.records}"
            raise ShardError(message, path=str(shards / entry.path), hint=REMAKE)


def _of_parquet(path: Path, _entry: ShardEntry, column: ColumnEntry) -> Iterator[NDArray[Any] | pa.Array]:
    try:
        with pq.ParquetFile(path, metadata=footer_of(path), page_checksum_verification=True) as file:
            for batch in file.iter_batches(BLOCK_RECORDS, columns=[column.name], use_threads=False):
                values = batch.column(column.name)
                yield values if column.dtype == "string" else values.to_numpy()
    except FileNotFoundError:
        raise ShardError("no such shard", path=str(path), hint=REMAKE) from None
    except (OSError, pa.ArrowException, KeyError) as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise ShardError(f"damaged: {message}", path=str(path), hint=REMAKE) from None


def _of_tfrecord(path: Path, entry: ShardEntry, column: ColumnEntry) -> Iterator[NDArray[Any] | pa.Array]:
    fields = [TfField(name=column.name, kind=KINDS[column.dtype])]
    for begin in range(0, entry.records, BLOCK_RECORDS):
        end = min(begin + BLOCK_RECORDS, entry.records)
        (values,) = read_fields(path, begin=begin, end=end, fields=fields)
        yield values if column.dtype == "string" else values.reshape(-1)
