"""Owns the way of a byte range to rows that the model takes, and the accounts of all ranges.

Runs in the workers of an engine. Neighbours: `source` parses; `output` writes what the model says of a block.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.counted import counted
from pipeline.errors import EmptySourceError, NonFiniteError, TooManyRejectsError
from pipeline.models.scoring import RawRows
from pipeline.source import careful, fast

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.models.scoring import Standardization
    from pipeline.plan import ConvertPlan
    from pipeline.predict.planning import PredictPlan
    from pipeline.schema import Column
    from pipeline.source.parsed import ParsedRange, Reject
    from pipeline.source.ranges import RangeTask, RangeText

MAX_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """The records of one byte range, in the order of the source.

    rows      as the model takes them, float64 features in C order; nothing is missing
    kept      one array of num_kept values per column to carry along; NaN is a value that is missing
    """

    rows: RawRows
    kept: tuple[NDArray[Any] | pa.Array, ...]
    file_index: int
    num_records: int
    num_blank: int
    num_lines: int
    num_text_bytes: int
    begin: int
    ends_open: bool
    rejects: tuple[Reject, ...]

    @property
    def num_kept(self) -> int:
        """The number of records that were not set aside."""
        return len(self.rows.features)


def read_block(task: RangeTask, plan: PredictPlan, known: Standardization | None) -> Block:
    """Read, parse and arrange one byte range.

    Raises:
        InputError: a fault in the text; its line counts from 1 at the start of the range.
        CutInsideQuotesError: a plain file has to be cut by streaming.
    """
    text, parsed = fast.parse_task(task, plan.reading)
    kept = tuple(_kept(column, parsed, plan.reading) for column in plan.kept)
    numbers = parsed.numbers[list(plan.order)]
    _check_float32(numbers, known, parsed, text, plan)
    if known is not None and plan.reading.options.identity.on_missing == "mean":
        numbers = np.where(np.isnan(numbers), known.mean[:, np.newaxis], numbers)
    return Block(
        rows=RawRows(features=np.ascontiguousarray(numbers.T), categories=_categories(parsed, plan)),
        kept=kept,
        file_index=text.file_index,
        num_records=parsed.num_records,
        num_blank=parsed.num_blank,
        num_lines=parsed.num_lines,
        num_text_bytes=len(text.text),
        begin=text.begin,
        ends_open=bool(text.text) and not text.text.endswith(b"\n"),
        rejects=parsed.rejects,
    )


def _categories(parsed: ParsedRange, plan: PredictPlan) -> NDArray[np.object_]:
    """Return the texts of the categories, (num_kept, num_categories), in the order of the model."""
    schema = plan.reading.schema
    rows = [schema.texts.index(column) for column in plan.categories]
    texts = np.empty((parsed.num_kept, len(rows)), object)
    for index, row in enumerate(rows):
        texts[:, index] = parsed.texts[row].to_pylist()
    return texts


def _kept(column: Column, parsed: ParsedRange, plan: ConvertPlan) -> NDArray[Any] | pa.Array:
    schema = plan.schema
    if column.reading == "text":
        return parsed.texts[schema.texts.index(column)]
    if column.reading == "integer":
        return parsed.integers[schema.integers.index(column)]
    return parsed.numbers[schema.numbers.index(column)]


def _check_float32(
    numbers: NDArray[np.float64],
    known: Standardization | None,
    parsed: ParsedRange,
    text: RangeText,
    plan: PredictPlan,
) -> None:
    """Raise if a feature is so large that the model would compute with infinity."""
    if not parsed.num_kept:
        return
    for index, values in enumerate(numbers):
        mean, scale = (0.0, 1.0) if known is None else (known.mean[index], known.scale[index])
        far = np.fmax.reduce(np.abs(values - mean))
        if far <= MAX_FLOAT32 * scale:
            continue
        at = int(np.nanargmax(np.abs(values - mean)))
        delimiter = plan.reading.dialect.delimiter
        raise NonFiniteError(
            f"{float(values[at])!r} is too large for the model, which computes in float32",
            path=str(plan.reading.files[text.file_index].path),
            line=careful.line_of(text.text, delimiter, parsed.record_index(at)),
            column=plan.described.features[index],
        )


class Accounts:
    """Adds up the blocks of a source; `add` must be called in their order."""

    def __init__(self, plan: ConvertPlan) -> None:
        self._plan = plan
        self._num_lines = [file.header_lines for file in plan.files]
        self.num_read = self.num_kept = self.num_rejected = 0
        self.num_blank = sum(file.num_blank for file in plan.files)
        self.warnings: list[str] = []

    def add(self, block: Block) -> Sequence[Reject]:
        """Add the next block; return its rejects, placed within their file.

        Raises:
            TooManyRejectsError: more rows were set aside than allowed.
        """
        file = self._plan.files[block.file_index]
        num_lines = self._num_lines[block.file_index]
        rejects = [
            dataclasses.replace(
                reject, line=reject.line + num_lines, byte_offset=reject.byte_offset + block.begin
            )
            for reject in block.rejects
        ]
        allowed = self._plan.options.max_rejects
        if allowed is not None and self.num_rejected + len(rejects) > allowed:
            reject = rejects[allowed - self.num_rejected]
            raise TooManyRejectsError(
                f"more than {counted(allowed, 'row')} set aside; this one: {reject.reason}",
                path=str(file.path),
                line=reject.line,
                column=reject.column,
                hint="raise --max-rejects if that is to be expected",
            )
        self._num_lines[block.file_index] += block.num_lines
        self.num_read += block.num_records
        self.num_kept += block.num_kept
        self.num_rejected += len(rejects)
        self.num_blank += block.num_blank
        if block.ends_open:
            self.warnings.append(f"{file.path.name}: the last line has no line end; is the file complete?")
        return rejects

    def lines_before(self, path: str) -> int:
        """Return how many lines of the file `path` lie before the next range of it."""
        named = [str(file.path) for file in self._plan.files]
        return self._num_lines[named.index(path)]

    def finish(self) -> None:
        """Check the accounts once every block is in.

        Raises:
            EmptySourceError: not a single record is left.
        """
        assert self.num_read == self.num_kept + self.num_rejected  # noqa: S101  # the law of conservation
        if self.num_kept == 0:
            hint = f"all {self.num_read} rows were set aside" if self.num_read else ""
            raise EmptySourceError("0 data rows", path=str(self._plan.files[0].path), hint=hint)
