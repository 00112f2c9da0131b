"""Owns the survey: something small that is counted of all records, by their keys and split values alone.

Neighbours: `splitting.search` and `splits` say what is counted, `convert.work` and `convert.cluster` spread
the cells over tasks.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.runs.ranks import RankIndex, ReadAhead

Value = TypeVar("Value")


class Survey(Protocol[Value]):
    """What is looked for; picklable, and the same however the cells are spread over tasks."""

    def look(self, keys: NDArray[np.uint64], values: NDArray[np.int64]) -> Value:
        """Return what the records of one cell come to, from keys and split values, both (num_records,)."""

    def merge(self, left: Value, right: Value) -> Value:
        """Return what the cells of `left` and those of `right`, which follow them, come to together."""


def stretches(index: RankIndex, count: int) -> list[tuple[int, int]]:
    """Return about `count` intervals [first, last) of cells that hold about as many records each."""
    cuts = np.unique([index.cell_at(index.num_records * part // count) for part in range(1, count)])
    inner = [cut for cut in cuts.tolist() if 0 < cut < index.num_cells]
    return list(zip([0, *inner], [*inner, index.num_cells], strict=True))


def surveyed(
    index: RankIndex, cells: tuple[int, int], survey: Survey[Value], *, ahead: ReadAhead | None = None
) -> Value:
    """Return what the cells [first, last) come to; takes the memory of one, and what is read `ahead`."""
    first, last = cells
    seen = (survey.look(*index.split_values(cell, ahead, last)) for cell in range(first, last))
    return functools.reduce(survey.merge, seen)
