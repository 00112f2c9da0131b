"""Owns sorted runs: the records of the source ordered by key, held until every record has been read.

An external-memory shuffle in the sense of a sort by random key: each byte range becomes a run, and any
interval of ranks is gathered from all runs when its shard is written. Knows neither CSV nor formats.
Neighbours: `keys` orders, `convert` adds and gathers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.keys import key_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Ranks are looked up in two steps: the cell of the key space by its counts, then the keys of that cell.
CELL_BITS = 12
CELL_SHIFT = np.uint64(64 - CELL_BITS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Records ordered by key, by column as parser and Parquet have them: nothing is ever transposed.

    keys      uint64 (num_records,), ascending
    numbers   float32 or float64 (num_number_columns, num_records); float32 only where every value survives it
    integers  int64 (num_integer_columns, num_records)
    texts     one Arrow large_string array per text column
    """

    keys: NDArray[np.uint64]
    numbers: NDArray[Any]
    integers: NDArray[np.int64]
    texts: tuple[pa.LargeStringArray, ...]

    @property
    def num_records(self) -> int:
        """The number of records."""
        return len(self.keys)

    @property
    def num_bytes(self) -> int:
        """The memory the records take."""
        arrays = self.keys.nbytes + self.numbers.nbytes + self.integers.nbytes
        return int(arrays + sum(text.nbytes for text in self.texts))

    def between(self, begin: int, end: int) -> Run:
        """Return the records [begin, end) by position, without copying them."""
        return Run(
            keys=self.keys[begin:end],
            numbers=self.numbers[:, begin:end],
            integers=self.integers[:, begin:end],
            texts=tuple(text.slice(begin, end - begin) for text in self.texts),
        )


def narrowed(numbers: NDArray[np.float64]) -> NDArray[Any]:
    """Return `numbers` as float32 if that loses nothing (NaN stays NaN), else as they are.

    Data made from float32 text, as HEPMASS and HIGGS are, need half the memory; the shards come out the same.
    """
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    same = narrow == numbers
    if same.all() or (same | np.isnan(numbers)).all():
        return narrow
    return numbers


def build_run(
    keys: NDArray[np.uint64],
    order: NDArray[np.intp],
    *,
    numbers: NDArray[Any],
    integers: NDArray[np.int64],
    texts: Sequence[pa.LargeStringArray],
) -> Run:
    """Return the run of one batch: everything, given in one order, put into the order `order`."""
    return Run(
        keys=keys[order],
        numbers=take_columns(numbers, order),
        integers=take_columns(integers, order),
        texts=tuple(text.take(pa.array(order)) for text in texts),
    )


def take_columns(values: NDArray[Any], positions: NDArray[np.intp]) -> NDArray[Any]:
    """Return `values[:, positions]`; the positions must be valid.

    Four times faster than indexing: "clip" leaves out a check per element and the copy that guards `out`.
    """
    out = np.empty((len(values), len(positions)), values.dtype)
    return np.take(values, positions, axis=1, out=out, mode="clip")


def merge_runs(runs: Sequence[Run]) -> Run:
    """Return one run of all records of `runs`, ordered by key; copies them.

    Records with equal keys come in an order that depends on their values alone, never on the runs.
    """
    keys = np.concatenate([run.keys for run in runs])
    # Runs of float32 and of float64 may stand beside each other; the wider type holds both exactly.
    dtype = np.result_type(*{run.numbers.dtype for run in runs})
    numbers = np.concatenate([run.numbers for run in runs], axis=1, dtype=dtype)
    integers = np.concatenate([run.integers for run in runs], axis=1)
    texts = [pa.concat_arrays([run.texts[index] for run in runs]) for index in range(len(runs[0].texts))]
    order = key_order(keys)
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = _order_by_value(keys, numbers, integers, texts)
    return build_run(keys, order, numbers=numbers, integers=integers, texts=texts)


def _order_by_value(
    keys: NDArray[np.uint64],
    numbers: NDArray[Any],
    integers: NDArray[np.int64],
    texts: Sequence[pa.LargeStringArray],
) -> NDArray[np.intp]:
    ranks = [np.unique(np.asarray(text.to_pylist(), dtype=str), return_inverse=True)[1] for text in texts]
    return np.lexsort([*ranks, *integers, *numbers, keys])


class RankIndex:
    """Finds which key has a given rank among all records of some runs."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        counts = np.zeros(1 << CELL_BITS, np.int64)
        for run in runs:
            counts += np.bincount((run.keys >> CELL_SHIFT).astype(np.intp), minlength=1 << CELL_BITS)
        self._cumulative = np.concatenate([[0], np.cumsum(counts)])

    @property
    def num_records(self) -> int:
        """The number of records in all runs."""
        return int(self._cumulative[-1])

    def locate(self, rank: int) -> tuple[np.uint64, int]:
        """Return the key of the record of `rank`, and how many records have a smaller key."""
        cell = int(np.searchsorted(self._cumulative, rank, side="right")) - 1
        keys = np.sort(self._keys_of_cell(cell))
        before = int(self._cumulative[cell])
        key = keys[rank - before]
        return key, before + int(np.searchsorted(keys, key, side="left"))

    def rank_of(self, key: int) -> int:
        """Return how many records have a key below `key`."""
        if key >> 64:
            return self.num_records
        bound = np.uint64(key)
        return sum(int(np.searchsorted(run.keys, bound, side="left")) for run in self._runs)

    def _keys_of_cell(self, cell: int) -> NDArray[np.uint64]:
        low, high = np.uint64(cell << (64 - CELL_BITS)), np.uint64(((cell + 1) << (64 - CELL_BITS)) - 1)
        return np.concatenate([_between_keys(run, low, high).keys for run in self._runs])

    def gather(self, begin: int, end: int) -> Run:
        """Return the records of ranks [begin, end), ordered; needs memory for twice their size."""
        if begin == end:
            return self._runs[0].between(0, 0)
        (low, below), (high, _) = self.locate(begin), self.locate(end - 1)
        merged = merge_runs([_between_keys(run, low, high) for run in self._runs])
        return merged.between(begin - below, end - below)


def _between_keys(run: Run, low: np.uint64, high: np.uint64) -> Run:
    """Return the records with low <= key <= high."""
    begin = int(np.searchsorted(run.keys, low, side="left"))
    return run.between(begin, int(np.searchsorted(run.keys, high, side="right")))
