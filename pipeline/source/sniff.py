"""Owns what is learnt before the plan is made: header, delimiter, what each column holds, bytes a record.

Reads the first mebibyte of each source and no more.
"""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import (
    DelimiterError,
    EmptySourceError,
    EncodingError,
    FieldCountError,
    HeaderError,
    LineTooLongError,
    NonFiniteError,
    NotANumberError,
    PipelineError,
)
from pipeline.schema import clean_names
from pipeline.source import careful
from pipeline.source.files import BYTE_ORDER_MARK, open_text, read_exactly, recognise
from pipeline.source.ranges import find_cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.schema import LabelKind, Reading

from pipeline.plan import Dialect, SourceFile

SNIFF_BYTES = 1 << 20
OTHER_DELIMITERS = (";", "\t", "|", " ", ",")
MAX_AUTO_CLASSES = 100  # an integer label with more distinct values is a quantity rather than a class


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """What the beginning of a source shows; `rows` are its first records, whole ones only."""

    file: SourceFile
    header: tuple[str, ...]
    names: tuple[str, ...]
    dialect: Dialect
    rows: tuple[tuple[str, ...], ...]
    mean_record_bytes: float


def sniff(path: Path, *, delimiter: str | None, has_header: bool) -> Sniffed:
    """Return what the beginning of the source `path` shows.

    Raises:
        InputError: there is no such file, or it has no header, no record, or not this delimiter.
    """
    compression = recognise(path)
    stat = path.stat()
    with open_text(path, compression) as text:
        head = read_exactly(text, SNIFF_BYTES)
    ends_here = len(head) < SNIFF_BYTES
    try:
        _check_line_ends(head, ends_here=ends_here)
        offset, header, names, dialect = _read_header(head, delimiter or ",", has_header=has_header)
        with _counting_lines(head[:offset]):
            _check_delimiter(head[offset:], names, dialect)
            body, rows = _first_rows(head[offset:], dialect, ends_here=ends_here)
    except PipelineError as error:
        error.path = str(path)
        raise
    file = SourceFile(
        path=path,
        num_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        compression=compression,
        text_offset=offset,
    )
    return Sniffed(
        file=file,
        header=header,
        names=names,
        dialect=dialect,
        rows=rows,
        mean_record_bytes=len(body) / len(rows),
    )


@contextmanager
def _counting_lines(before: bytes) -> Iterator[None]:
    """Make the line of an error count from the start of the file: `before` is the text before line 1."""
    try:
        yield
    except PipelineError as error:
        error.line = None if error.line is None else error.line + before.count(b"\n")
        raise


def _check_line_ends(head: bytes, *, ends_here: bool) -> None:
    if b"\n" in head:
        return
    if b"\r" in head.rstrip():
        raise EncodingError(
            "the lines end in carriage returns alone", hint="convert them: tr '\\r' '\\n' < old > new"
        )
    if not ends_here:
        raise _too_long()


def _too_long() -> LineTooLongError:
    return LineTooLongError(
        f"no end of line within {SNIFF_BYTES} bytes",
        line=1,
        hint="is this a CSV, and are its quotes closed?",
    )


def _read_header(
    head: bytes, delimiter: str, *, has_header: bool
) -> tuple[int, tuple[str, ...], tuple[str, ...], Dialect]:
    """Return (bytes before the first record, names as written, clean names, dialect)."""
    offset = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
    if not head[offset:].strip():
        raise EmptySourceError("no header line: the file holds only blanks")
    blank_lines = re.compile(rb"(?:[%s]*\r?\n)*" % careful.BLANKS.replace(delimiter, "").encode())
    if found := blank_lines.match(head, offset):
        offset = found.end()
    end = find_cut(head[offset:], 1) or len(head) - offset
    # find_cut(…, 1) accepts the first line end outside quotes: the end of the first record.
    with _counting_lines(head[:offset]):
        _, first = next(careful.read_rows(head[offset : offset + end], delimiter))
    dialect = Dialect(delimiter=delimiter, has_header=has_header)
    if not has_header:
        names = tuple(f"column_{index + 1}" for index in range(len(first)))
        return offset, (), names, dialect
    if all(_is_number(cell) for cell in first):
        raise HeaderError(
            "the first line looks like data, expected column names",
            line=head.count(b"\n", 0, offset) + 1,
            hint="pass --no-header",
        )
    return offset + end, tuple(first), clean_names(first), dialect


def _is_number(cell: str) -> bool:
    try:
        careful.read_number(cell)
    except NonFiniteError:
        return True
    except NotANumberError:
        return False
    return True


def _check_delimiter(body: bytes, names: tuple[str, ...], dialect: Dialect) -> None:
    if len(names) > 1:
        return
    line = (body.split(b"\n", 1)[0] or names[0].encode()).decode(errors="replace")
    for other in OTHER_DELIMITERS:
        if other != dialect.delimiter and (count := line.strip().count(other)):
            shown = "'\\t'" if other == "\t" else repr(other)
            raise DelimiterError(
                f"1 column found with the delimiter {dialect.delimiter!r}; the line holds {count} {shown}",
                line=1,
                hint=f"try --delimiter {shown}",
            )
    raise DelimiterError("1 column found, expected a label and at least one feature")


def _first_rows(
    body: bytes, dialect: Dialect, *, ends_here: bool
) -> tuple[bytes, tuple[tuple[str, ...], ...]]:
    """Return the whole records among `body`, as text and as cells."""
    if not ends_here:
        body = body[: _last_cut(body)]
        if not body:
            raise _too_long()
    rows = tuple(
        tuple(row)
        for _, row in careful.read_rows(body, dialect.delimiter)
        if len(row) > 1 or "".join(row).strip(careful.BLANKS)
    )
    if not rows:
        raise EmptySourceError("0 data rows", hint="the file holds a header line and nothing else")
    return body, rows


def _last_cut(body: bytes) -> int:
    """Return where the last record that is whole ends: after the last line end outside quotes."""
    end = counted = num_quotes = 0
    found = body.find(b"\n")
    while found >= 0:
        num_quotes += body.count(b'"', counted, found)
        end = end if num_quotes % 2 else found + 1
        counted, found = found, body.find(b"\n", found + 1)
    return end


def readings(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Reading]:
    """Return what each column holds by its first cells: integers, numbers or text.

    A column is text where more cells are text than numbers: a single bad cell does not make it so, and is
    reported with its line when it is read. A column without any value is taken for numbers.

    Raises:
        FieldCountError: no row has as many fields as the header.
    """
    whole = [row for row in rows if len(row) == len(names)]
    if not whole:
        raise FieldCountError(
            f"expected {len(names)} fields as in the header, found {len(rows[0])}",
            line=2,
            hint="is the header complete, and is this the right --delimiter?",
        )
    return {name: _reading([row[index] for row in whole]) for index, name in enumerate(names)}


def _reading(cells: Sequence[str]) -> Reading:
    if not careful.INTEGER.fullmatch(cells[0].strip()) and _all_plain_numbers(cells):
        return "number"
    present = [cell for cell in map(str.strip, cells) if cell.casefold() not in careful.MISSING]
    if all(careful.INTEGER.fullmatch(cell) for cell in present) and present:
        return "integer" if len(present) == len(cells) else "number"
    num_numbers = sum(1 for cell in present if _is_number(cell))
    return "number" if 2 * num_numbers >= len(present) else "text"


def _all_plain_numbers(cells: Sequence[str]) -> bool:
    """Whether `float` takes every cell for a finite number; the quick way for nearly every column."""
    try:
        return math.isfinite(sum(map(float, cells))) and not any("_" in cell for cell in cells)
    except (ValueError, OverflowError):
        return False


def label_kind(cells: Sequence[str], reading: Reading) -> LabelKind:
    """Return whether a label's first cells are classes (text, or few whole numbers) or a quantity."""
    if reading == "text":
        return "classes"
    distinct = set(map(str.strip, cells))
    values = {float(cell) for cell in distinct if careful.NUMBER.fullmatch(cell)}
    whole = all(value.is_integer() for value in values)
    return "classes" if whole and len(values) <= MAX_AUTO_CLASSES else "number"
