"""Owns randomness for the simulation: one Philox stream per block, read as raw bits only.

NumPy promises to keep the raw bits of a seeded Philox (NEP 19), not what its distributions make of them. So
a distribution is a table of its quantiles here, with straight lines between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulation.elementary import sine_cosine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TABLE_BITS = 12  # of the 32 bits of a draw: the others say where between two quantiles
_OFFSET_BITS = 32 - _TABLE_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """A distribution as 4,097 quantiles: `lower` and the `step` to the next, float64 (4096,) each."""

    lower: NDArray[np.float64]
    step: NDArray[np.float64]


def quantiles_of(inverse: Callable[[float], float]) -> Quantiles:
    """Return the table of the distribution whose inverse cumulative function is `inverse`, on (0, 1).

    The ends are taken a quarter of a step inside, so that tails end instead of reaching infinity. Quantiles
    are rounded to float32: C libraries differ in the last bit of `exp`, and this hides it.
    """
    num_steps = 1 << _TABLE_BITS
    shares = [0.25, *range(1, num_steps), num_steps - 0.25]
    values = np.array([inverse(share / num_steps) for share in shares], np.float32).astype(np.float64)
    return Quantiles(lower=values[:-1], step=np.diff(values))


class Draws:
    """The random numbers of one block, in the order in which they are asked for."""

    __slots__ = ("_stream",)

    def __init__(self, *, seed: int, block: int) -> None:
        # An array, since NumPy makes floats of a list in which one number needs all 64 bits.
        self._stream = np.random.Philox(key=np.array([seed, block], np.uint64))

    def words(self, num_rows: int, num_records: int) -> NDArray[np.uint32]:
        """Return uniform 32-bit words, uint32 (num_rows, num_records)."""
        num_words = num_rows * num_records
        raw = self._stream.random_raw((num_words + 1) // 2)
        halves: NDArray[np.uint32] = raw.astype("<u8", copy=False).view("<u4")[:num_words]
        return halves.reshape(num_rows, num_records)

    def fractions(self, num_rows: int, num_records: int) -> NDArray[np.float64]:
        """Return uniform numbers in (0, 1), float64 (num_rows, num_records)."""
        return (self.words(num_rows, num_records).astype(np.float64) + 0.5) * 2.0**-32

    def of(self, quantiles: Quantiles, num_rows: int, num_records: int) -> NDArray[np.float64]:
        """Return draws from the distribution of `quantiles`, float64 (num_rows, num_records)."""
        words = self.words(num_rows, num_records)
        index = (words >> np.uint32(_OFFSET_BITS)).astype(np.intp)
        offset = (words & np.uint32((1 << _OFFSET_BITS) - 1)).astype(np.float64) * 2.0**-_OFFSET_BITS
        return quantiles.lower[index] + quantiles.step[index] * offset

    def directions(self, num_rows: int, num_records: int) -> NDArray[np.float64]:
        """Return unit vectors, the same share into every solid angle, float64 (3, num_rows, num_records)."""
        along = 2 * self.fractions(num_rows, num_records) - 1
        across = np.sqrt(1 - along * along)
        sine, cosine = sine_cosine(self.fractions(num_rows, num_records))
        return np.stack([across * cosine, across * sine, along])
