"""Owns what is learnt before the plan is made: header, delimiter, the first records, bytes a record.

Reads the first mebibyte of each source and no more. Neighbour: `columns` tells what the columns hold.
"""

from __future__ import annotations

import itertools
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
    InputError,
    LineTooLongError,
    PipelineError,
)
from pipeline.schema import clean_names
from pipeline.source import careful, cells
from pipeline.source.columns import is_number
from pipeline.source.files import (
    BYTE_ORDER_MARK,
    count_line_ends,
    read_beginning,
    recognise,
)
from pipeline.source.foreign import check_text
from pipeline.source.quotes import last_cut
from pipeline.source.rows import read_rows
from pipeline.storage.reads import has_ranges, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.storage.paths import SourcePath

from pipeline.plan import Dialect, SourceFile

SNIFF_BYTES = 1 << 20
FURTHER_BYTES = 64 << 10
UNKNOWN_BYTES = 1 << 30  # of standard input, and of servers that do not tell; for estimates only
SHOWN_NAMES = 8
SHOWN_CHARACTERS = 60
OTHER_DELIMITERS = (";", "\t", "|", " ", ",")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """What the beginning of a source shows; `rows` are its first records, whole ones only, on `lines`."""

    file: SourceFile
    header: tuple[str, ...]
    names: tuple[str, ...]
    dialect: Dialect
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    mean_record_bytes: float


def sniff(path: SourcePath, *, delimiter: str | None, has_header: bool, min_columns: int = 2) -> Sniffed:
    """Return what the beginning of the source `path` shows.

    A conversion needs two columns, a prediction may do with one. Faults behind the first record are left to
    be told, in their order, when the text is read.

    Raises:
        InputError: there is no such file, or it has no header, no record, or not this delimiter.
    """
    compression = recognise(path)
    num_bytes, modified = state_of(path)
    head, expansion = read_beginning(path, compression, SNIFF_BYTES)
    ends_here = len(head) < SNIFF_BYTES
    try:
        mark = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
        check_text(head[mark:])
        dialect = Dialect(delimiter=delimiter or ",", has_header=has_header)
        begin = _skip_blank_lines(head, mark, dialect.delimiter)
        _check_line_ends(head[begin:], ends_here=ends_here)
        with _counting_lines(head[:begin]):
            header_bytes, header, names = _read_header(head[begin:], dialect)
        offset = begin + header_bytes
        with _counting_lines(head[:offset]):
            _check_delimiter(head[offset:], names, dialect, min_columns=min_columns)
            body, lines, rows = _first_rows(head[offset:], dialect, ends_here=ends_here)
    except PipelineError as error:
        error.path = str(path)
        raise
    file = SourceFile(
        path=path,
        num_bytes=num_bytes,
        modified_ns=modified,
        in_ranges=compression == "none" and has_ranges(path, num_bytes),
        compression=compression,
        text_offset=offset,
        num_blank=count_line_ends(head, mark, begin),
        header_lines=count_line_ends(head, 0, offset),
        expansion=expansion,
    )
    num_before = count_line_ends(head, 0, offset)
    return Sniffed(
        file=file,
        header=header,
        names=names,
        dialect=dialect,
        rows=rows,
        lines=tuple(line + num_before for line in lines),
        mean_record_bytes=len(body) / len(rows),
    )


def sniff_further(path: SourcePath, first: Sniffed) -> SourceFile:
    """Return what a further file of the source is, whose columns are those of the `first`, in any order.

    Reads a little of it: there may be thousands.

    Raises:
        HeaderError: it has other columns; they are named.
        InputError: there is no such file, or it has no header.
    """
    compression = recognise(path)
    num_bytes, modified = state_of(path)
    try:
        head, expansion = read_beginning(path, compression, FURTHER_BYTES)
        if len(head) == FURTHER_BYTES and b"\n" not in head:  # a header of thousands of columns
            head, expansion = read_beginning(path, compression, SNIFF_BYTES)
        mark = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
        check_text(head[mark:])
        begin = _skip_blank_lines(head, mark, first.dialect.delimiter)
        with _counting_lines(head[:begin]):
            header_bytes, header, names = _read_header(head[begin:], first.dialect)
            _check_same_columns(names, first)
    except PipelineError as error:
        error.path = str(path)
        raise
    offset = begin + header_bytes
    differs = names != first.names
    return SourceFile(
        path=path,
        num_bytes=num_bytes,
        modified_ns=modified,
        compression=compression,
        text_offset=offset,
        num_blank=count_line_ends(head, mark, begin),
        header_lines=count_line_ends(head, 0, offset),
        header=header if differs else (),
        order=names if differs else (),
        in_ranges=compression == "none" and has_ranges(path, num_bytes),
        expansion=expansion,
    )


def expected_text_bytes(file: SourceFile) -> int:
    """Return how many bytes of text a file will hold, as far as that can be told by its beginning."""
    return UNKNOWN_BYTES if file.num_bytes < 0 else round(file.num_bytes * file.expansion)


def _check_same_columns(names: tuple[str, ...], first: Sniffed) -> None:
    if not first.dialect.has_header:
        if len(names) != len(first.names):
            raise FieldCountError(
                f"expected {len(first.names)} fields as in {first.file.path}, found {len(names)}", line=1
            )
        return
    missing = [name for name in first.names if name not in names]
    further = [name for name in names if name not in first.names]
    if missing or further:
        said = [
            f"{word} {_listed(these)}" for word, these in (("without", missing), ("with", further)) if these
        ]
        raise HeaderError(
            f"not the columns of {first.file.path}: {'; '.join(said)}",
            line=1,
            hint="convert files of different columns one by one, or bring them into one form",
        )


def _listed(names: list[str]) -> str:
    """Return the first of `names`, cut where they are long."""
    shown = [repr(name[:SHOWN_CHARACTERS]) for name in names[:SHOWN_NAMES]]
    return ", ".join(shown) + (" …" if len(names) > SHOWN_NAMES else "")


@contextmanager
def _counting_lines(before: bytes) -> Iterator[None]:
    """Make the line of an error count from the start of the file: `before` is the text before line 1."""
    try:
        yield
    except PipelineError as error:
        error.line = None if error.line is None else error.line + count_line_ends(before)
        raise


def _skip_blank_lines(head: bytes, begin: int, delimiter: str) -> int:
    """Return where the first line from `begin` on that is not blank begins."""
    if not head[begin:].strip():
        raise EmptySourceError("no header line: the file holds only blanks")
    blanks = cells.BLANKS.replace(delimiter, "").encode()
    found = re.compile(rb"(?:[%s]*(?:\r\n?|\n))*" % blanks).match(head, begin)
    return found.end() if found else begin


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


def _read_header(head: bytes, dialect: Dialect) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Return (bytes before the first record, names as written, clean names) of text that begins with them."""
    _, first = next(read_rows(head, dialect.delimiter))
    if not dialect.has_header:
        return 0, (), tuple(f"column_{index + 1}" for index in range(len(first)))
    if all(is_number(cell) for cell in first):
        raise HeaderError(
            "the first line looks like data, expected column names", line=1, hint="pass --no-header"
        )
    try:
        names = clean_names(first)
    except HeaderError as error:
        error.line = 1
        raise
    # Within a row, line ends are only in its cells.
    num_ends = 1 + sum(count_line_ends(cell.encode()) for cell in first)
    ends = [found.end() for found in itertools.islice(careful.LINE_END.finditer(head), num_ends)]
    return ends[-1] if len(ends) == num_ends else len(head), tuple(first), names


def _check_delimiter(body: bytes, names: tuple[str, ...], dialect: Dialect, *, min_columns: int) -> None:
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
    if min_columns > 1:
        raise DelimiterError("1 column found, expected a label and at least one feature")


def _first_rows(
    body: bytes, dialect: Dialect, *, ends_here: bool
) -> tuple[bytes, list[int], tuple[tuple[str, ...], ...]]:
    """Return the whole records among `body`: as text, their lines, and as cells; up to the first fault."""
    if not ends_here:
        body = body[: last_cut(body, dialect.delimiter)]
        if not body:
            raise _too_long()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for line, row in read_rows(body, dialect.delimiter):
            if not careful.is_blank(row):
                rows.append(tuple(row))
                lines.append(line)
    except InputError:
        if not rows:
            raise
    if not rows:
        raise EmptySourceError("0 data rows", hint="the file holds a header line and nothing else")
    return body, lines, tuple(rows)
