"""Plain oracles: the `csv` module and `float`, exact rational moments, and formulas known to be wrong."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def csv_rows(text: str, *, delimiter: str = ",") -> list[list[str]]:
    """Return the rows of `text` as the `csv` module reads them, without the blank ones."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return [row for row in rows if row]


def csv_columns(text: str, *, delimiter: str = ",") -> dict[str, list[str]]:
    """Return the cells of every column by its name in the header."""
    header, *rows = csv_rows(text, delimiter=delimiter)
    return {name: [row[index] for row in rows] for index, name in enumerate(header)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMoments:
    """Statistics of one column, the values missing left out."""

    count: int
    mean: float
    m2: float
    std: float
    min: float
    max: float
    missing: int


def exact_moments(values: Iterable[float]) -> PlainMoments:
    """Return the moments in two passes of rational arithmetic, rounded once at the end; NaN is missing."""
    given = list(values)
    present = [Fraction(value) for value in given if not math.isnan(value)]
    if not present:
        return PlainMoments(
            count=0, mean=0.0, m2=0.0, std=0.0, min=math.inf, max=-math.inf, missing=len(given)
        )
    mean = sum(present, Fraction(0)) / len(present)
    m2 = sum(((value - mean) ** 2 for value in present), Fraction(0))
    return PlainMoments(
        count=len(present),
        mean=float(mean),
        m2=float(m2),
        std=math.sqrt(float(m2 / len(present))),
        min=float(min(present)),
        max=float(max(present)),
        missing=len(given) - len(present),
    )


def fsum_moments(values: Sequence[float]) -> PlainMoments:
    """Return the moments in two passes of float64 with `math.fsum`; for many values, none missing."""
    count = len(values)
    mean = math.fsum(values) / count
    m2 = math.fsum((value - mean) ** 2 for value in values)
    return PlainMoments(
        count=count,
        mean=mean,
        m2=m2,
        std=math.sqrt(m2 / count),
        min=min(values),
        max=max(values),
        missing=0,
    )


def naive_sample_variance(values: Sequence[float]) -> float:
    """Return E[x²] - E[x]², corrected for the sample, in float64: the formula that must not be used."""
    count = len(values)
    total = squares = 0.0
    for value in values:
        total += value
        squares += value * value
    return (squares - total * total / count) / (count - 1)


def largest_remainder(num_records: int, shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Return the sizes by handing out the records left over one by one to whoever lacks most."""
    sizes = [math.floor(num_records * share) for share in shares]
    while sum(sizes) < num_records:
        lacking = [num_records * share - size for share, size in zip(shares, sizes, strict=True)]
        sizes[lacking.index(max(lacking))] += 1
    return tuple(sizes)


def rank_correlation(order: Sequence[int]) -> float:
    """Return Spearman's correlation between the places of a permutation and its values, times sqrt(n - 1).

    For a random permutation this is close to a standard normal variable.
    """
    count = len(order)
    middle = (count - 1) / 2
    covariance = math.fsum((place - middle) * (value - middle) for place, value in enumerate(order))
    return covariance / (count * (count**2 - 1) / 12) * math.sqrt(count - 1)


def uniform_distance(positions: Sequence[int], num_records: int) -> float:
    """Return the Kolmogorov-Smirnov distance of `positions` in [0, num_records) from uniform, times sqrt(n).

    Beyond 2.2 a random choice comes once in 8,000 times (2 exp(-2 d²)).
    """
    count = len(positions)
    spread = sorted(positions)
    gaps = (
        max((index + 1) / count - (value + 0.5) / num_records, (value + 0.5) / num_records - index / count)
        for index, value in enumerate(spread)
    )
    return max(gaps) * math.sqrt(count)
