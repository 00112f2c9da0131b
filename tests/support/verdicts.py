"""Judges what any reader makes of a fixture: is it right, refused, visibly odd, or wrong without a word?

    right     the records and values that the text holds; or those that it may be taken to hold
    told      an error, and the file is at fault
    refused   an error, though the file can be read
    shown     no error, but something odd is to be seen: a warning, nulls, infinities, text in a column of
              numbers, other columns than the header names; and all other values are right
    silent    no error, no warning, and other records than the text holds, or another number that looks fine

In doubt it favours the reader: whatever a text may be taken for by some convention is right. Features are
compared as float32, other numbers exactly, texts without their quotes, backslashes and outer blanks.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from support.fixtures import Records, Refused
from support.plain_csv import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.fixtures import Fixture
    from support.plain_csv import Kind

Verdict = Literal["right", "told", "refused", "shown", "silent"]
Match = Literal["same", "odd", "other"]
Rows = list[list[Any]]

TEXTS: tuple[Kind, ...] = ("text label", "kept text", "dropped")
REPLACEMENT = "\ufffd"
QUOTES = str.maketrans("", "", "\"'\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a reader returns: the names of all columns and the values of all rows; None or NaN is null.

    `in_order` tells that the rows are in the order of the text; otherwise they are compared as a multiset.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]
    in_order: bool = True


def judge(fixture: Fixture, table: Table | None, *, warned: bool = False) -> Verdict:
    """Return the verdict on what a reader made of a fixture, None standing for an error."""
    if table is None:
        return "refused" if isinstance(fixture.expected, Records) else "told"
    matches = {match_rows(table, rows, fixture.kinds) for rows in readings(fixture)}
    if "same" in matches:
        return "right"
    return "shown" if warned or "odd" in matches or not names_fit(table, fixture) else "silent"


def readings(fixture: Fixture) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the tables, without dropped columns, that a fixture may be taken for; None where nothing is said.

    Where the text is at fault, short rows lack values, delimiters at their end are no fields, and quotes may
    be characters like any other.
    """
    expected = fixture.expected
    if expected.rows is not None:
        yield expected.rows
    text = text_of(fixture)
    if "\r" in text.replace("\r\n", "\n"):
        yield from _table(text.replace("\r\n", "\n").replace("\r", " "), fixture)
    if isinstance(expected, Refused):
        yield from _table(text, fixture)
        yield from _table(text, fixture, quoting=csv.QUOTE_NONE)


def _table(text: str, fixture: Fixture, *, quoting: int = csv.QUOTE_MINIMAL) -> Iterator[Rows]:
    """Yield the table of a text, unless its header, or a row, has too many fields, or there is none."""
    rows = rows_of(text, fixture.delimiter or ",", quoting=quoting)
    body = rows[1:] if fixture.has_header else rows
    if fixture.has_header and not is_header(rows, fixture):
        return
    cut = [row[: len(fixture.kinds)] for row in body if not any(row[len(fixture.kinds) :])]
    if body and len(cut) == len(body):
        yield [values_of(row, fixture.kinds) for row in cut]


def is_header(rows: Sequence[Sequence[str]], fixture: Fixture) -> bool:
    """Return whether the first row can name the columns: as many names, and not all of them numbers."""
    return (
        bool(rows)
        and len(rows[0]) == len(fixture.kinds)
        and any(value_of(cell, "feature") is None for cell in rows[0])
    )


def text_of(fixture: Fixture) -> str:
    """Return the uncompressed text of a fixture, bytes that are no UTF-8 replaced."""
    return fixture.text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")


def rows_of(text: str, delimiter: str, *, quoting: int = csv.QUOTE_MINIMAL) -> list[list[str]]:
    """Return the rows of a text but for blank ones; none where a quote is never closed."""
    csv.field_size_limit(1 << 30)

    def read(*, strict: bool) -> list[list[str]]:
        stream = io.StringIO(text, newline="")
        return [*csv.reader(stream, delimiter=delimiter, quoting=quoting, strict=strict)]

    try:
        read(strict=True)
    except csv.Error as error:
        if "unexpected end" in str(error):
            return []
    return [row for row in read(strict=False) if "".join(row).strip()]


def values_of(row: Sequence[str], kinds: Sequence[Kind]) -> list[Any]:
    """Return what a row says of the columns that are not dropped; fields that it lacks are None."""
    cells = [*row, *[None] * (len(kinds) - len(row))]
    return [value_of(cell, kind) for cell, kind in zip(cells, kinds, strict=True) if kind != "dropped"]


def value_of(cell: str | None, kind: Kind) -> Any:
    """Return what a cell says, None where that is nothing; numbers as Python reads them, so generously."""
    if cell is None or kind in TEXTS:
        return cell
    text = cell.strip()
    try:
        value: float = int(text) if kind == "kept integer" else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and text.lower() not in MISSING else None


def match_rows(table: Table, rows: Sequence[Sequence[Any]], kinds: Sequence[Kind]) -> Match:
    """Return whether a table holds these rows, visibly something else in some places, or others.

    Rows of nothing, which some make of blank lines, are odd and no more.
    """
    used = [at for at, kind in enumerate(kinds) if kind != "dropped"]
    found = [row for row in table.rows if not all(map(is_nothing, row))]
    if len(table.names) != len(kinds) or len(found) != len(rows):
        return "other"
    mine = [[row[at] for at in used] for row in found]
    if not table.in_order:
        mine, rows = (
            sorted(many, key=lambda row: [canonical(v, kinds[at]) for v, at in zip(row, used, strict=True)])
            for many in (mine, rows)
        )
    cells = {
        match_cell(value, expected, kinds[at])
        for row, values in zip(mine, rows, strict=True)
        for value, expected, at in zip(row, values, used, strict=True)
    }
    if "other" in cells:
        return "other"
    return "odd" if "odd" in cells or len(found) < len(table.rows) else "same"


def match_cell(found: Any, expected: Any, kind: Kind) -> Match:
    """Return whether a value that a reader returns is the one expected, visibly none, or another."""
    if is_null(found):
        return "odd"
    if kind in TEXTS:
        return match_text(found, expected)
    if isinstance(found, str | bytes):
        return "odd"
    if expected is not None and canonical(found, kind) == canonical(expected, kind):
        return "same"
    return "odd" if isinstance(found, float) and math.isinf(found) else "other"


def match_text(found: Any, expected: Any) -> Match:
    """Return whether a text is the one expected; another type, or letters that mark bytes lost, are odd."""
    if isinstance(found, str) and canonical(found, "kept text") == canonical(expected, "kept text"):
        return "same"
    return "other" if isinstance(found, str) and REPLACEMENT not in found else "odd"


def canonical(value: Any, kind: Kind) -> Any:
    """Return something that is equal for values that are the same."""
    if kind in TEXTS:
        return str(value or "").translate(QUOTES).strip()
    if kind != "feature":
        return value
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def is_null(value: Any) -> bool:
    """Return whether a value stands for none."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_nothing(value: Any) -> bool:
    """Return whether a value stands for none, or is a text of blanks."""
    return is_null(value) or (isinstance(value, str) and not value.strip())


def names_fit(table: Table, fixture: Fixture) -> bool:
    """Return whether a table has the columns that are asked for, so that nobody notices by their names."""
    if len(table.names) != len(fixture.kinds):
        return False
    if not fixture.has_header:
        return True
    text, delimiter = text_of(fixture), fixture.delimiter or ","
    header_row = next(iter(rows_of(text, delimiter)), text.partition("\n")[0].split(delimiter))
    header, found = ([*map(clean_name, names)] for names in (header_row, table.names))
    return found == header and any(value_of(name, "feature") is None for name in header)


def clean_name(name: str) -> str:
    """Return a column's name without what readers may leave out."""
    return str(name).strip().removeprefix("#").strip()
