"""Owns the careful parser: plain `csv` and `float` semantics, cell by cell, naming the line of every fault.

About thirty times slower than `fast`, it parses only ranges that the fast parser cannot be trusted with, and
says what is wrong with them. What it accepts is exactly what docs/format.md calls a number.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

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
    from collections.abc import Iterator, Sequence

    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "\\n", "-nan", "+nan"})
INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
# Decimal and exponent as C and CSV writers have them: no underscores, no hexadecimal, ASCII digits alone.
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+")
BLANKS = " \t"
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
    if INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        return int(text)
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


@dataclass(slots=True, kw_only=True)
class _Cells:
    """The cells read so far, by column; only whole rows are ever added."""

    numbers: list[list[float]]
    integers: list[list[int]]
    texts: list[list[str]]
    kept: list[int] = field(default_factory=list)


def parse(text: bytes, plan: ConvertPlan) -> ParsedRange:
    """Parse the records of one range; lines in errors and rejects count from 1 at the start of `text`.

    Raises:
        InputError: the first fault that the options do not allow to set aside.
    """
    schema = plan.schema
    names = schema.names
    identity = plan.options.identity
    cells = _Cells(
        numbers=[[] for _ in schema.with_reading("number")],
        integers=[[] for _ in schema.with_reading("integer")],
        texts=[[] for _ in schema.with_reading("text")],
    )
    rejects: list[Reject] = []
    num_records = num_blank = 0
    skip: dict[Fault, bool] = {
        "bad-row": identity.on_bad_row == "skip",
        "missing": identity.on_missing == "drop",
        "nonfinite": identity.on_nonfinite == "drop",
    }
    for line, row in read_rows(text, plan.dialect.delimiter):
        if not row or (len(row) == 1 and not row[0].strip(BLANKS) and len(names) > 1):
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
            rejects.append(_reject(error, index, row, text, plan.dialect.delimiter))
            continue
        _add(cells, schema.columns, values)
        cells.kept.append(index)
    return _parsed(cells, rejects, num_records, num_blank, text)


def _reject(error: InputError, index: int, row: list[str], text: bytes, delimiter: str) -> Reject:
    offset = 0
    for _ in range((error.line or 1) - 1):
        offset = text.index(b"\n", offset) + 1
    return Reject(
        record_index=index,
        line=error.line or 1,
        byte_offset=offset,
        column=error.column,
        code=error.code,
        reason=error.message,
        text=delimiter.join(row)[:MAX_REJECT_TEXT],
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


def _add(cells: _Cells, columns: Sequence[Column], values: Sequence[float | int | str | None]) -> None:
    numbers, integers, texts = iter(cells.numbers), iter(cells.integers), iter(cells.texts)
    for column, value in zip(columns, values, strict=True):
        if column.role == "drop":
            continue
        into = {"number": numbers, "integer": integers, "text": texts}[column.reading]
        next(into).append(value)  # type: ignore[attr-defined]


def _parsed(
    cells: _Cells, rejects: list[Reject], num_records: int, num_blank: int, text: bytes
) -> ParsedRange:
    num_kept = len(cells.kept)
    kept = None if num_kept == num_records else np.asarray(cells.kept, np.intp)
    return ParsedRange(
        num_records=num_records,
        kept=kept,
        numbers=np.array(cells.numbers, np.float64).reshape(len(cells.numbers), num_kept),
        integers=np.array(cells.integers, np.int64).reshape(len(cells.integers), num_kept),
        texts=tuple(pa.array(column, pa.large_string()) for column in cells.texts),
        rejects=tuple(rejects),
        num_blank=num_blank,
        num_lines=text.count(b"\n"),
    )


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
