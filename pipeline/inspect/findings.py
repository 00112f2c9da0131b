"""Owns what is suspicious about the columns of a source: what a person should see before converting it.

Each finding is a sentence about one or more columns. What a command must do about them is for `command`.
Neighbour: `columns` has the facts.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.counted import counted
from pipeline.source.cells import MAX_EXACT, NUMBER, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.inspect.columns import ColumnFacts, Numbers

MIN_ROWS = 20  # with fewer, all different means nothing
ID_NAME = re.compile(
    r"(?:^|_)(?:id|uid|uuid|key|index|idx|no|nr|number|row)$|^(?:unnamed.*|id.*)$", re.IGNORECASE
)
SENTINELS = frozenset({-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, 999999.0})
FAR = 3.0  # ranges of the other values: so far away lies a value that is none
UNIX_SECONDS = (946_684_800, 2_145_916_800)  # 2000 to 2038
FLOAT32_DIGITS = 24  # bits; of each number as they are in most libraries
LONELY = 10.0  # of one value that is no word for missing, more is asked: tails are long
MAX_CATEGORIES = 50
MAX_TELLING = 20  # values of a column that might give the label away
RARE = 0.01
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something suspicious: of which `kind`, in which columns, in words."""

    kind: str
    columns: tuple[str, ...]
    text: str


def is_identifier(column: ColumnFacts) -> bool:
    """Return whether a column numbers its rows: integers, all different, in steps of one or so called."""
    if column.holds != "integers" or column.num_missing or column.num_cells < MIN_ROWS:
        return False
    counts_up = column.numbers is not None and column.numbers.steps_by_one
    return column.num_distinct == column.num_cells and (counts_up or bool(ID_NAME.search(column.name)))


def is_category(column: ColumnFacts) -> bool:
    """Return whether a column of text has so few values that a model can learn what each means."""
    is_text = column.holds == "text"
    return is_text and column.num_distinct <= MAX_CATEGORIES and column.num_distinct * 2 <= column.num_present


def find(
    columns: Sequence[ColumnFacts], rows: Sequence[Sequence[str]], label: str | None
) -> tuple[Finding, ...]:
    """Return what is suspicious about the columns, whose cells are in `rows`, all of the same length."""
    found: list[Finding] = []
    by_kind: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for column in columns:
        for kind, text in _of_column(column, is_label=column.name == label):
            by_kind[kind, text].append(column.name)
    found += [Finding(kind=kind, columns=tuple(names), text=text) for (kind, text), names in by_kind.items()]
    found += _same_columns(columns, rows)
    found += _names_alike(columns)
    if label is not None:
        found += _of_label(next(c for c in columns if c.name == label))
        found += _telling(columns, rows, label)
    return tuple(found)


def _of_column(column: ColumnFacts, *, is_label: bool) -> Iterator[tuple[str, str]]:
    if column.holds == "nothing":
        yield "empty", "holds no value at all"
        return
    if column.missing:
        words = ", ".join("nothing" if not word else repr(word) for word in column.missing)
        share = column.num_missing / column.num_cells
        yield "missing", f"lacks values in {max(share, 0.001):.1%} of the rows, written as {words}"
    if column.num_distinct == 1 and column.num_cells > 1:
        yield "constant", f"is {_shown(column.counts)} in all rows"
    if column.strays:
        yield (
            "stray",
            f"holds numbers, and {sum(column.strays.values()):,} times text: {_listed(column.strays)}",
        )
    if column.num_infinite:
        yield "infinite", f"is infinite in {counted(column.num_infinite, 'row')}"
    if not column.is_numeric:
        yield _of_text(column, is_label=is_label)
    elif not is_label:
        yield from _of_numbers(column)


def _of_text(column: ColumnFacts, *, is_label: bool) -> tuple[str, str]:
    if is_label:
        return "text-label", f"is text: its {counted(column.num_distinct, 'value')} become classes"
    if column.holds == "dates":
        return "dates", "holds dates" + ("" if column.is_datetime else ", but not written as 2026-11-28")
    if is_category(column):
        return "categories", f"is text with few values: {_listed(column.counts)}"
    if column.num_distinct == column.num_present:
        return "text", "is text, different in every row"
    return "text", "is text"


def _of_numbers(column: ColumnFacts) -> Iterator[tuple[str, str]]:
    numbers = column.numbers
    if numbers is None:
        return
    largest = max(abs(numbers.min), abs(numbers.max))
    if column.holds == "integers":
        yield from _of_integers(column, numbers)
    if 0 < numbers.std < math.ulp(largest) * 2 ** (53 - FLOAT32_DIGITS) * 100:
        yield (
            "offset",
            (f"varies by {numbers.std:.2g} around {numbers.mean:.10g}: as float32 its values run together"),
        )
    if sentinel := _sentinel(column, numbers):
        times = counted(column.counts[sentinel], "row")
        yield "sentinel", f"is {sentinel} in {times}, far from all others: does it stand for a missing value?"
    elif lonely := _lonely(numbers, LONELY):
        yield "outlier", f"is {lonely[0]:.6g} somewhere, far from all others"


def _of_integers(column: ColumnFacts, numbers: Numbers) -> Iterator[tuple[str, str]]:
    for name, scale in (("seconds", 1), ("milliseconds", 1000)):
        if UNIX_SECONDS[0] * scale <= numbers.min < numbers.max <= UNIX_SECONDS[1] * scale:
            first, last = (datetime.fromtimestamp(v / scale, UTC).date() for v in (numbers.min, numbers.max))
            yield "timestamp", f"looks like a unix time in {name}, {first} to {last}"
            return
    if is_identifier(column):
        yield "identifier", "numbers the rows: every value is another integer"
    elif column.num_distinct == column.num_cells >= MIN_ROWS:
        yield "all-different", "holds integers of which no two are the same"
    if max(abs(numbers.min), abs(numbers.max)) >= MAX_EXACT:
        yield "large-integers", "holds integers of 2**53 or more, where neighbours are one double"


def _sentinel(column: ColumnFacts, numbers: Numbers) -> str | None:
    """Return the cell that stands for a missing value, if a number does: often there, far from all others."""
    for value in _lonely(numbers, FAR):
        often = [cell for cell, count in column.counts.items() if count > 1 and _is(cell, value)]
        if value in SENTINELS and often:
            return often[0]
    return None


def _lonely(numbers: Numbers, num_ranges: float) -> list[float]:
    """Return the extremes that are further from all other values than so many times their range."""
    found = []
    if numbers.inner_min - numbers.min > num_ranges * (numbers.max - numbers.inner_min) > 0:
        found.append(numbers.min)
    if numbers.max - numbers.inner_max > num_ranges * (numbers.inner_max - numbers.min) > 0:
        found.append(numbers.max)
    return found


def _is(cell: str, value: float) -> bool:
    return NUMBER.fullmatch(cell) is not None and float(cell) == value


def _same_columns(columns: Sequence[ColumnFacts], rows: Sequence[Sequence[str]]) -> Iterator[Finding]:
    """Yield a finding for every column that is cell for cell another one that stands before it."""
    seen: dict[tuple[str, ...], str] = {}
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        if column.num_distinct < 2:  # noqa: PLR2004  # constant columns are told of as such
            continue
        first = seen.setdefault(cells, column.name)
        if first != column.name:
            yield Finding(kind="copy", columns=(column.name,), text=f"is the same as {first!r} in all rows")


def _names_alike(columns: Sequence[ColumnFacts]) -> Iterator[Finding]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for column in columns:
        alike[column.name.casefold()].append(column.name)
    for names in alike.values():
        if len(names) > 1:
            yield Finding(
                kind="case", columns=tuple(names), text="have names that DuckDB does not tell apart"
            )


def _of_label(label: ColumnFacts) -> Iterator[Finding]:
    if label.num_distinct == 1:
        text = "has one value only in the first rows: if the source is sorted, that does no harm"
        yield Finding(kind="one-class", columns=(label.name,), text=text)
    rarest = min(label.counts.values(), default=0)
    if 1 < label.num_distinct <= MAX_CATEGORIES and rarest < RARE * label.num_present:
        value = min(label.counts, key=label.counts.__getitem__)
        text = f"is {value!r} in {rarest:,} of {label.num_present:,} rows only; see --class-weight of train"
        yield Finding(kind="rare-class", columns=(label.name,), text=text)


def _telling(columns: Sequence[ColumnFacts], rows: Sequence[Sequence[str]], label: str) -> Iterator[Finding]:
    """Yield a finding of the columns whose values tell the label without fail, if there are any."""
    names = []
    at = next(index for index, column in enumerate(columns) if column.name == label)
    num_labels = columns[at].num_distinct
    for index, column in enumerate(columns):
        if index == at or not num_labels <= column.num_distinct <= MAX_TELLING or len(rows) < MIN_ROWS:
            continue
        pairs = {(row[index], row[at]) for row in rows}
        if num_labels > 1 and len(pairs) == len({value for value, _ in pairs}):
            names.append(column.name)
    if names:
        text = "tells the label: each of its few values has one label only. Is it known beforehand?"
        yield Finding(kind="telling", columns=tuple(names), text=text)


def _shown(counts: Mapping[str, int]) -> str:
    return shortened(next(iter(counts)))


def _listed(counts: Mapping[str, int]) -> str:
    shown = [repr(shortened(cell)) for cell in list(counts)[:SHOWN]]
    return ", ".join(shown) + (" …" if len(counts) > SHOWN else "")
