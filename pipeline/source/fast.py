"""Owns the fast parser: Polars with an explicit type for every column, and the checks Polars leaves out.

The result is accepted only if nothing about it is in doubt; otherwise the cells in doubt are read again
by `mend`, or all of the range by `careful`, which either reads it exactly or names the line. Polars fills
short rows and blank lines with nulls, reads `inf` and `1e400`, and knows nothing of quoted line ends: each of
these shows in one of the checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipeline.errors import InputError, QuoteError
from pipeline.source import careful
from pipeline.source.files import BYTE_ORDER_MARK, check_whole
from pipeline.source.mend import try_mend
from pipeline.source.parsed import ParsedRange
from pipeline.source.quotes import are_plain
from pipeline.source.ranges import CutInsideQuotesError
from pipeline.source.words import WORDS, odd_splits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column, Schema
    from pipeline.source.ranges import RangeTask, RangeText

DTYPES = {
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "text": pl.String(),
    "boolean": pl.String(),  # Polars takes fewer spellings, and a date in more than one
    "datetime": pl.String(),
}


def parse_task(task: RangeTask, plan: ConvertPlan) -> tuple[RangeText, ParsedRange]:
    """Return the text of a range and its records.

    Raises:
        InputError: a fault that the options do not allow to set aside; lines count from 1 within the range.
        CompressionError: it has one because the file is damaged.
        CutInsideQuotesError: the file has to be cut by streaming.
    """
    text = task.load()
    try:
        return text, parse(text.text, plan.of_file(task.file_index), may_have_quotes=text.has_quotes)
    except InputError as error:
        if isinstance(error, QuoteError) and not task.follows_quotes:
            raise CutInsideQuotesError from None  # if it was none, the fault will be found again
        file = plan.files[task.file_index]
        error.path = str(file.path)
        check_whole(file)
        raise


def parse(text: bytes, plan: ConvertPlan, *, may_have_quotes: bool = True) -> ParsedRange:
    """Parse the records of one range, fast where that is safe, carefully where not.

    Raises:
        InputError: a fault that the options do not allow to set aside; lines count from 1 within `text`.
    """
    parsed = try_parse(text, plan, may_have_quotes=may_have_quotes) if text else None
    if parsed is None and not _has_odd_ends(text):
        parsed = try_mend(text, plan)
    return careful.parse(text, plan) if parsed is None else parsed


def try_parse(text: bytes, plan: ConvertPlan, *, may_have_quotes: bool = True) -> ParsedRange | None:
    """Return the records of one range, or None where any check raises a doubt."""
    if _has_odd_ends(text):
        return None
    has_quotes = may_have_quotes and b'"' in text
    if _has_odd_bytes(text, plan.schema, plan.dialect.delimiter, has_quotes=has_quotes):
        return None
    ends_open = not text.endswith(b"\n")
    try:
        frame = pl.read_csv(
            # In a line without an end, Polars does not mind a field too many if it is empty.
            text + b"\n" if ends_open else text,
            has_header=False,
            separator=plan.dialect.delimiter,
            schema=_polars_schema(plan.schema),
            empty_string_is_null=False,
            missing_columns="raise",
            extra_columns="raise",
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    # Polars makes a row of every line end outside quotes, of nulls where the line is blank: without quotes
    # its height is the number of lines, and counting them in the text is only needed where there are quotes.
    if has_quotes and frame.height != text.count(b"\n") + ends_open:
        return None
    if _may_be_short(frame, text, plan.dialect.delimiter, has_quotes=has_quotes):
        return None
    return _checked(frame, plan.schema, num_lines=frame.height - ends_open)


def _has_odd_ends(text: bytes) -> bool:
    r"""Whether lines may begin or end with what Polars takes for something else than `csv` does.

    A carriage return ends a row for `csv` alone: Polars reads "0\r" as a number, and would join one at the
    end with our LF. A byte-order mark it drops in silence, in the middle of a file.
    """
    if text.startswith(BYTE_ORDER_MARK) or text.endswith(b"\r"):
        return True
    return b"\r" in text and text.count(b"\r") != text.count(b"\r\n")


def _has_odd_bytes(text: bytes, schema: Schema, delimiter: str, *, has_quotes: bool) -> bool:
    """Whether the text may hold what Polars takes for something else than `csv` does, in columns of text.

    Dropped ones too: NUL bytes, and quotes within a cell. It reads `"x"y"z"` as xyz.
    """
    if not schema.texts and all(_is_number(column) for column in schema.columns):
        return False
    return b"\0" in text or (has_quotes and not are_plain(text, delimiter))


def _is_number(column: Column) -> bool:
    """Whether Polars reads the column as numbers."""
    return column.role != "drop" and column.reading in {"number", "integer"}


def _may_be_short(frame: pl.DataFrame, text: bytes, delimiter: str, *, has_quotes: bool) -> bool:
    """Whether a row may lack its last fields: where those are text, Polars fills them with empty texts."""
    last = frame.to_series(frame.width - 1)
    if last.dtype != pl.String() or not (last == "").any():
        return False
    characters = np.frombuffer(text, np.uint8)
    delimiters: NDArray[np.bool_] = characters == ord(delimiter)
    if has_quotes:
        delimiters &= ~np.logical_xor.accumulate(characters == ord('"'))
    return int(np.count_nonzero(delimiters)) != frame.height * (frame.width - 1)


def _polars_schema(schema: Schema) -> dict[str, pl.DataType]:
    # Dropped columns are read as text: nobody asks what they hold, but a short row must show.
    return {
        column.name: DTYPES["text" if column.role == "drop" else column.reading]
        for column in schema.as_written
    }


def _checked(frame: pl.DataFrame, schema: Schema, *, num_lines: int) -> ParsedRange | None:
    if any(series.null_count() for series in frame):
        return None
    words = [WORDS[c.reading](frame[c.name]).alias(c.name) for c in schema.read if c.reading in WORDS]
    if any(series.null_count() for series in words):
        return None
    frame = frame.with_columns(words)
    numbers = _stack(frame, schema.numbers)
    if not np.isfinite(numbers).all():
        return None
    integers = _stack(frame, schema.integers)
    texts = [frame[column.name] for column in schema.texts]
    if any(_odd_texts(frame[column.name], column) for column in schema.read if column.reading == "text"):
        return None
    only = schema.read_for_split
    if only and only.reading != "text" and not frame[only.name].is_finite().all():
        return None
    return ParsedRange(
        num_records=frame.height,
        kept=None,
        numbers=numbers,
        integers=integers,
        texts=tuple(map(_as_arrow, texts)),
        splits=_as_arrow(frame[only.name]) if only else None,
        num_lines=num_lines,
    )


def _odd_texts(texts: pl.Series, column: Column) -> bool:
    """Whether any label or category is missing or padded with blanks, or a cell decides no split."""
    if column.splits and odd_splits(texts, column).any():
        return True
    if column.role not in {"label", "category"}:
        return False
    distinct = texts.unique().to_list()
    return any(value != value.strip() or careful.lacks_value(column, value) for value in distinct)


def _as_arrow(series: pl.Series) -> Any:  # noqa: ANN401  # an Arrow array of its type
    return series.to_arrow(compat_level=pl.CompatLevel.oldest())


def _stack(frame: pl.DataFrame, columns: Sequence[Column]) -> NDArray[Any]:
    """Return some columns of one type as the rows of a matrix (num_columns, num_records), C order.

    By Polars in one call: column by column and chunk by chunk, Python would hold its lock three times as long
    as the copying takes.
    """
    if not columns:
        return np.empty((0, frame.height), np.int64)
    return frame.select(column.name for column in columns).to_numpy(order="fortran").T
