"""Owns the record key: a pseudo-random 64-bit number per record, from which split and order follow.

All records are ordered by key, and the order is cut at exact ranks: train first, then val, then test. A key
depends on (seed, file, range, record) alone, so no engine, worker count or memory budget can change it.

Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Philox4x64-10); the raw
bit stream of NumPy's Philox is covered by its stream-compatibility promise (NEP 19).
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
MAX_FILES = 1 << 32  # the file and the range index share one 64-bit half of the Philox key
KEY_SPACE = 1 << 64

# Records whose key lies this near below the expected end of the train split, or above it, are not counted
# into the moments while streaming. 1/64 is 8 standard deviations of the binomial from 65,536 records on
# (8 * sqrt(0.25 / 65536) = 1/64); below that, `convert` falls back to counting from the runs.
BAND = Fraction(1, 64)


def record_keys(*, seed: int, file_index: int, range_index: int, num_records: int) -> NDArray[np.uint64]:
    """Return the keys of the records of one byte range, uint64 (num_records,), in their order."""
    # As uint64 explicitly: a list with a seed of 2**63 or more would become float64 and lose bits.
    key = np.array([seed, file_index * MAX_FILES + range_index], np.uint64)
    stream = np.random.Philox(key=key)
    return np.asarray(stream.random_raw(num_records), dtype=np.uint64)


def key_order(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return the permutation that sorts `keys`; equal keys stay in the order in which they stand.

    Two of 7 million keys are equal once in a million data sets, so the fast unstable sort is tried first.
    """
    order = np.argsort(keys)
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.argsort(keys, kind="stable")
    return order


def split_sizes(num_records: int, shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Return the exact number of records of each split, by the method of the largest remainder.

    >>> split_sizes(11, [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)])
    (9, 1, 1)
    """
    quotas = [num_records * share for share in shares]
    sizes = [int(quota) for quota in quotas]
    # Ties go to the earlier split, so that the sizes are a function of the arguments alone.
    by_remainder = sorted(range(len(quotas)), key=lambda index: (sizes[index] - quotas[index], index))
    for index in by_remainder[: num_records - sum(sizes)]:
        sizes[index] += 1
    return tuple(sizes)


def split_bounds(num_records: int, shares: Sequence[Fraction]) -> tuple[tuple[int, int], ...]:
    """Return the half-open interval of ranks (begin, end) of each split."""
    ends = list(itertools.accumulate(split_sizes(num_records, shares)))
    return tuple(zip([0, *ends[:-1]], ends, strict=True))


def certain_train_key(train_share: Fraction) -> int:
    """Return the key below which a record is taken to be in the train split while N is not yet known."""
    if train_share == 1:
        return KEY_SPACE
    return max(0, int((train_share - BAND) * KEY_SPACE))


def parse_split(text: str) -> tuple[Fraction, ...]:
    """Return the shares of train, val and test from "0.8,0.1,0.1", exactly.

    Raises:
        OptionError: not three numbers between 0 and 1 with sum 1, or no train share.
    """
    hint = "write three shares with sum 1, such as --split 0.8,0.1,0.1"
    try:
        shares = tuple(Fraction(part.strip()) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise OptionError(f"--split {text}: not numbers", hint=hint) from None
    if len(shares) != len(SPLITS) or min(shares) < 0 or sum(shares) != 1:
        raise OptionError(f"--split {text}: expected three shares with sum 1", hint=hint)
    if shares[0] == 0:
        raise OptionError(f"--split {text}: the train split may not be empty", hint=hint)
    return shares
