"""Owns TFRecord shards: one `tf.train.Example` per record, written without TensorFlow.

`features` holds the feature vector, `label` and `weight` what they say; kept columns go under their own
names. Neighbours: `tf_example` makes the bytes.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.errors import OptionError
from pipeline.formats.tf_example import Kind, TfColumn, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.formats.batch import ShardBatch, ShardColumn
    from pipeline.storage import HashedFile

EXTENSION = "tfrecord"
GZIP_LEVEL = 1  # standardized floats shrink by a tenth at any level; higher ones only take longer
KINDS: dict[str, Kind] = {"float32": "float", "float64": "float", "int64": "int64", "string": "bytes"}
OWN_NAMES = {"label": "label", "weight": "weight"}


class ShardWriter:
    """Writes one shard. TFRecord has no place for metadata: split and shard are told by the file's name."""

    def __init__(
        self,
        sink: HashedFile,
        columns: Sequence[ShardColumn],
        *,
        metadata: Mapping[str, str],  # noqa: ARG002  # the same signature for every format
        compression: str,
    ) -> None:
        check_names(columns)
        self._columns = columns
        self._sink: HashedFile | gzip.GzipFile = sink
        if compression == "gzip":
            self._sink = gzip.GzipFile("", "wb", GZIP_LEVEL, sink, mtime=0)

    def write(self, batch: ShardBatch) -> None:
        """Append the records of `batch`."""
        self._sink.write(encode(to_tf_columns(batch, self._columns)).data.data)

    def close(self) -> None:
        """Write what compression still holds; the sink stays open."""
        if isinstance(self._sink, gzip.GzipFile):
            self._sink.close()

    def abandon(self) -> None:
        """Do nothing: whatever compression still holds may be lost."""


def check_names(columns: Sequence[ShardColumn]) -> None:
    """Raise if a kept column has a name that the format uses itself.

    Raises:
        OptionError: it has.
    """
    for column in columns:
        if column.role in {"keep", "category"} and column.name in {"features", *OWN_NAMES.values()}:
            raise OptionError(
                f"a TFRecord cannot hold the column {column.name!r}: the format uses that name itself",
                hint=f"rename or drop it, or write Parquet: --drop {column.name}",
            )


def to_tf_columns(batch: ShardBatch, columns: Sequence[ShardColumn]) -> tuple[TfColumn, ...]:
    """Return the columns of the Example records: the feature matrix, then all others."""
    features = TfColumn(name="features", kind="float", values=batch.features.T)
    others = (
        TfColumn(
            name=OWN_NAMES.get(column.role, column.name),
            kind=KINDS[column.dtype],
            values=_narrow(batch.others[column.name]),
        )
        for column in columns
        if column.role != "feature"
    )
    return (features, *others)


def _narrow(values: NDArray[Any] | pa.Array) -> NDArray[Any] | pa.Array:
    # A float_list holds float32 and nothing else.
    if isinstance(values, pa.Array) or values.dtype != np.float64:
        return values
    return values.astype(np.float32)
