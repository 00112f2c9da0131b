"""Owns what passes between a conversion and a format: finished records, ready to be encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardColumn:
    """A column as a shard holds it, in the order of the CSV."""

    name: str
    role: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardBatch:
    """Records in their final order and units: one row group of a shard.

    features  float32 (num_features, num_records), C order: by column
    others    by column name: the label, the weight and the kept columns, (num_records,) each
    """

    features: NDArray[np.float32]
    others: dict[str, NDArray[Any] | pa.Array]

    @property
    def num_records(self) -> int:
        """The number of records."""
        return int(self.features.shape[1])
