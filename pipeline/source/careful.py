"""Owns the careful parser: plain `csv` and `float` semantics, cell by cell, naming the line of every fault.

About thirty times slower than `fast`, it parses only ranges that the fast parser cannot be trusted with, and
says what is wrong with them. What it accepts is exactly what docs/format.md calls a number.
"""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import (
    EncodingError,
    FieldCountError,
    InputError,
    MissingValueError,
    NonFiniteError,
    NotANumberError,
    QuoteError,
)
from pipeline.source.parsed import ParsedRange, Reject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "\\n", "-nan", "+nan"})
INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
# Decimal and exponent as C and CSV writers have them: no underscores, no hexadecimal, ASCII digits alone.
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+")
LINE_END = re.compile(rb"\r\n?|\n")  # as `csv` counts lines: a carriage return alone ends one too
BLANKS = " \t"
MAX_DIGITS = 19
MAX_REJECT_TEXT = 1000  # characters of a rejected row that are kept
MAX_FIELD_CHARACTERS = 16 << 20

Fault = Literal["bad-row", "missing", "nonfinite"]


def read_number(cell: str) -> float:
    """Return the float of `cell`, exactly what `float()` gives; NaN for a missing value.

    Raises:
        NonFiniteError: written as infinite, or too large for a double.
        NotANumberError: anything else that is no decimal number.
    """
    text = cell.strip(BLANKS)
    if NUMBER.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise NonFiniteError(f"{text} is too large for a double", hint=_NONFINITE_HINT)
        return value
    folded = text.casefold()
    if folded in MISSING:
        return math.nan
    if folded in INFINITE:
        raise NonFiniteError(f"found {text!r}, expected a finite number", hint=_NONFINITE_HINT)
    raise NotANumberError(f"found {_shown(cell)}, expected a number", hint=_number_hint(text))


def read_integer(cell: str) -> int:
    """Return the integer of `cell`, exact to 64 bits.

    Raises:
        NotANumberError: not an integer of 64 bits.
    """
    text = cell.strip(BLANKS)
    digits = text.lstrip("+-0")
    # Python refuses to convert thousands of digits; no 64-bit integer has more than 19.
    if INTEGER.fullmatch(text) and len(digits) <= MAX_DIGITS:
        value = int(digits or "0") * (-1 if text[0] == "-" else 1)
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise NotANumberError(
        f"found {_shown(cell)}, expected a 64-bit integer as in the rows before",
        hint="drop the column with --drop",
    )


_NONFINITE_HINT = "pass --on-nonfinite drop to set such rows aside"


def _number_hint(text: str) -> str:
    if re.fullmatch(r"[+-]?[0-9]{1,3}(?:[.' ][0-9]{3})*,[0-9]+", text):
        return "decimal commas are not read; write 1.5, not 1,5"
    return "pass --on-bad-row skip to set such rows aside"


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:60] + "…")  # noqa: PLR2004  # what fits on one line


def parse(text: bytes, plan: ConvertPlan) -> ParsedRange:
    """Parse the records of one range; lines in errors and rejects count from 1 at the start of `text`.

    Raises:
        InputError: the first fault that the options do not allow to set aside.
    """
    schema, identity = plan.schema, plan.options.identity
    names = schema.names
    cells: dict[str, list[Any]] = {column.name: [] for column in schema.used}
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
            if len(row) != len(names):
                raise FieldCountError(
                    f"expected {len(names)} fields, found {len(row)}",
                    hint="pass --on-bad-row skip to set such rows aside",
                )
            values = [
                _read_cell(column, cell, allow_missing=identity.on_missing == "mean")
                for column, cell in zip(schema.columns, row, strict=True)
            ]
        except InputError as error:
            error.line = line
            if not skip[_fault(error)]:
                raise
            rejects.append(_reject(error, index, places.begin_of(line), plan.dialect.delimiter.join(row)))
            continue
        kept.append(index)
        for column, value in zip(schema.columns, values, strict=True):
            if column.role != "drop":
                cells[column.name].append(value)
    return ParsedRange(
        num_records=num_records,
        kept=None if len(kept) == num_records else np.asarray(kept, np.intp),
        numbers=_stack([cells[column.name] for column in schema.numbers], len(kept), np.float64),
        integers=_stack([cells[column.name] for column in schema.integers], len(kept), np.int64),
        texts=tuple(pa.array(cells[column.name], pa.large_string()) for column in schema.texts),
        rejects=tuple(rejects),
        num_blank=num_blank,
        num_lines=text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n"),
    )


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


def is_blank(row: list[str]) -> bool:
    """Return whether a row is a blank line rather than a record; there are at least two columns."""
    return not row or (len(row) == 1 and not row[0].strip(BLANKS))


def _stack(columns: list[list[Any]], num_records: int, dtype: type[np.generic]) -> NDArray[Any]:
    return np.array(columns, dtype).reshape(len(columns), num_records)


def _reject(error: InputError, index: int, byte_offset: int, text: str) -> Reject:
    return Reject(
        record_index=index,
        line=error.line or 1,
        byte_offset=byte_offset,
        column=error.column,
        code=error.code,
        reason=error.message,
        text=text[:MAX_REJECT_TEXT],
    )


def _fault(error: InputError) -> Fault:
    if isinstance(error, MissingValueError):
        return "missing"
    return "nonfinite" if isinstance(error, NonFiniteError) else "bad-row"


def _read_cell(column: Column, cell: str, *, allow_missing: bool) -> float | int | str | None:
    if column.role == "drop":
        return None
    try:
        if column.reading == "text":
            return _checked_text(column, cell)
        if column.reading == "integer":
            return read_integer(cell)
        value = read_number(cell)
        if math.isnan(value) and not (allow_missing and column.role in {"feature", "keep"}):
            raise MissingValueError(
                f"no value: found {_shown(cell)}, expected a number",
                hint="pass --on-missing drop to set such rows aside, or --on-missing mean to fill them",
            )
    except InputError as error:
        error.column = column.name
        raise
    return value


def _checked_text(column: Column, cell: str) -> str:
    if column.role == "label" and cell.strip(BLANKS).casefold() in MISSING:
        raise MissingValueError("no label", hint="pass --on-missing drop to set such rows aside")
    return cell.strip(BLANKS) if column.role == "label" else cell


def read_rows(text: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of every row of `text`, blank ones as []; the line is where the row begins.

    Raises:
        EncodingError: not UTF-8, or NUL bytes.
        QuoteError: an unclosed quote, or text after a closing one.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"byte 0x{text[error.start]:02x} is not UTF-8",
            line=text.count(b"\n", 0, error.start) + 1,
            hint="convert it: iconv -f LATIN1 -t UTF-8",
        ) from None
    if "\0" in decoded:
        line = decoded.count("\n", 0, decoded.index("\0")) + 1
        raise EncodingError("a NUL byte: this is not text", line=line)
    rows = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in rows:
            yield line, row
            line = rows.line_num + 1
    except csv.Error as error:
        raise QuoteError(f"in the row that begins here: {error}", line=line) from None
