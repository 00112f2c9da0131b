"""Owns the plan of a prediction: which columns of the source the model takes, and which are carried along."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import ColumnNotFoundError, FieldCountError, OptionError, PipelineError, nearest
from pipeline.models.description import require_columns
from pipeline.plan import ConvertPlan, Estimates, MemoryPlan
from pipeline.predict import memory
from pipeline.schema import Column, Schema
from pipeline.source import columns
from pipeline.source.sniff import sniff, sniff_further
from pipeline.storage.paths import system_errors_told

if TYPE_CHECKING:
    from pipeline.models.description import ModelDescription
    from pipeline.plan import SourceFile
    from pipeline.predict.options import PredictOptions
    from pipeline.schema import Reading, Role
    from pipeline.source.sniff import Sniffed
    from pipeline.storage.paths import SourcePath

UNKNOWN_BYTES = 1 << 30  # of standard input, and of servers that do not tell
COMPRESSION_RATIO = 16  # more than text of numbers expands by: for an upper bound of small sources
PREDICTION = "prediction"
PROBABILITY = "probability_"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictPlan:
    """All that `predict` will do, known before the model is loaded.

    `reading` is how the text is read: that of a conversion that writes no shards. `order` says which of its
    columns of numbers is the i-th feature of the model; `categories` are those that it takes as texts, in its
    order. `kept` are the columns to carry along, as asked for.
    """

    described: ModelDescription
    reading: ConvertPlan
    order: tuple[int, ...]
    categories: tuple[Column, ...]
    kept: tuple[Column, ...]
    batch_size: int


def make_plan(
    sources: SourcePath | Sequence[SourcePath], described: ModelDescription, options: PredictOptions
) -> PredictPlan:
    """Return the plan; reads the beginning of each of the files `sources`.

    Raises:
        InputError: the source cannot be read, or lacks a column to keep.
        ModelError: it lacks features of the model.
        OptionError: the output would have two columns of one name, or missing values cannot be filled.
    """
    if options.on_missing == "mean" and not described.standardized:
        raise OptionError(
            "--on-missing mean: the model was trained on features as they are and knows no mean",
            hint="pass --on-missing drop",
        )
    sources = sources if isinstance(sources, Sequence) else [sources]
    with system_errors_told(sources[0], hint="check the disk"):
        sniffed = sniff(sources[0], delimiter=options.delimiter, has_header=options.has_header, min_columns=1)
    require_columns(described, sniffed.names, path=str(sources[0]))
    try:
        schema = _schema(sniffed, described, options)
    except PipelineError as error:
        error.path = str(sources[0])
        raise
    files = [sniffed.file]
    for source in sources[1:]:
        with system_errors_told(source, hint="check the disk"):
            files.append(sniff_further(source, sniffed))
    by_name = {column.name: column for column in schema.columns}
    names = [column.name for column in schema.numbers]
    return PredictPlan(
        described=described,
        reading=_reading(files, sniffed, schema, described, options),
        order=tuple(names.index(name) for name in described.features),
        categories=tuple(by_name[name] for name in described.categories),
        kept=tuple(by_name[name] for name in options.keep),
        batch_size=options.batch_size,
    )


def output_names(described: ModelDescription) -> tuple[str, ...]:
    """Return the names of the columns that a prediction adds: what is predicted, and how probable it is."""
    return (PREDICTION, *(f"{PROBABILITY}{value}" for value in described.classes))


def _schema(sniffed: Sniffed, described: ModelDescription, options: PredictOptions) -> Schema:
    for name in options.keep:
        if name not in sniffed.names:
            hint = nearest(name, sniffed.names)
            raise ColumnNotFoundError(f"--keep {name}: no such column", hint=hint)
        if name in output_names(described):
            raise OptionError(
                f"--keep {name}: the prediction has a column of that name", hint="rename it in the source"
            )
    try:
        found = columns.held(sniffed.names, sniffed.rows)
    except FieldCountError as error:
        error.line = sniffed.lines[0]
        raise
    roles: dict[str, Role] = dict.fromkeys(sniffed.names, "drop")
    roles |= dict.fromkeys(options.keep, "keep")
    # A feature that is kept is read as one: the model needs it, and a double holds what it takes.
    roles |= dict.fromkeys(described.features, "feature")
    roles |= dict.fromkeys(described.categories, "category")
    return Schema(
        columns=tuple(
            Column(name=name, role=role, reading=_reading_of(name, role, found[name].reading, described))
            for name, role in roles.items()
        ),
        label_kind="number" if described.label_kind == "number" else "classes",
    )


def _reading_of(name: str, role: Role, found: Reading, described: ModelDescription) -> Reading:
    if role == "feature":
        # As the model was trained, whatever the first cells look like.
        readings: dict[str, Reading] = {"boolean": "boolean", "datetime": "datetime"}
        return readings.get(described.readings.get(name, ""), "number")
    return "text" if role == "category" or found == "boolean" else found


def _reading(
    files: Sequence[SourceFile],
    sniffed: Sniffed,
    schema: Schema,
    described: ModelDescription,
    options: PredictOptions,
) -> ConvertPlan:
    """Return the plan of a conversion that reads the source in the same way."""
    asked = options.reading()
    text_bytes = sum(file.num_bytes if file.num_bytes >= 0 else UNKNOWN_BYTES for file in files)
    record = memory.RecordSize(
        text_bytes=sniffed.mean_record_bytes,
        num_cells=len(schema.columns),
        kept_text_bytes=_kept_text_bytes(sniffed, schema),
    )
    range_bytes = memory.fitting_range(record, at_most=options.range_bytes)
    num_workers = asked.num_workers or len(os.sched_getaffinity(0))
    # Of a small source, less than a range is there to be read.
    read_bytes = min(range_bytes, text_bytes * COMPRESSION_RATIO)
    num_threads = memory.affordable_threads(
        options.memory_bytes,
        record,
        num_workers=num_workers,
        num_parameters=described.parameters,
        batch_size=min(options.batch_size, round(read_bytes / record.text_bytes)),
        range_bytes=read_bytes,
    )
    return ConvertPlan(
        files=tuple(files),
        header=sniffed.header,
        dialect=sniffed.dialect,
        schema=schema,
        options=replace(asked, identity=replace(asked.identity, range_bytes=range_bytes)),
        estimates=Estimates(
            text_bytes=text_bytes,
            num_records=max(1, round(text_bytes / sniffed.mean_record_bytes)),
            num_ranges=-(-text_bytes // range_bytes),
            shard_bytes=0,
            num_shards={},
        ),
        memory=MemoryPlan(num_workers=num_workers, num_threads=num_threads, runs_bytes=0, cell_bits=0),
    )


def _kept_text_bytes(sniffed: Sniffed, schema: Schema) -> float:
    """Return how many bytes of a record are in columns of text that are kept, by the first records."""
    places = [sniffed.names.index(column.name) for column in schema.texts]
    rows = [row for row in sniffed.rows if len(row) == len(sniffed.names)]
    return sum(len(row[place].encode()) for row in rows for place in places) / max(len(rows), 1)
