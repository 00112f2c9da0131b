"""Owns gathering by a division: the records of any interval of the order (split, key), from all runs.

Splits are no intervals of keys here, so a cell is gathered once for each split that has records in it, and
those of others are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.keys import SPLITS
from pipeline.runs.ranks import batched, between
from pipeline.runs.run import build_run, merge_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.runs.ranks import RankIndex, ReadAhead
    from pipeline.runs.run import Run
    from pipeline.splitting.division import Division


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Census:
    """The survey that counts the records of each cell by split: int64 (num_cells, num_splits)."""

    division: Division

    def look(self, keys: NDArray[np.uint64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts of one cell."""
        splits = self.division.split_of(keys, values)
        return np.bincount(splits, minlength=len(SPLITS))[np.newaxis]

    def merge(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts of cells that follow each other."""
        return np.concatenate([left, right])


class SplitIndex:
    """All records ordered by split and then by key; `counts` is what a `Census` of them found.

    A place is a cell of one split: those of train, then those of val, then those of test. Any number of
    threads may gather from it.
    """

    def __init__(self, index: RankIndex, division: Division, counts: NDArray[np.int64]) -> None:
        self._index = index
        self._division = division
        self._cumulative = np.concatenate([[0], np.cumsum(counts.T.ravel())])
        self.sizes: tuple[int, ...] = tuple(counts.sum(axis=0).tolist())

    @property
    def num_records(self) -> int:
        """The number of records in all runs."""
        return self._index.num_records

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of columns of numbers, integers and texts."""
        return self._index.shape

    def batches(
        self, begin: int, end: int, batch_records: int, *, ahead: ReadAhead | None = None
    ) -> Iterator[tuple[Run, ...]]:
        """Yield the records at the places [begin, end) of the order, as `RankIndex.batches` does."""
        last = 0 if ahead is None else int(np.searchsorted(self._cumulative, ahead.end, side="left"))
        yield from batched(
            between(self._cumulative, begin, end, lambda place: self._at(place, ahead, last)), batch_records
        )

    def _at(self, place: int, ahead: ReadAhead | None, last: int) -> Run:
        """Return the records of a cell that are in its split, ordered."""
        split, cell = divmod(place, self._index.num_cells)
        last = min(last - split * self._index.num_cells, self._index.num_cells)
        parts = [self._chosen(part, split) for part in self._index.parts(cell, ahead, last)]
        return self._index.checked(merge_runs(parts), self._cumulative[place : place + 2])

    def _chosen(self, run: Run, split: int) -> Run:
        """Return the records of `run` that are in `split`."""
        splits = self._division.split_of(run.keys, run.integers[-1])
        order = np.flatnonzero(splits == split)
        return build_run(run.keys, order, numbers=run.numbers, integers=run.integers, texts=run.texts)
