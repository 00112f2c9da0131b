"""Owns the table that a prediction writes: its columns, as Parquet or CSV, some records at a time."""

from __future__ import annotations

import csv
import io
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.models.scoring import class_probabilities, predicted_classes
from pipeline.partial import written_anew
from pipeline.predict.planning import output_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from numpy.typing import NDArray

    from pipeline.models.description import ModelDescription
    from pipeline.predict.options import TableFormat
    from pipeline.predict.planning import PredictPlan
    from pipeline.predict.reading import Block
    from pipeline.schema import Column
    from pipeline.source.parsed import Reject


GROUP_RECORDS = 1 << 17  # of a Parquet row group: 2 MiB of predictions, more with what is kept
GROUP_BYTES = 16 << 20  # fewer records where they are wide
REJECTS_SUFFIX = ".rejects.jsonl"
KEPT_TYPES = {"number": pa.float64(), "integer": pa.int64(), "text": pa.string()}


class TableWriter:
    """Writes predictions to an open file, a row for each record, in the order in which they are added.

    A context manager: the table is whole when the block ends without an error. After one the file must be
    closed and not written to again: Arrow's own writer adds a footer whenever it is taken apart.
    """

    def __init__(self, file: BinaryIO, plan: PredictPlan, table_format: TableFormat) -> None:
        self._described = plan.described
        self._schema = table_schema(plan.described, plan.kept)
        self._held: list[pa.Table] = []
        self._num_records = self._num_bytes = 0
        if table_format == "parquet":
            texts = [field.name for field in self._schema if pa.types.is_string(field.type)]
            self._writer = pq.ParquetWriter(
                file, self._schema, use_dictionary=texts, write_page_checksum=True, store_schema=False
            )
        else:
            file.write(_header(self._schema.names))  # Arrow would put every name in quotes
            options = pa.csv.WriteOptions(include_header=False)
            self._writer = pa.csv.CSVWriter(file, self._schema, write_options=options)

    def add(self, block: Block, score: NDArray[np.float32]) -> None:
        """Append the records of `block`, with what the model says of them, (num_kept, num_outputs)."""
        if not block.num_kept:
            return
        values = [*block.kept, *prediction_values(self._described, score)]
        arrays = [
            _array(of_column, field.type) for of_column, field in zip(values, self._schema, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._held.append(table)
        self._num_records += table.num_rows
        self._num_bytes += table.nbytes
        if self._num_records >= GROUP_RECORDS or self._num_bytes >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held)
            self._held.clear()
            self._num_records = self._num_bytes = 0
            self._writer.write_table(table, table.num_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write()
            self._writer.close()
        elif isinstance(self._writer, pq.ParquetWriter):
            self._writer.is_open = False  # or its destructor would write a footer


def table_schema(described: ModelDescription, kept: Sequence[Column]) -> pa.Schema:
    """Return the columns of the table: those kept, what is predicted, and the probability of every class."""
    fields = [pa.field(column.name, KEPT_TYPES[column.reading]) for column in kept]
    if described.label_kind == "number":
        predicted = pa.float32()
    else:
        predicted = pa.string() if isinstance(described.classes[0], str) else pa.int64()
    name, *probabilities = output_names(described)
    fields.append(pa.field(name, predicted, nullable=False))
    fields += [pa.field(name, pa.float32(), nullable=False) for name in probabilities]
    return pa.schema(fields)


def prediction_values(
    described: ModelDescription, score: NDArray[np.float32]
) -> list[NDArray[Any] | pa.Array]:
    """Return the values of the columns that a prediction adds, in their order, (num_records,) each."""
    if described.label_kind == "number":
        return [score[:, 0]]
    index = predicted_classes(described, score).astype(np.int64)
    classes = pa.array(list(described.classes))
    return [classes.take(_array(index, pa.int64())), *class_probabilities(described, score).T]


def _array(values: NDArray[Any] | pa.Array, dtype: pa.DataType) -> pa.Array:
    """Return values as Arrow has them; a number that is missing becomes null."""
    if isinstance(values, pa.Array):
        return values.cast(dtype)
    # Not pa.array(): that imports pandas where it is installed, for a third of a second and 50 MB.
    contiguous = np.ascontiguousarray(values)
    array = pa.Array.from_buffers(dtype, len(contiguous), [None, pa.py_buffer(contiguous)])
    if values.dtype.kind == "f" and np.isnan(contiguous).any():
        return pc.if_else(pc.is_nan(array), pa.scalar(None, dtype), array)
    return array


def _header(names: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()


class RejectsFile:
    """The rows set aside, as lines of JSON in `<output>.rejects.jsonl`; there is no such file if none was.

    A context manager. The file appears when the block ends without an error; one from before is removed.
    """

    def __init__(self, output: Path) -> None:
        self._path = output.with_name(output.name + REJECTS_SUFFIX)
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def add(self, rejects: Sequence[Reject], *, file_name: str) -> None:
        """Append rows of a file, whose places count from its beginning."""
        if not rejects:
            return
        if self._file is None:
            self._file = self._stack.enter_context(written_anew(self._path, overwrite=True))
        for reject in rejects:
            self._file.write(_reject_line(reject, file_name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None and self._file is None:
            self._path.unlink(missing_ok=True)


def _reject_line(reject: Reject, file_name: str) -> bytes:
    fields = {
        "file": file_name,
        "line": reject.line,
        "byte_offset": reject.byte_offset,
        "column": reject.column,
        "code": reject.code,
        "reason": reject.reason,
        "text": reject.text,
    }
    # ASCII alone: whatever a cell holds, the file can be shown on a terminal.
    return json.dumps(fields, ensure_ascii=True).encode() + b"\n"
