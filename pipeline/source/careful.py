"""Owns the careful parser: plain `csv` and `float` semantics, cell by cell, naming the line of every fault.

About thirty times slower than `fast`, it parses only ranges that the fast parser cannot be trusted with, and
says what is wrong with them. It is also the definition of what is read. Faults are told in the order of the
text, so that the first one does not depend on where the text was cut. Neighbours: `rows` divides the text,
`cells` reads single cells.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import (
    FieldCountError,
    HeaderError,
    InputError,
    MissingValueError,
    NonFiniteError,
)
from pipeline.source import cells
from pipeline.source.files import count_line_ends
from pipeline.source.parsed import ParsedRange, Reject
from pipeline.source.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column, Reading

LINE_END = re.compile(rb"\r\n?|\n")  # as `csv` counts lines: a carriage return alone ends one too
MAX_REJECT_BYTES = 1000  # of a rejected row, in UTF-8, that are kept

Fault = Literal["bad-row", "missing", "nonfinite"]

READ: dict[Reading, Callable[[str], float]] = {
    "number": cells.read_number,
    "boolean": cells.read_boolean,
    "datetime": cells.read_datetime,
}
EXPECTED = {"number": "a number", "boolean": "true or false", "datetime": "a date or time"}
FILL_HINT = f"{cells.MISSING_HINT}, or --on-missing mean to fill them"


def parse(text: bytes, plan: ConvertPlan) -> ParsedRange:
    """Parse the records of one range; lines in errors and rejects count from 1 at the start of `text`.

    Raises:
        InputError: the first fault that the options do not allow to set aside.
    """
    schema, identity = plan.schema, plan.options.identity
    columns: dict[str, list[Any]] = {column.name: [] for column in schema.read}
    kept: list[int] = []
    rejects: list[Reject] = []
    places = _Places(text)
    num_records = num_blank = 0
    skip: dict[Fault, bool] = {
        "bad-row": identity.on_bad_row == "skip",
        "missing": identity.on_missing == "drop",
        "nonfinite": identity.on_nonfinite == "drop",
    }
    for line, row in read_rows(text, plan.dialect.delimiter):
        if is_blank(row):
            num_blank += 1
            continue
        index, num_records = num_records, num_records + 1
        try:
            values = _read_row(row, plan)
        except InputError as error:
            error.line = line
            fault = _fault(error)
            # Rows after such a header mean something else: to set it aside alone would mix columns up.
            is_header = isinstance(error, HeaderError)
            if not skip[fault] or (is_header and cells.is_turned_header(row, plan.header)):
                if fault == "missing":
                    error.message += _how_many_missing(text, plan)
                raise
            rejects.append(_reject(error, index, places.begin_of(line), row, plan.dialect.delimiter))
            continue
        kept.append(index)
        for column, value in zip(schema.as_written, values, strict=True):
            if column.role != "drop":
                columns[column.name].append(value)
    return ParsedRange(
        num_records=num_records,
        kept=None if len(kept) == num_records else np.asarray(kept, np.intp),
        numbers=_stack([columns[column.name] for column in schema.numbers], len(kept), np.float64),
        integers=_stack([columns[column.name] for column in schema.integers], len(kept), np.int64),
        texts=tuple(pa.array(columns[column.name], pa.large_string()) for column in schema.texts),
        splits=_splits(schema.read_for_split, columns),
        rejects=tuple(rejects),
        num_blank=num_blank,
        num_lines=count_line_ends(text),
    )


def _read_row(row: list[str], plan: ConvertPlan) -> list[float | int | str | None]:
    columns = plan.schema.as_written
    if len(row) != len(columns):
        raise FieldCountError(f"expected {len(columns)} fields, found {len(row)}", hint=cells.BAD_ROW_HINT)
    allow_missing = plan.options.identity.on_missing == "mean"
    try:
        return [
            read_cell(column, cell, allow_missing=allow_missing)
            for column, cell in zip(columns, row, strict=True)
        ]
    except InputError:
        if tuple(row) == plan.header:
            raise HeaderError(
                "the header line stands here again; was the file put together from several?",
                hint=cells.BAD_ROW_HINT,
            ) from None
        if cells.is_turned_header(row, plan.header):
            raise HeaderError(
                f"the columns stand here again, in another order: {', '.join(row)[:200]}",
                hint="name the files that it was put together from one by one, each with its own header line",
            ) from None
        raise


def _how_many_missing(text: bytes, plan: ConvertPlan) -> str:
    """Return how many rows of `text` lack a value, as the end of a message."""
    columns = [(at, c) for at, c in enumerate(plan.schema.as_written) if _needs_value(c)]
    num_rows = num_missing = 0
    try:
        for _, row in read_rows(text, plan.dialect.delimiter):
            if len(row) == len(plan.schema.columns):
                num_rows += 1
                num_missing += any(lacks_value(column, row[at].strip(cells.BLANKS)) for at, column in columns)
    except InputError:
        pass  # the fault that is told comes before this one
    return f"; {num_missing:,} of {num_rows:,} rows in this byte range lack a value"


def lacks_value(column: Column, text: str) -> bool:
    """Return whether `text`, without blanks around it, is no value of a label, category or number."""
    return not text if column.role == "category" else cells.is_missing(text)


def _needs_value(column: Column) -> bool:
    if column.role in {"label", "category"} or column.splits:
        return True
    return column.role != "drop" and column.reading != "text"


class _Places:
    """Tells at which byte of a text a line begins; must be asked in ascending order."""

    def __init__(self, text: bytes) -> None:
        self._ends = LINE_END.finditer(text)
        self._line, self._begin = 1, 0

    def begin_of(self, line: int) -> int:
        """Return the byte at which `line`, counted from 1, begins."""
        for _ in range(line - self._line):
            self._begin = next(self._ends).end()
        self._line = line
        return self._begin


def line_of(text: bytes, delimiter: str, record_index: int) -> int:
    """Return the line, from 1 at the start of `text`, on which a record begins."""
    lines = (line for line, row in read_rows(text, delimiter) if not is_blank(row))
    return next(itertools.islice(lines, record_index, None))


def is_blank(row: list[str]) -> bool:
    """Return whether a row is a blank line rather than a record; there are at least two columns.

    A line that is nothing but `""` is not: it is a record with one field.
    """
    return not row or (len(row) == 1 and row[0] != "" and not row[0].strip(cells.BLANKS))


def _stack(columns: list[list[Any]], num_records: int, dtype: type[np.generic]) -> NDArray[Any]:
    return np.array(columns, dtype).reshape(len(columns), num_records)


def _splits(column: Column | None, columns: dict[str, list[Any]]) -> Any:  # noqa: ANN401  # an array of either
    if column is None:
        return None
    is_text = column.reading == "text"
    return pa.array(columns[column.name], pa.large_string() if is_text else pa.float64())


def _reject(error: InputError, index: int, byte_offset: int, row: Sequence[str], delimiter: str) -> Reject:
    return Reject(
        record_index=index,
        line=error.line or 1,
        byte_offset=byte_offset,
        column=error.column,
        code=error.code,
        reason=error.message,
        text=_as_text(row, delimiter).encode()[:MAX_REJECT_BYTES].decode(errors="ignore"),
    )


def _as_text(row: Sequence[str], delimiter: str) -> str:
    """Return a row as a line of CSV that reads back as the same cells."""
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(row)
    return line.getvalue()


def _fault(error: InputError) -> Fault:
    if isinstance(error, MissingValueError):
        return "missing"
    return "nonfinite" if isinstance(error, NonFiniteError) else "bad-row"


def read_cell(column: Column, cell: str, *, allow_missing: bool) -> float | int | str | None:
    """Return what a cell of `column` holds; NaN or "" where it is missing and may be.

    Raises:
        InputError: a fault, with the name of the column.
    """
    if column.role == "drop":
        return None
    try:
        if column.reading == "text":
            return _checked_text(column, cell, allow_missing=allow_missing)
        if column.reading == "integer":
            return cells.read_integer(cell)
        value = READ[column.reading](cell)
        allow_missing = allow_missing and column.role in {"feature", "keep"} and not column.splits
        if math.isnan(value) and not allow_missing:
            raise MissingValueError(
                f"no value: found {cells.shortened(cell)!r}, expected {EXPECTED[column.reading]}",
                hint=cells.MISSING_HINT if column.splits else FILL_HINT,
            )
    except InputError as error:
        error.column = column.name
        raise
    return value


def _checked_text(column: Column, cell: str, *, allow_missing: bool) -> str:
    """Return the text of a cell, without blanks around it if it is a label or category.

    A label is missing if it is a word for a missing value; a category only if nothing is there: `none` may
    well be what mushrooms smell of.
    """
    if column.splits:
        cells.check_split(cell, column.splits)
    if column.role not in {"label", "category"}:
        return cell
    text = cell.strip(cells.BLANKS)
    if column.role == "label" and cells.is_missing(text):
        raise MissingValueError(f"no label: found {cells.shortened(cell)!r}", hint=cells.MISSING_HINT)
    if not text and not allow_missing:
        raise MissingValueError("no value: found nothing, expected a category", hint=FILL_HINT)
    return text
