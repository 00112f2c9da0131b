"""Owns the decision which division a rule comes to, from what is known of all records, and a few looks.

Neighbours: `convert.dividing` supplies the looks, `search` and `apportion` do the work.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.errors import SplitError
from pipeline.keys import SPLITS, split_sizes
from pipeline.splitting.apportion import apportion
from pipeline.splitting.division import GREATEST, LEAST, Axis, Division
from pipeline.splitting.search import Wanted, find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from fractions import Fraction

    from pipeline.splitting.rule import SplitRule
    from pipeline.splitting.search import At, Look, Seen

    Survey = Callable[[Look], Seen]

# How far, in standard deviations, the key at a rank of a class is searched from where it should be: beyond
# 10 of them it is once in 10**23 classes, and then the search goes on outside.
DEVIATIONS = 10
FEW = 256  # records of a class: for so few, all keys are looked at


def decide(
    rule: SplitRule,
    shares: Sequence[Fraction],
    tally: Mapping[int, int],
    num_records: int,
    survey: Survey,
) -> Division:
    """Return the division of `num_records` records; `tally` is that of their split values.

    Raises:
        SplitError: no record is left for the train split.
    """
    if rule.name == "given":
        if not tally.get(0):
            raise SplitError(
                "says train in no record", column=rule.column, hint="the train split may not be empty"
            )
        return Division(axis=Axis(), cuts=np.array([[0], [1]]))
    if rule.name == "stratify":
        return _stratified(shares, tally, survey)
    low, high = (0, GREATEST) if rule.name == "group" else (min(tally), max(tally))
    return _bordered(shares, num_records, low, high, survey)


def _stratified(shares: Sequence[Fraction], tally: Mapping[int, int], survey: Survey) -> Division:
    """Return the cuts of the keys of each class at exact ranks."""
    strata = sorted(tally)
    counts = [tally[value] for value in strata]
    sizes = apportion(counts, shares)
    ends = [list(itertools.accumulate(own))[: len(SPLITS) - 1] for own in sizes]
    axis = Axis(strata=np.array(strata, np.int64))
    wanted = [
        [_expected(own[cut], count) for own, count in zip(ends, counts, strict=True)]
        for cut in range(len(SPLITS) - 1)
    ]
    find(axis, wanted, survey)
    cuts = [
        [_cut(one, own[cut]) for one, own in zip(row, ends, strict=True)] for cut, row in enumerate(wanted)
    ]
    return Division(axis=axis, cuts=np.array(cuts, np.int64))


def _expected(end: int, num_records: int) -> Wanted | None:
    """Return where the key of the last of `end` records should be; None where there is nothing to search."""
    if end in {0, num_records}:
        return None
    if num_records <= FEW:
        return Wanted(
            rank=end - 1, num_records=num_records, low=LEAST, high=GREATEST, num_expected=num_records
        )
    share = end / num_records
    reach = DEVIATIONS * math.sqrt(share * (1 - share) / num_records) + 1 / num_records
    low, high = (int((share + offset) * 2**64) + LEAST for offset in (-reach, reach))
    return Wanted(
        rank=end - 1,
        num_records=num_records,
        low=max(low, LEAST),
        high=min(high, GREATEST),
        num_expected=math.ceil(2 * reach * num_records),
    )


def _cut(one: Wanted | None, end: int) -> int:
    """Return the last place of the first `end` records."""
    if one is None or one.found is None:
        return GREATEST if end else LEAST
    return one.found.place


def _bordered(shares: Sequence[Fraction], num_records: int, low: int, high: int, survey: Survey) -> Division:
    """Return the cuts at the borders between values that are nearest to the wanted ranks.

    Of two borders as near, the later one. Train is never empty. Nor is a split that was asked for, first test
    and then val, if moving a border by one value does it and leaves train half of its share.
    """

    def at_ranks(*ranks: int) -> list[At]:
        wanted = [
            [Wanted(rank=rank, num_records=num_records, low=low, high=high, num_expected=num_records)]
            for rank in ranks
        ]
        find(Axis(), wanted, survey)
        return [one.found for (one,) in wanted if one.found]

    ends = [max(end, 1) for end in itertools.accumulate(split_sizes(num_records, shares))][:-1]
    train, val = map(_nearest, at_ranks(*(end - 1 for end in ends)), ends)

    def may_end_train(border: Border) -> bool:
        return border.num_records > 0 and 2 * min(border.num_records, train.num_records) >= ends[0]

    if shares[2] and val.num_records == num_records:
        border = _before(*at_ranks(num_records - 1))
        val = border if may_end_train(border) else val
    train = min(train, val)
    if shares[1] and train.num_records == val.num_records:
        border = _before(*at_ranks(val.num_records - 1))
        if may_end_train(border):
            train = border
        elif val.num_records < num_records:
            border = _upto(*at_ranks(val.num_records))
            val = border if border.num_records < num_records or not shares[2] else val
    return Division(axis=Axis(), cuts=np.array([[train.place], [val.place]], np.int64))


class Border(NamedTuple):
    """A border between values: the last place before it, and how many records lie up to there."""

    place: int
    num_records: int


def _nearest(at: At, end: int) -> Border:
    """Return the border nearest to `end` records, of those of the value that holds the last of them."""
    is_before = at.num_below > 0 and end - at.num_below < at.num_upto - end
    return _before(at) if is_before else _upto(at)


def _before(at: At) -> Border:
    return Border(at.place - 1, at.num_below)


def _upto(at: At) -> Border:
    return Border(at.place, at.num_upto)
