"""Owns ranges in which some cells are in doubt: Polars parses the others, and `careful` reads only those.

A table with a missing cell here and there would else be parsed cell by cell throughout. Cells in doubt are
looked at as text, each distinct one once, by the very function that `careful` reads cells with; rows with a
fault go through `careful` as a whole, which tells or sets aside. Only where rows are lines: no quotes at all.
Neighbour: `fast` asks for it where its own checks find a doubt.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.source import careful
from pipeline.source.files import BYTE_ORDER_MARK, count_line_ends
from pipeline.source.parsed import ParsedRange
from pipeline.source.words import WORDS, odd_splits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column, Schema
    from pipeline.source.parsed import Reject

LENIENT = {"number": pl.Float64(), "integer": pl.Int64()}
MOST_FAULTY = 0.5  # of the lines: with more, parsing all of them carefully is hardly slower


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Where the lines of a text begin and end, intp (num_lines,), and which have all their fields."""

    begins: NDArray[np.intp]
    ends: NDArray[np.intp]
    is_full: NDArray[np.bool_]


def try_mend(text: bytes, plan: ConvertPlan) -> ParsedRange | None:
    """Return the records of one range, or None where it has to be parsed carefully throughout.

    The result is that of `careful.parse`; the caller has seen that no odd carriage returns are in `text`.
    """
    num_columns = len(plan.schema.columns)
    if num_columns == 1 or not text or b'"' in text or b"\0" in text or not _is_utf8(text):
        return None
    lines = _lines_of(text, plan.dialect.delimiter, num_columns - 1)
    full_text = text if lines.is_full.all() else b"".join(_pieces(text, lines, lines.is_full))
    if not full_text or _are_many(~lines.is_full):
        return None
    if full_text.startswith(BYTE_ORDER_MARK):
        return None  # behind a line at fault: Polars would drop it in silence
    try:
        found = _Cells(full_text, plan)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if found.num_rows != np.count_nonzero(lines.is_full):
        return None
    is_good = lines.is_full.copy()
    is_good[lines.is_full] = ~found.is_faulty
    return None if _are_many(~is_good) else _put_together(text, lines, is_good, found, plan)


def _are_many(is_faulty: NDArray[np.bool_]) -> bool:
    return bool(np.count_nonzero(is_faulty) > MOST_FAULTY * len(is_faulty))


def _is_utf8(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _lines_of(text: bytes, delimiter: str, num_delimiters: int) -> Lines:
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(characters == ord("\n")) + 1
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    begins = np.concatenate([[0], ends[:-1]])
    at = np.searchsorted(np.flatnonzero(characters == ord(delimiter)), np.append(begins, len(text)))
    return Lines(begins=begins, ends=ends, is_full=np.diff(at) == num_delimiters)


def _pieces(text: bytes, lines: Lines, chosen: NDArray[np.bool_]) -> Iterator[bytes]:
    """Yield the chosen lines, those that follow each other in one piece."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for first, last in edges.reshape(-1, 2).tolist():
        yield text[lines.begins[first] : lines.ends[last - 1]]


class _Cells:
    """The cells of a text whose lines all have as many fields as there are columns.

    `is_faulty`, (num_rows,), says which rows have a cell that `careful` will not have.
    """

    def __init__(self, text: bytes, plan: ConvertPlan) -> None:
        self._text = text if text.endswith(b"\n") else text + b"\n"
        self._delimiter = plan.dialect.delimiter
        schema = plan.schema
        self._may_miss = plan.options.identity.on_missing == "mean"
        frame = self._read({c.name: LENIENT.get(_reading(c), pl.String()) for c in schema.as_written})
        self.num_rows = frame.height
        self.is_faulty = np.zeros(frame.height, bool)
        words = [WORDS[c.reading](frame[c.name]).alias(c.name) for c in schema.read if c.reading in WORDS]
        frame = frame.with_columns(words)
        doubts = {column.name: _doubts(frame[column.name], column) for column in schema.read}
        doubtful = [column for column in schema.read if len(doubts[column.name])]
        texts = self._texts(doubtful, schema)
        mended = {c.name: self._mended(frame[c.name], texts[c.name], doubts[c.name], c) for c in doubtful}
        self._columns = {name: mended.get(name, frame[name]) for name in frame.columns}

    def _texts(self, columns: Sequence[Column], schema: Schema) -> pl.DataFrame:
        """Return some columns as text."""
        places = [at for at, column in enumerate(schema.as_written) if column in columns]
        return (
            self._read({c.name: pl.String() for c in schema.as_written}, places) if places else pl.DataFrame()
        )

    def _read(self, dtypes: dict[str, pl.DataType], places: list[int] | None = None) -> pl.DataFrame:
        return pl.read_csv(
            self._text,
            has_header=False,
            separator=self._delimiter,
            schema=dtypes,
            columns=places,
            quote_char=None,
            ignore_errors=True,
            empty_string_is_null=False,
        )

    def _mended(
        self, values: pl.Series, texts: pl.Series, rows: NDArray[np.intp], column: Column
    ) -> pl.Series:
        """Return the values of a column in which those in `rows` are what `careful` makes of their texts."""
        distinct, places = np.unique(texts.gather(rows).to_numpy(), return_inverse=True)
        read: list[Any] = []
        is_fault = np.zeros(len(distinct), bool)
        for index, cell in enumerate(distinct.tolist()):
            try:
                read.append(careful.read_cell(column, cell, allow_missing=self._may_miss))
            except InputError:
                read.append(None)
                is_fault[index] = True
        self.is_faulty[rows] |= is_fault[places]
        return values.scatter(rows, pl.Series(read, dtype=values.dtype).gather(places))

    def of(self, columns: Sequence[Column]) -> list[pl.Series]:
        """Return the cells of some columns in the rows without a fault."""
        return [self._columns[column.name].filter(pl.Series(~self.is_faulty)) for column in columns]


def _reading(column: Column) -> str:
    return "text" if column.role == "drop" else column.reading


def _doubts(values: pl.Series, column: Column) -> NDArray[np.intp]:
    """Return the rows in which the value of a column is in doubt."""
    if values.dtype == pl.Float64():
        is_sure = values.is_finite().fill_null(value=False)
    elif values.dtype == pl.Int64():
        is_sure = values.is_not_null()
    elif column.role in {"label", "category"}:
        distinct = values.unique()
        odd = [
            text for text in distinct.to_list() if text != text.strip() or careful.lacks_value(column, text)
        ]
        is_sure = ~values.is_in(odd)
    elif column.splits:
        is_sure = ~odd_splits(values, column)
    else:
        return np.empty(0, np.intp)
    return np.flatnonzero(~is_sure.to_numpy())


def _is_odd(text: str, column: Column) -> bool:
    return text != text.strip() or careful.lacks_value(column, text)


def _put_together(
    text: bytes, lines: Lines, is_good: NDArray[np.bool_], found: _Cells, plan: ConvertPlan
) -> ParsedRange | None:
    """Return all records in the order of the text: of good lines, and what `careful` makes of others."""
    others = np.flatnonzero(~is_good)
    try:
        parsed = careful.parse(b"".join(_pieces(text, lines, ~is_good)), plan)
    except InputError:
        return None  # the fault will be found again, and told with all that is around it
    is_record = np.ones(len(is_good), bool)
    is_record[others] = [not _is_blank(text[begin:end], plan) for begin, end in _ends_of(lines, others)]
    record_index = np.cumsum(is_record) - 1  # of the record on each line
    kept_others = others[is_record[others]]
    kept_others = kept_others if parsed.kept is None else kept_others[parsed.kept]
    kept = np.concatenate([np.flatnonzero(is_good), kept_others])
    order = np.argsort(kept)
    num_records = int(np.count_nonzero(is_record))
    columns, split = plan.schema, plan.schema.with_role("split")
    return ParsedRange(
        num_records=num_records,
        kept=None if len(kept) == num_records else record_index[kept[order]],
        numbers=_merged(found.of(columns.numbers), parsed.numbers, order, np.float64),
        integers=_merged(found.of(columns.integers), parsed.integers, order, np.int64),
        texts=tuple(
            _merged_texts(series, other, order)
            for series, other in zip(found.of(columns.texts), parsed.texts, strict=True)
        ),
        splits=next((_merged_texts(series, parsed.splits, order) for series in found.of(split)), None),
        rejects=tuple(_moved(reject, others, lines, record_index) for reject in parsed.rejects),
        num_blank=len(is_record) - num_records,
        num_lines=count_line_ends(text),
    )


def _ends_of(lines: Lines, chosen: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    return zip(lines.begins[chosen].tolist(), lines.ends[chosen].tolist(), strict=True)


def _is_blank(line: bytes, plan: ConvertPlan) -> bool:
    """Whether `careful` takes a line, without quotes, for a blank one."""
    return not line.strip(b" \t\r\n") and plan.dialect.delimiter.encode() not in line


def _moved(reject: Reject, others: NDArray[np.intp], lines: Lines, record_index: NDArray[np.intp]) -> Reject:
    """Return a reject among the lines `others` in its place within the whole text."""
    line_index = int(others[reject.line - 1])
    return dataclasses.replace(
        reject,
        record_index=int(record_index[line_index]),
        line=line_index + 1,
        byte_offset=int(lines.begins[line_index]),
    )


def _merged(
    good: Sequence[pl.Series], others: NDArray[Any], order: NDArray[np.intp], dtype: type[np.generic]
) -> NDArray[Any]:
    """Return the cells of good rows and of others, (num_columns, num_kept), in `order`."""
    if not good:
        return np.empty((0, len(order)), dtype)
    both = np.concatenate([np.stack([series.to_numpy() for series in good]), others], axis=1)
    return both[:, order]


def _merged_texts(good: pl.Series, others: pa.Array, order: NDArray[np.intp]) -> pa.Array:
    """Return the cells of good rows and of others, an Arrow array of their type, in `order`."""
    both = pa.concat_arrays([good.to_arrow(compat_level=pl.CompatLevel.oldest()), others])
    # Not pa.array(): that imports pandas where it is installed.
    return both.take(pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)]))
