"""Owns what each column holds by its first cells: numbers, booleans, text; and whether a label is classes.

Neighbours: `sniff` supplies the cells of the first mebibyte, `cells` says what one cell is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import FieldCountError, NonFiniteError, NotANumberError
from pipeline.source import cells

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.schema import LabelKind, Reading

MAX_AUTO_CLASSES = 100  # an integer label with more distinct values is a quantity rather than a class


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a column holds; `whole` whether all its values are integers, though some may be missing."""

    reading: Reading
    whole: bool


def held(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Held]:
    """Return what each column holds by its first cells: integers, numbers, booleans or text.

    A column is text where more cells are text than numbers: a single bad cell does not make it so, and is
    reported with its line when it is read. Dates are text until the user says what they are. A column without
    any value is taken for numbers.

    Raises:
        FieldCountError: no row has as many fields as the header.
    """
    whole_rows = [row for row in rows if len(row) == len(names)]
    if not whole_rows:
        raise FieldCountError(
            f"expected {len(names)} fields as in the header, found {len(rows[0])}",
            hint="is the header complete, and is this the right --delimiter?",
        )
    return {name: _held([row[index] for row in whole_rows]) for index, name in enumerate(names)}


def _held(column: Sequence[str]) -> Held:
    if not cells.INTEGER.fullmatch(column[0].strip(cells.BLANKS)) and _all_plain_numbers(column):
        return Held(reading="number", whole=False)
    present = [cell for cell in map(_stripped, column) if not cells.is_missing(cell)]
    if all(cells.INTEGER.fullmatch(cell) for cell in present) and present:
        return Held(reading="integer" if len(present) == len(column) else "number", whole=True)
    if all(cell.lower() in cells.BOOLEAN for cell in present) and present:
        return Held(reading="boolean", whole=False)
    num_numbers = sum(map(is_number, present))
    return Held(reading="number" if 2 * num_numbers >= len(present) else "text", whole=False)


def _stripped(cell: str) -> str:
    return cell.strip(cells.BLANKS)


def _all_plain_numbers(column: Sequence[str]) -> bool:
    """Whether `float` takes every cell for a finite number; the quick way for nearly every column."""
    try:
        return math.isfinite(sum(map(float, column))) and not any("_" in cell for cell in column)
    except (ValueError, OverflowError):
        return False


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, missing or infinite, rather than text."""
    try:
        cells.read_number(cell)
    except NonFiniteError:
        return True
    except NotANumberError:
        return False
    return True


def label_kind(labels: Iterable[str], reading: Reading) -> LabelKind:
    """Return whether a label's first cells are classes (text, or few whole numbers) or a quantity."""
    if reading in {"text", "boolean"}:
        return "classes"
    distinct = set(map(_stripped, labels))
    values = {float(cell) for cell in distinct if cells.NUMBER.fullmatch(cell)}
    whole = all(value.is_integer() for value in values)
    return "classes" if whole and len(values) <= MAX_AUTO_CLASSES else "number"
