"""Owns the rows of a text: `csv`, strict, with the line of every row and of every fault.

Neighbours: `careful` reads the cells of a row, `sniff` looks at the first ones.
"""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING

from pipeline.errors import EncodingError, QuoteError
from pipeline.source import quotes
from pipeline.source.files import count_line_ends

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_rows(text: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of every row of `text`, blank ones as []; the line is where the row begins.

    Raises:
        EncodingError: not UTF-8, or NUL bytes; raised behind the rows before that line.
        QuoteError: an unclosed quote, or text after a closing one; raised behind the rows before it.
    """
    csv.field_size_limit(sys.maxsize)  # the text is in memory already, and bounded by whoever cut it
    readable, unreadable = _decoded(text)
    rows = csv.reader(io.StringIO(readable, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in rows:
            yield line, row
            line = rows.line_num + 1
    except csv.Error as error:
        if unreadable is None or not _is_unclosed(error):
            raise _quote_error(error, line, text, delimiter) from None
    if unreadable is not None:
        raise unreadable


def _decoded(text: bytes) -> tuple[str, EncodingError | None]:
    """Return the text before the first line with a byte that is no text, and what is wrong with that byte."""
    at = text.find(b"\0")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start if at < 0 else min(at, error.start)
    if at < 0:
        return decoded, None
    message, hint = "a NUL byte: this is not text", "was the file written by a run that was killed?"
    if text[at]:
        message, hint = f"byte 0x{text[at]:02x} is not UTF-8", "convert it: iconv -f LATIN1 -t UTF-8"
    begin = 1 + max(text.rfind(b"\n", 0, at), text.rfind(b"\r", 0, at))
    fault = EncodingError(message, line=count_line_ends(text, 0, at) + 1, hint=hint)
    return text[:begin].decode("utf-8"), fault


def _is_unclosed(error: csv.Error) -> bool:
    """Whether `csv` came to the end of the text within quotes."""
    return "unexpected end" in str(error)


def _quote_error(error: csv.Error, line: int, text: bytes, delimiter: str) -> QuoteError:
    at = quotes.unclosed(text, delimiter)
    if at is not None and _is_unclosed(error):
        return QuoteError(
            "a quote is opened here and never closed",
            line=count_line_ends(text, 0, at) + 1,
            hint="close it, or double a quote that belongs to the text and quote the whole cell",
        )
    return QuoteError(
        f"in the row that begins here, a closing quote is followed by more text: {error}",
        line=line,
        hint="double a quote that belongs to the text",
    )
