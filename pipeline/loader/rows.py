"""Owns what passes through the loader: some records as arrays, and which columns they are made of.

Neighbours: `read_parquet` and `read_tfrecord` fill them from a shard, `reader` permutes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE_LINE_BYTES = 64
REMAKE = "make the dataset again: pipeline convert SOURCE SHARDS --overwrite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns to read: names of the features, of the label with its dtype, of the weight if any.

    The columns of a batch's features are the numbers `features`, then the `categories`, each as its integer
    in the shards: float32 holds those below 2**24.
    """

    features: tuple[str, ...]
    label: str
    label_dtype: str
    weight: str | None
    categories: tuple[str, ...] = ()

    @property
    def num_columns(self) -> int:
        """The number of columns of a batch's features."""
        return len(self.features) + len(self.categories)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Some records as arrays.

    features  float32 (num_records, num_features), C order
    label     int64 class index or float32 number (num_records,)
    weight    float32 (num_records,), or None
    """

    features: NDArray[np.float32]
    label: NDArray[Any]
    weight: NDArray[np.float32] | None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays that a batch consists of: features, label and, where there is one, weight."""
        return (
            (self.features, self.label) if self.weight is None else (self.features, self.label, self.weight)
        )

    def between(self, begin: int, end: int) -> Rows:
        """Return the records [begin, end), not copied."""
        return Rows(
            features=self.features[begin:end],
            label=self.label[begin:end],
            weight=None if self.weight is None else self.weight[begin:end],
        )

    def copy(self) -> Rows:
        """Return the records in arrays of their own."""
        return Rows(
            features=self.features.copy(),
            label=self.label.copy(),
            weight=None if self.weight is None else self.weight.copy(),
        )


def empty(num_records: int, columns: Columns) -> Rows:
    """Return uninitialized arrays for `num_records` records."""
    return Rows(
        features=_aligned((num_records, columns.num_columns), "float32"),
        label=_aligned((num_records,), columns.label_dtype),
        weight=None if columns.weight is None else _aligned((num_records,), "float32"),
    )


def _aligned(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    # TensorFlow takes over an array without copying it only where it begins at a cache line.
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(num_bytes + CACHE_LINE_BYTES, np.uint8)
    begin = -memory.ctypes.data % CACHE_LINE_BYTES
    return memory[begin : begin + num_bytes].view(dtype).reshape(shape)


def taken(rows: Rows, order: NDArray[np.int64], columns: Columns) -> Rows:
    """Return the records of `rows` at the positions `order`, in arrays of their own."""
    into = empty(len(order), columns)
    for source, target in zip(rows.arrays, into.arrays, strict=True):
        # Positions are valid by construction; any mode but "raise" writes without a buffer in between.
        np.take(source, order, axis=0, out=target, mode="clip")
    return into
