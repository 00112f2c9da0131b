"""Owns what a scan of a shard yields: some records by column, everything in them that is a number.

Neighbours: `scan_parquet` and `scan_tfrecord` fill it, `verify` adds it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scanned:
    """Some records, in the order of the shard; valid until the scan goes on.

    features  in the order of the manifest, float32 (num_records,) each
    others    by name, the columns that are no features and no text: int64, float32 or float64 (num_records,)
    """

    features: tuple[NDArray[np.float32], ...]
    others: dict[str, NDArray[Any]]

    @property
    def num_records(self) -> int:
        """The number of records."""
        return len(next(iter((*self.features, *self.others.values()))))
