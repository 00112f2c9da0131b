"""Owns the facts of a column, by its first cells: what it holds, what is missing, how its values lie.

Facts, not opinions: what is suspicious about them is for `findings`. Neighbours: `source.columns` says how
`convert` will read a column, `source.cells` what a cell is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.errors import NonFiniteError, NotANumberError
from pipeline.source import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.source.columns import Held

Holds = Literal["integers", "numbers", "booleans", "text", "dates", "nothing"]

DATE = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{4}|[0-9]{4}/[0-9]{2}/[0-9]{2})"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
MAX_COUNTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How the finite numbers of a column lie.

    `inner_min` and `inner_max` are what the extremes would be without them; `steps_by_one` says that each is
    the one before plus 1.
    """

    mean: float
    std: float
    min: float
    max: float
    inner_min: float
    inner_max: float
    steps_by_one: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What the first cells of a column show.

    `missing` counts the words for a missing value, `strays` the texts in a column of numbers, `counts` the
    100 most frequent values; the most frequent first.
    """

    name: str
    holds: Holds
    num_cells: int
    num_distinct: int
    mean_length: float
    missing: dict[str, int] = field(default_factory=dict)
    strays: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    num_infinite: int = 0
    numbers: Numbers | None = None

    @property
    def num_missing(self) -> int:
        """How many cells have no value."""
        return sum(self.missing.values())

    @property
    def num_present(self) -> int:
        """How many cells have one."""
        return self.num_cells - self.num_missing

    @property
    def is_datetime(self) -> bool:
        """Whether all values are dates or times as `convert` reads them."""
        return self.holds == "dates" and all(map(cells.DATETIME.fullmatch, self.counts))

    @property
    def is_numeric(self) -> bool:
        """Whether `convert` takes it for numbers; a column without any value is one, too."""
        return self.holds in {"integers", "numbers", "booleans", "nothing"}


def facts_of(name: str, column: Sequence[str], held: Held) -> ColumnFacts:
    """Return the facts of a column, whose cells `convert` will read as `held` says."""
    stripped = [cell.strip() for cell in column]
    missing = Counter(cell for cell in stripped if cells.is_missing(cell))
    counts = Counter(cell for cell in stripped if not cells.is_missing(cell))
    strays: dict[str, int] = {}
    numbers, num_infinite = None, 0
    if held.reading not in {"text", "boolean"}:
        values, strays, num_infinite = _as_numbers(stripped, counts)
        numbers = _lie_of(values)
    return ColumnFacts(
        name=name,
        holds=_holds(held, counts),
        num_cells=len(column),
        num_distinct=len(counts),
        mean_length=sum(len(cell) * count for cell, count in counts.items()) / max(counts.total(), 1),
        missing=dict(missing.most_common()),
        strays=strays,
        counts=dict(counts.most_common(MAX_COUNTED)),
        num_infinite=num_infinite,
        numbers=numbers,
    )


def _holds(held: Held, counts: Counter[str]) -> Holds:
    if not counts:
        return "nothing"
    if held.reading == "text":
        return "dates" if all(map(DATE.fullmatch, counts)) else "text"
    if held.reading == "boolean":
        return "booleans"
    return "integers" if held.whole else "numbers"


def _as_numbers(
    stripped: Sequence[str], counts: Counter[str]
) -> tuple[NDArray[np.float64], dict[str, int], int]:
    """Return the finite numbers in their order, the texts among them, and how many are infinite."""
    known: dict[str, float] = {}
    strays: Counter[str] = Counter()
    num_infinite = 0
    for cell, count in counts.items():
        try:
            known[cell] = cells.read_number(cell)
        except NonFiniteError:
            num_infinite += count
        except NotANumberError:
            strays[cells.shortened(cell)] += count
    values = np.array([known[cell] for cell in stripped if cell in known], np.float64)
    return values, dict(strays.most_common()), num_infinite


def _lie_of(values: NDArray[np.float64]) -> Numbers | None:
    if not len(values):
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # squares beyond a double: then the std is not finite
        low, high = values.min(), values.max()
        return Numbers(
            mean=float(values.mean()),
            std=float(values.std()),
            min=float(low),
            max=float(high),
            inner_min=float(values[values > low].min(initial=high)),
            inner_max=float(values[values < high].max(initial=low)),
            steps_by_one=len(values) > 1 and bool((np.diff(values) == 1).all()),
        )
