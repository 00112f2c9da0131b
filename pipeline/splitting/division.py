"""Owns the division: from its key and its split value to the split of a record, once the cuts are decided.

Neighbours: `deciding` makes divisions, `runs.splits` gathers by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

LEAST = -(1 << 63)  # as a cut: no record lies up to it
GREATEST = (1 << 63) - 1  # every record does
SIGN = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """What is cut: the split values of all records, or the keys of each of the `strata`, ascending values."""

    strata: Integers | None = None

    @property
    def num_strata(self) -> int:
        """The number of strata, 1 where all records are one."""
        return 1 if self.strata is None else len(self.strata)

    def places(self, keys: NDArray[np.uint64], values: Integers) -> tuple[NDArray[np.intp], Integers]:
        """Return the stratum of each record, and where on the axis it lies; both (num_records,)."""
        if self.strata is None:
            return np.zeros(len(values), np.intp), values
        return np.searchsorted(self.strata, values), (keys ^ SIGN).view(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Division:
    """The cuts of each stratum, int64 (2, num_strata): the last place of train, the last one of val.

    >>> values = np.array([30, 10, 20, 40])
    >>> division = Division(axis=Axis(), cuts=np.array([[20], [30]]))
    >>> division.split_of(values.astype(np.uint64), values)
    array([1, 0, 0, 2], dtype=uint8)
    """

    axis: Axis
    cuts: Integers

    def split_of(self, keys: NDArray[np.uint64], values: Integers) -> NDArray[np.uint8]:
        """Return the split of each record as its index, uint8 (num_records,)."""
        strata, places = self.axis.places(keys, values)
        cuts = self.cuts[:, 0, np.newaxis] if self.axis.strata is None else self.cuts[:, strata]
        splits: NDArray[np.uint8] = (places > cuts).view(np.uint8).sum(axis=0, dtype=np.uint8)
        return splits
