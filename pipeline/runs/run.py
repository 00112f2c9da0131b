"""Owns the run in memory: records ordered by key, by column; building, slicing and merging it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.keys import key_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of columns of numbers, integers and texts."""
        return len(self.numbers), len(self.integers), len(self.texts)

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
        texts=tuple(text.take(_as_arrow(order)) for text in texts),
    )


def text_bytes(texts: pa.LargeStringArray) -> int:
    """Return how many bytes of UTF-8 the values of `texts` have together."""
    offsets = np.frombuffer(texts.buffers()[1], np.int64, len(texts) + 1, 8 * texts.offset)
    return int(offsets[-1] - offsets[0]) if len(texts) else 0


def _as_arrow(positions: NDArray[np.intp]) -> pa.Int64Array:
    # Not pa.array(): that imports pandas where it is installed, for a third of a second and 50 MB.
    return pa.Array.from_buffers(pa.int64(), len(positions), [None, pa.py_buffer(positions)])


def take_columns(values: NDArray[Any], positions: NDArray[np.intp]) -> NDArray[Any]:
    """Return `values[:, positions]`; the positions must be valid.

    Four times faster than indexing: "clip" leaves out a check per element and the copy that guards `out`.
    """
    out = np.empty((len(values), len(positions)), values.dtype)
    return np.take(values, positions, axis=1, out=out, mode="clip")


def merge_runs(runs: Sequence[Run]) -> Run:
    """Return one run of all records of `runs`, ordered by key; needs twice their memory while it works.

    Records with equal keys come in an order that depends on their values alone, never on the runs.
    """
    joined = join_runs(runs)
    order = key_order(joined.keys)
    ordered = joined.keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = _order_by_value(joined)
    return build_run(joined.keys, order, numbers=joined.numbers, integers=joined.integers, texts=joined.texts)


def join_runs(runs: Sequence[Run]) -> Run:
    """Return the records of `runs` one after the other: a run only if their keys ascend."""
    if len(runs) == 1:
        return runs[0]
    # Runs of float32 and of float64 may stand beside each other; the wider type holds both exactly.
    dtype = np.result_type(*{run.numbers.dtype for run in runs})
    return Run(
        keys=np.concatenate([run.keys for run in runs]),
        numbers=np.concatenate([run.numbers for run in runs], axis=1, dtype=dtype),
        integers=np.concatenate([run.integers for run in runs], axis=1),
        texts=tuple(
            pa.concat_arrays([run.texts[index] for run in runs]) for index in range(len(runs[0].texts))
        ),
    )


def join_slices(runs: Sequence[Run], slices: Sequence[tuple[int, int]]) -> Run:
    """Return the records [begin, end) by position of each of `runs`, one after the other.

    The same as joining what `Run.between` gives, without a run for each: a conversion of millions of records
    takes as many slices as there are byte ranges times cells.
    """
    dtype = np.result_type(*{run.numbers.dtype for run in runs})
    cuts = list(zip(runs, slices, strict=True))
    _, num_integers, num_texts = runs[0].shape
    keys = np.concatenate([run.keys[begin:end] for run, (begin, end) in cuts])
    integers = np.empty((0, len(keys)), np.int64)
    if num_integers:
        integers = np.concatenate([run.integers[:, begin:end] for run, (begin, end) in cuts], axis=1)
    return Run(
        keys=keys,
        numbers=np.concatenate(
            [run.numbers[:, begin:end] for run, (begin, end) in cuts], axis=1, dtype=dtype
        ),
        integers=integers,
        texts=tuple(
            pa.concat_arrays([run.texts[index].slice(begin, end - begin) for run, (begin, end) in cuts])
            for index in range(num_texts)
        ),
    )


def _order_by_value(run: Run) -> NDArray[np.intp]:
    ranks = [np.unique(np.asarray(text.to_pylist(), dtype=str), return_inverse=True)[1] for text in run.texts]
    return np.lexsort([*ranks, *run.integers, *run.numbers, run.keys])
