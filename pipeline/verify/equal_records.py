"""Owns the search for records that stand in two shards: by a 64-bit hash of what each record holds.

A record stands in one shard only. Equal rows of a source are equal records, and may lie anywhere: each has a
place of its own in a random order. So two shards, or two splits, may share records, but no more of them than
chance gives; and of that many pairs of equal records, chance puts a known share into any two places. What
goes far beyond is no chance: a shard holds records of another.

    hash      sum of a[j] * x[j] modulo 2**64, over the columns; x is the float32 or int64 as an integer
    compared  records whose hash is below a limit: all of them up to MAX_COMPARED, else a share of all values

Source: Dietzfelbinger (1996), "Universal hashing and k-wise independent random variables via integer
arithmetic without primes", STACS 96 (the hash); Hoeffding (1963), J. Amer. Statist. Assoc. 58(301), theorem
1, equation 2.1 (the bound on the binomial).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.loader.scanned import Scanned

    Hashes = NDArray[np.uint64]

MAX_COMPARED = 1 << 20  # records: 8 MiB of hashes, and some times that if they are all equal
HASH_SPACE = 1 << 64
HASH_SEED = 0x7072_6F6F_6673  # any fixed number: the same records must have the same hashes
IMPROBABLE = math.log(1e12)  # a false alarm in 10**12 datasets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordHasher:
    """Hashes records; of a dataset of `num_records`, it keeps the hashes below `limit` for comparison."""

    factors: Hashes
    limit: int

    def hashes(self, records: Scanned) -> Hashes:
        """Return the hash of each record, uint64 (num_records,): the same in Parquet and in TFRecord."""
        hashes = np.zeros(records.num_records, np.uint64)
        product = np.empty_like(hashes)
        columns = (*records.features, *records.others.values())
        for values, factor in zip(columns, self.factors, strict=True):
            np.multiply(_as_integers(values), factor, out=product)
            hashes += product
        return hashes

    def kept(self, hashes: Hashes) -> Hashes:
        """Return those of `hashes` that are to be compared."""
        return hashes if self.limit >= HASH_SPACE else hashes[hashes < np.uint64(self.limit)]


def hasher_for(num_records: int, num_columns: int) -> RecordHasher:
    """Return the hasher of a dataset: of its records as many are compared as memory allows."""
    stream = np.random.Philox(key=np.array([HASH_SEED, 0], np.uint64))
    factors = np.asarray(stream.random_raw(num_columns), np.uint64) | np.uint64(1)
    return RecordHasher(factors=factors, limit=HASH_SPACE * MAX_COMPARED // max(num_records, MAX_COMPARED))


def order_digest(hashes: Hashes, begin: int) -> int:
    """Return a digest of records at the places from `begin` on, which depends on their order.

    Those of consecutive records add up, modulo 2**64.
    """
    places = np.arange(2 * begin + 1, 2 * (begin + len(hashes)) + 1, 2, dtype=np.uint64)
    return int(np.add.reduce(hashes * places))


def _as_integers(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == np.int64:
        return values.view(np.uint64)
    # A TFRecord holds float32 and nothing else; a kept number may be beyond that.
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False).view(np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two shards or splits that share more equal records than chance gives."""

    names: tuple[str, str]
    num_shared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What comparing found: records in more than one split, as far as compared, and what is no chance."""

    num_in_two_splits: int
    overlaps: tuple[Overlap, ...]


def compare(
    hashes: Sequence[Hashes], shards: Sequence[str], splits: Sequence[str], *, at_random: bool = True
) -> Comparison:
    """Return what the shards have in common; the i-th has the kept `hashes[i]`, a name and a split.

    `at_random` tells whether chance decided the split of every record by itself. Where it did not, equal
    records may be kept together or apart: then shards are held against chance within their splits alone.
    """
    owners, begins = _equal_ones(hashes)
    if not len(begins):
        return Comparison(num_in_two_splits=0, overlaps=())
    names = list(dict.fromkeys(splits))
    split_of = np.array([names.index(split) for split in splits])
    found = np.bitwise_or.reduceat(1 << split_of[owners], begins)
    # Only values that stand exactly twice are looked at further: the places of such pairs are independent.
    twice = begins[np.diff(begins, append=len(owners)) == 2]  # noqa: PLR2004  # twice
    pairs = np.sort(np.stack([owners[twice], owners[twice + 1]]), axis=0)
    sizes = np.array([float(len(own)) for own in hashes])
    split_sizes = np.array([sizes[split_of == index].sum() for index in range(len(names))])
    overlaps: list[Overlap] = []
    if at_random:
        overlaps += _overlaps(split_of[pairs], split_sizes / sizes.sum(), names)
        overlaps += _overlaps(pairs, sizes / sizes.sum(), shards)
    else:
        shares = sizes / np.maximum(split_sizes, 1)[split_of]
        for combination in np.unique(split_of[pairs], axis=1).T:
            of_these = (split_of[pairs] == combination[:, np.newaxis]).all(axis=0)
            is_one = bool(combination[0] == combination[1])
            overlaps += _overlaps(pairs[:, of_these], shares, shards, in_one=is_one)
    return Comparison(num_in_two_splits=int((found & (found - 1) != 0).sum()), overlaps=tuple(overlaps))


def _equal_ones(hashes: Sequence[Hashes]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return who owns each hash that stands more than once, ordered by hash, and where each value begins."""
    joined = np.concatenate([*hashes, np.empty(0, np.uint64)])
    ordered = np.sort(joined)
    equal = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(equal):
        return np.empty(0, np.int64), np.empty(0, np.intp)
    places = np.minimum(np.searchsorted(equal, joined), len(equal) - 1)
    chosen = np.flatnonzero(equal[places] == joined)
    values = joined[chosen]
    order = np.argsort(values, kind="stable")
    owners = np.repeat(np.arange(len(hashes)), [len(own) for own in hashes])[chosen[order]]
    return owners, np.flatnonzero(np.diff(values[order], prepend=~values[order[0]]))


def _overlaps(
    pairs: NDArray[np.int64], shares: NDArray[np.float64], names: Sequence[str], *, in_one: bool = True
) -> Iterator[Overlap]:
    """Yield the places that share too many of the `pairs`, (2, num_pairs) of indices of `names`.

    `shares` tell how likely a record is at each place; `in_one` whether both records of a pair may be at the
    same places, so that two different ones can hold it in two ways.
    """
    low, high = np.sort(pairs, axis=0)
    keys, shared = np.unique(low * len(names) + high, return_counts=True)
    ones, others = keys // len(names), keys % len(names)
    expected = shares[ones] * shares[others] * np.where((ones == others) | (not in_one), 1, 2)
    num_pairs = pairs.shape[1]
    level = IMPROBABLE + math.log(len(names) * (len(names) + 1) / 2)
    excess = num_pairs * _divergence(shared / max(1, num_pairs), expected)
    for index in np.flatnonzero(excess > level).tolist():
        yield Overlap(names=(names[ones[index]], names[others[index]]), num_shared=int(shared[index]))


def _divergence(found: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Kullback-Leibler divergence of shares that are above the `expected` ones, 0 of the others.

    n times it is the bound: so many of n, or more, happen with a probability of at most exp(-n * divergence).
    """
    tiny = np.finfo(np.float64).tiny  # 0 * log(tiny) is 0, as it must be
    rest = (1 - found) * np.log(np.maximum(1 - found, tiny) / np.maximum(1 - expected, tiny))
    return np.where(found > expected, found * np.log(np.maximum(found, tiny) / expected) + rest, 0.0)
