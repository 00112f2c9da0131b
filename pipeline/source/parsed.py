"""Owns what both parsers return for one byte range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row set aside.

    `line` counts from 1, `record_index` and `byte_offset` from 0, at the start of the range until `convert`
    knows what lies before it.
    """

    record_index: int
    line: int
    byte_offset: int
    column: str | None
    code: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParsedRange:
    """The records of one byte range, by column, in the order of the text.

    numbers   float64 (num_number_columns, num_kept), NaN where a value is missing and may be
    integers  int64 (num_integer_columns, num_kept)
    texts     one Arrow large_string array of num_kept values per text column
    splits    Arrow float64 or large_string array of the column that is read for its split alone
    kept      which of the `num_records` records these are, ascending; None means all
    """

    num_records: int
    kept: NDArray[np.intp] | None
    numbers: NDArray[np.float64]
    integers: NDArray[np.int64]
    texts: tuple[pa.LargeStringArray, ...]
    splits: pa.DoubleArray | pa.LargeStringArray | None = None
    rejects: tuple[Reject, ...] = ()
    num_blank: int = 0
    num_lines: int = 0

    @property
    def num_kept(self) -> int:
        """The number of records that were not set aside."""
        return int(self.numbers.shape[1])

    def record_index(self, position: int) -> int:
        """Return which record of the text is kept at `position`."""
        return position if self.kept is None else int(self.kept[position])
