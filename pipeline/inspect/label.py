"""Owns the guess which column is the label: by its name, by how few values it has, by where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.schema import DEFAULT_LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inspect.columns import ColumnFacts

NAMES = re.compile(
    "category|class(?:es)?|churn(?:ed)?|clicked|converted|default(?:ed)?|diagnosis|fraud|grade|label|outcome|"
    "price|quality|rating|response|result|salary|sale_?price|score|signal|species|status|survived|target|winner|y",
    re.IGNORECASE,
)
PARTS = re.compile(r"(?:^|_)(?:labels?|class|target|outcome)(?:_|$)|^(?:is|has|was)_", re.IGNORECASE)
MAX_CLASSES = 20  # few enough to look like classes
MIN_RECORDS_PER_CLASS = 5
ENOUGH = 3  # points: a telling name, or few values in the first or last column
SHOWN = 3


def label_candidates(columns: Sequence[ColumnFacts]) -> tuple[str, ...]:
    """Return the columns that may be the label, the likeliest first; none where nothing speaks for any.

    Where a column is called label or target, it is that one: `convert` takes it without being told.
    """
    names = {column.name for column in columns}
    if by_name := tuple(name for name in DEFAULT_LABELS if name in names):
        return by_name[:1]
    ranked = []
    for at, column in enumerate(columns):
        points = _points(column, is_edge=at in {0, len(columns) - 1}) if _possible(column) else 0
        if points >= ENOUGH:
            ranked.append((-points, -at, column.name))  # the last column first, where two are equally likely
    return tuple(name for _, _, name in sorted(ranked)[:SHOWN])


def fallback_label(columns: Sequence[ColumnFacts]) -> str | None:
    """Return the column to name where nothing looks like a label: the last one that could be one."""
    possible = [column.name for column in columns if _possible(column)]
    numeric = [column.name for column in columns if column.is_numeric and column.num_present]
    return next(iter([*reversed(possible), *reversed(numeric)]), None)


def _possible(column: ColumnFacts) -> bool:
    """Whether a column could be a label at all: it has values, and is no identifier, date or free text."""
    if column.holds in {"nothing", "dates"} or column.num_distinct < 2:  # noqa: PLR2004  # one value tells nothing
        return False
    is_many = column.num_distinct > max(MAX_CLASSES, column.num_present // MIN_RECORDS_PER_CLASS)
    return column.holds == "numbers" or not is_many


def _points(column: ColumnFacts, *, is_edge: bool) -> int:
    points = 5 if NAMES.fullmatch(column.name) else 3 if PARTS.search(column.name) else 0
    num_needed = MIN_RECORDS_PER_CLASS * column.num_distinct
    if column.num_distinct <= MAX_CLASSES and column.num_present >= num_needed:
        points += 2
        points += column.num_distinct == 2  # noqa: PLR2004  # yes and no
        points += is_edge
    return points
