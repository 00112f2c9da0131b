"""Owns Parquet shards: one column per CSV column, one row group per batch, page checksums on.

Source: Apache Parquet format specification, sections "Data Pages" and "Checksumming".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.formats.batch import ShardBatch, ShardColumn
    from pipeline.storage import HashedFile

EXTENSION = "parquet"
ARROW_TYPES = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "string": pa.string(),
}


class ShardWriter:
    """Writes one shard, a row group per batch; a context manager.

    The same batches give the same bytes: no dictionary whose fate depends on a size limit, no pandas index,
    nothing of the time or place.
    """

    def __init__(
        self,
        sink: HashedFile,
        columns: Sequence[ShardColumn],
        *,
        metadata: Mapping[str, str],
        compression: str,
    ) -> None:
        self._columns = columns
        self._schema = pa.schema([pa.field(c.name, ARROW_TYPES[c.dtype], nullable=False) for c in columns])
        self._writer = pq.ParquetWriter(
            sink,
            self._schema,
            compression=compression,
            use_dictionary=False,  # standardized floats hardly ever repeat
            write_statistics=False,  # min and max of shuffled row groups exclude nothing
            write_page_checksum=True,
            store_schema=False,
            data_page_size=1 << 30,  # few pages, since row groups are read whole; pyarrow cuts at 20,000 rows
            write_batch_size=1 << 20,
        )
        self._writer.add_key_value_metadata(dict(metadata))

    def write(self, batch: ShardBatch) -> None:
        """Append the records of `batch` as one row group."""
        table = to_arrow(batch, self._columns, self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def close(self) -> None:
        """Write the footer; the sink stays open."""
        self._writer.close()

    def abandon(self) -> None:
        """Forget what is not yet written; the sink may be closed already."""
        self._writer.is_open = False  # or its destructor would write a footer, and complain to standard error


def to_arrow(batch: ShardBatch, columns: Sequence[ShardColumn], schema: pa.Schema) -> pa.Table:
    """Return the batch as an Arrow table with the columns in the order of the CSV."""
    features = iter(batch.features)
    arrays = [
        _array(next(features) if c.role == "feature" else batch.others[c.name], field.type)
        for c, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: NDArray[Any] | pa.Array, dtype: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values.cast(dtype)
    # Not pa.array(): that imports pandas where it is installed, for a third of a second and 50 MB.
    contiguous = np.ascontiguousarray(values)
    return pa.Array.from_buffers(dtype, len(contiguous), [None, pa.py_buffer(contiguous)])
