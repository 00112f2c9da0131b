"""Owns how many records of each class go to which split, so that classes and splits both have their sizes.

This is controlled rounding: a table of quotas, classes by splits, is rounded to whole records, no entry by a
whole record, such that rows and columns add up to given sums. With three columns, each column sum being its
quota rounded up or down, that can always be done: of all ways to round the rows, the possible column sums are
the whole points of a polyhedron given by bounds on sums of columns, which three columns with one total reduce
to bounds on single columns; the quotas lie within them, so their roundings do, too.

Source: Cox (1987), "A constructive procedure for unbiased controlled rounding", J. Amer. Statist. Assoc.
82(398); the repair below is its augmenting path, for three columns.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.keys import split_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction


@dataclass(slots=True, kw_only=True)
class _Row:
    """One class: whole records by split, what its quotas have beyond them, and which ones are rounded up."""

    whole: list[int]
    rest: list[int]
    up: list[bool]

    def may_move(self, source: int, target: int) -> bool:
        """Whether the record that `source` was rounded up by may be one of `target`."""
        return self.up[source] and not self.up[target] and self.rest[target] > 0

    def move(self, source: int, target: int) -> None:
        self.up[source], self.up[target] = False, True


def apportion(counts: Sequence[int], shares: Sequence[Fraction]) -> tuple[tuple[int, ...], ...]:
    """Return for every class how many of its `counts` records go to each split.

    Every number is its quota rounded up or down; the splits have the sizes of `split_sizes`.

    >>> from fractions import Fraction
    >>> apportion([7, 4], [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)])
    ((6, 0, 1), (3, 1, 0))
    """
    unit = math.lcm(*(share.denominator for share in shares))
    parts = [int(share * unit) for share in shares]
    rows = [_rounded(count, parts, unit) for count in counts]
    sizes = split_sizes(sum(counts), shares)
    while True:
        excess = [sum(row.whole[at] + row.up[at] for row in rows) - size for at, size in enumerate(sizes)]
        if not any(excess):
            return tuple(
                tuple(whole + up for whole, up in zip(row.whole, row.up, strict=True)) for row in rows
            )
        _repair(rows, excess)


def _rounded(count: int, parts: Sequence[int], unit: int) -> _Row:
    """Return one class with the largest of its remainders rounded up."""
    whole, rest = zip(*(divmod(count * part, unit) for part in parts), strict=True)
    missing = count - sum(whole)
    by_rest = sorted(range(len(parts)), key=lambda at: (-rest[at], at))
    return _Row(
        whole=list(whole), rest=list(rest), up=[by_rest.index(at) < missing for at in range(len(parts))]
    )


def _repair(rows: Sequence[_Row], excess: list[int]) -> None:
    """Move records from splits with too many to those with too few, by way of the third if need be."""
    moved = False
    for source, target in itertools.permutations(range(len(excess)), 2):
        count = min(excess[source], -excess[target])
        for row in _movable(rows, source, target)[: max(count, 0)]:
            row.move(source, target)
            excess[source] -= 1
            excess[target] += 1
            moved = True
    if moved:
        return
    source, target = excess.index(max(excess)), excess.index(min(excess))
    (between,) = {0, 1, 2} - {source, target}
    first, second = _movable(rows, source, between), _movable(rows, between, target)
    for one, other in list(zip(first, second, strict=False))[: min(excess[source], -excess[target])]:
        one.move(source, between)
        other.move(between, target)


def _movable(rows: Sequence[_Row], source: int, target: int) -> list[_Row]:
    """Return the classes in which a record may move, those first whose quotas it harms least."""
    movable = [row for row in rows if row.may_move(source, target)]
    return sorted(movable, key=lambda row: row.rest[source] - row.rest[target])
