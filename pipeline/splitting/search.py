"""Owns the search for the records at given ranks, in bounded memory: by looking at all records a few times.

Each look counts, for every rank that is searched, the records below an interval that should hold it, and
those within it, in buckets; the bucket that holds the rank is the next interval. When few records are left in
the intervals together, a look collects them. Everything is a sum of integers, so it does not matter how the
records are spread over tasks.

    look 1   |-----------------------|    32,768 buckets over all values
    look 2             |-|                32,768 buckets over one of them, or its records
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.splitting.division import GREATEST, LEAST, Axis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.splitting.division import Integers

MAX_COLLECTED = 1 << 18  # records of all intervals together: 4 MiB with their strata
MAX_COUNTS = 1 << 17  # of all buckets together: a mebibyte passes from each task
BUCKETS = (16, 1 << 15)  # an interval has at least and at most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What a look saw, of each cut in each stratum.

    below      int64 (num_cuts, num_strata): records below the interval
    counts     int64 (num_cuts, num_strata, num_buckets): records in each bucket of it
    collected  of each cut, pairs of strata and places of the records in it, if they are collected
    """

    below: Integers
    counts: Integers
    collected: tuple[tuple[tuple[NDArray[np.intp], Integers], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """One look at all records: intervals [low, high] on the axis, int64 (num_cuts, num_strata).

    An interval whose low is above its high is none. `num_buckets` is 0 where records are to be collected;
    `shifts` are the logarithms of the widths of buckets, like `low`.
    """

    axis: Axis
    low: Integers
    high: Integers
    num_buckets: int
    shifts: NDArray[np.uint64]

    def look(self, keys: NDArray[np.uint64], values: Integers) -> Seen:
        """Return what is seen of some records."""
        strata, places = self.axis.places(keys, values)
        num_cuts, num_strata = self.low.shape
        below = np.zeros((num_cuts, num_strata), np.int64)
        counts = np.zeros((num_cuts, num_strata, self.num_buckets), np.int64)
        collected = []
        for cut in range(num_cuts):
            low, high = self.low[cut, strata], self.high[cut, strata]
            below[cut] = np.bincount(strata[places < low], minlength=num_strata)
            within = (places >= low) & (places <= high)
            held, at = strata[within], places[within]
            if not self.num_buckets:
                collected.append(((held, at),))
                continue
            bucket = (at.view(np.uint64) - low[within].view(np.uint64)) >> self.shifts[cut, held]
            flat = held * self.num_buckets + bucket.astype(np.intp)
            counts[cut] = np.bincount(flat, minlength=num_strata * self.num_buckets).reshape(num_strata, -1)
        return Seen(below=below, counts=counts, collected=tuple(collected))

    def merge(self, left: Seen, right: Seen) -> Seen:
        """Return what is seen of the records of both; `left` is used up."""
        np.add(left.below, right.below, out=left.below)
        np.add(left.counts, right.counts, out=left.counts)
        collected = tuple(a + b for a, b in zip(left.collected, right.collected, strict=True))
        return dataclasses.replace(left, collected=collected)


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A record that was searched: its place, and how many of its stratum lie below and up to that."""

    place: int
    num_below: int
    num_upto: int


@dataclass(slots=True, kw_only=True)
class Wanted:
    """A rank that is searched, from 0, within a stratum of `num_records`; `found` is what is at it.

    It should lie in the interval [low, high], and `num_expected` records with it.
    """

    rank: int
    num_records: int
    low: int
    high: int
    num_expected: int
    found: At | None = None

    def missed(self, below: int, within: int) -> bool:
        """Whether the rank is not in the interval; if so, go on in what lies below, or above."""
        if below <= self.rank < below + within:
            return False
        if self.rank < below:
            self.low, self.high, self.num_expected = LEAST, self.low - 1, below
        else:
            self.low, self.high, self.num_expected = (
                self.high + 1,
                GREATEST,
                self.num_records - below - within,
            )
        return True

    def narrow(self, below: int, counts: Integers, shift: int) -> None:
        """Go on in the bucket that holds the rank, or be done if that is a single place."""
        ends = np.cumsum(counts)
        if self.missed(below, int(ends[-1])):
            return
        at = int(np.searchsorted(ends, self.rank - below, side="right"))
        num_upto = below + int(ends[at])
        self.num_expected = int(counts[at])
        self.low += at << shift
        self.high = min(self.high, self.low + (1 << shift) - 1)
        if self.low == self.high:
            self.found = At(place=self.low, num_below=num_upto - self.num_expected, num_upto=num_upto)

    def pick(self, below: int, places: Integers) -> None:
        """Take the rank among the places of all records in the interval."""
        if self.missed(below, len(places)):
            return
        places = np.sort(places)
        place = places[self.rank - below]
        first, last = (int(np.searchsorted(places, place, side=side)) for side in ("left", "right"))
        self.found = At(place=int(place), num_below=below + first, num_upto=below + last)


def find(axis: Axis, wanted: Sequence[Sequence[Wanted | None]], survey: Callable[[Look], Seen]) -> None:
    """Enter what is at the ranks that are `wanted`, by cut and stratum; None wants nothing.

    `survey(look)` returns what a look sees of all records together.
    """
    while missing := [one for row in wanted for one in row if one and not one.found]:
        look = _next_look(axis, wanted, sum(one.num_expected for one in missing))
        _take(wanted, look, survey(look))


def _next_look(axis: Axis, wanted: Sequence[Sequence[Wanted | None]], num_expected: int) -> Look:
    shape = len(wanted), axis.num_strata
    low, high = np.full(shape, GREATEST), np.full(shape, LEAST)
    for cut, row in enumerate(wanted):
        for stratum, one in enumerate(row):
            if one and not one.found:
                low[cut, stratum], high[cut, stratum] = one.low, one.high
    affordable = 1 << (MAX_COUNTS // (shape[0] * shape[1])).bit_length() - 1 if axis.num_strata else 0
    num_buckets = 0 if num_expected <= MAX_COLLECTED else min(max(affordable, BUCKETS[0]), BUCKETS[1])
    shifts = [
        [_shift(int(top) - int(bottom), num_buckets) for bottom, top in zip(*bounds, strict=True)]
        for bounds in zip(low, high, strict=True)
    ]
    return Look(axis=axis, low=low, high=high, num_buckets=num_buckets, shifts=np.array(shifts, np.uint64))


def _shift(span: int, num_buckets: int) -> int:
    """Return the logarithm of the width of buckets, of which so many cover `span`.

    >>> _shift(7, 8), _shift(8, 8), _shift(1000, 8)
    (0, 1, 7)
    """
    return max(0, span.bit_length() - num_buckets.bit_length() + 1) if span > 0 else 0


def _take(wanted: Sequence[Sequence[Wanted | None]], look: Look, seen: Seen) -> None:
    """Enter what a look saw."""
    for cut, row in enumerate(wanted):
        places = [] if look.num_buckets else _by_stratum(seen.collected[cut], look.axis.num_strata)
        for stratum, one in enumerate(row):
            if one is None or one.found:
                continue
            below = int(seen.below[cut, stratum])
            if look.num_buckets:
                one.narrow(below, seen.counts[cut, stratum], int(look.shifts[cut, stratum]))
            else:
                one.pick(below, places[stratum])


def _by_stratum(collected: tuple[tuple[NDArray[np.intp], Integers], ...], num_strata: int) -> list[Integers]:
    """Return the places of each stratum."""
    strata = np.concatenate([strata for strata, _ in collected])
    places = np.concatenate([places for _, places in collected])
    order = np.argsort(strata, kind="stable")
    ends = np.cumsum(np.bincount(strata, minlength=num_strata))
    return np.split(places[order], ends[:-1])
