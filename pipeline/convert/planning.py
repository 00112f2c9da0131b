"""Owns the making of the plan: from sources, header, first records and options to a frozen `ConvertPlan`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.convert import exchange, memory
from pipeline.convert.disk import plan_disk
from pipeline.engine.local import map_tasks
from pipeline.errors import FieldCountError, LabelError, OptionError, PipelineError, TextColumnError
from pipeline.keys import split_sizes
from pipeline.plan import ConvertPlan, Estimates, cut_shards, record_bytes, row_group_records
from pipeline.runs.run import narrowed
from pipeline.schema import UNUSED, assign_roles, build_schema
from pipeline.source import cells, columns
from pipeline.source import sniff as sniffing
from pipeline.splitting.rule import with_role, with_split_column
from pipeline.standard_input import StandardInput
from pipeline.storage.paths import is_local, system_errors_told

if TYPE_CHECKING:
    from pipeline.plan import ConvertOptions, MemoryPlan, SourceFile
    from pipeline.schema import Column, LabelKind, Reading, Schema
    from pipeline.source.sniff import Sniffed
    from pipeline.storage.paths import SourcePath

LOOKED_AT_RECORDS = 100  # one is enough where doubles are wanted
NETWORK_THREADS = 32  # each waits for an answer of some ten milliseconds


def make_plan(sources: SourcePath | Sequence[SourcePath], options: ConvertOptions) -> ConvertPlan:
    """Return what a conversion of the files `sources` with `options` will do; reads the beginning of each.

    Raises:
        InputError: a source cannot be used, or the options do not fit its columns.
    """
    sources = sources if isinstance(sources, Sequence) else [sources]
    _check_engine(sources, options)
    with system_errors_told(sources[0], hint="check the disk"):
        sniffed = sniffing.sniff(sources[0], delimiter=options.delimiter, has_header=options.has_header)
    try:
        schema = _schema(sniffed, options)
    except PipelineError as error:
        error.path = str(sources[0])
        raise
    files = [sniffed.file, *_further(sources[1:], sniffed)]
    estimates = _estimate(files, sniffed, schema, options)
    memory_plan = _memory(sniffed, schema, options, estimates)
    text_bytes = _text_bytes_per_record(sniffed, schema.texts)
    plan = ConvertPlan(
        files=tuple(files),
        header=sniffed.header,
        dialect=sniffed.dialect,
        schema=schema,
        options=options,
        estimates=estimates,
        memory=memory_plan,
        disk=plan_disk(files, schema, options, estimates, memory_plan, text_bytes_per_record=text_bytes),
    )
    if options.engine == "dask":
        exchange.check(exchange.exchange_of(plan, options.num_workers or 1), options.memory_bytes)
    return plan


def _further(sources: Sequence[SourcePath], first: Sniffed) -> list[SourceFile]:
    """Return what the further files are; of a store, many are asked for at the same time."""

    def sniff(source: SourcePath) -> SourceFile:
        with system_errors_told(source, hint="check the disk"):
            return sniffing.sniff_further(source, first)

    return list(map_tasks(sniff, sources, num_workers=num_threads(sources)))


def num_threads(sources: Sequence[SourcePath]) -> int:
    """Return how many of the files to look at at the same time: it takes long where a network is asked."""
    return 1 if all(is_local(source) for source in sources) else NETWORK_THREADS


def _check_engine(sources: Sequence[SourcePath], options: ConvertOptions) -> None:
    if options.engine == "dask" and any(isinstance(source, StandardInput) for source in sources):
        raise OptionError("workers of a cluster cannot read standard input", hint="name a file")


def _memory(sniffed: Sniffed, schema: Schema, options: ConvertOptions, estimates: Estimates) -> MemoryPlan:
    has_value = options.identity.rule.name != "key"
    range_bytes = min(options.identity.range_bytes, estimates.text_bytes)
    records_per_range = range_bytes / sniffed.mean_record_bytes
    text_bytes = _text_bytes_per_record(sniffed, schema.texts)
    read_bytes = text_bytes + _text_bytes_per_record(sniffed, schema.with_role("split"))
    group_records = row_group_records(record_bytes(schema, int(text_bytes)))
    group_bytes = (
        8 * (1 + has_value + len(schema.used)) + text_bytes * memory.TEXT_COPIES / memory.WRITING_COPIES
    )
    return memory.divide(
        options.memory_bytes,
        # Each worker of a cluster is a process of its own, with `--memory` for itself.
        num_workers=1 if options.engine == "dask" else options.num_workers or len(os.sched_getaffinity(0)),
        num_columns=len(schema.columns),
        num_cells_per_range=round(records_per_range * len(schema.columns)),
        range_bytes=range_bytes,
        text_bytes_per_range=round(read_bytes * records_per_range),
        row_group_bytes=round(group_bytes * min(group_records, estimates.num_records)),
        num_row_groups=-(-estimates.num_records // group_records),
        encodes_tfrecord="tfrecord" in options.formats,
        runs_dask=options.engine == "dask",
    )


def _run_bytes_per_record(sniffed: Sniffed, schema: Schema, options: ConvertOptions) -> float:
    """Return the size of a record in a run, by the first records."""
    key_bytes = integer_bytes = offset_bytes = 8
    number_bytes = 4 if _fit_float32(sniffed, schema) else 8
    fixed = key_bytes + number_bytes * len(schema.numbers) + integer_bytes * len(schema.integers)
    value_bytes = integer_bytes * (options.identity.rule.name != "key")
    text_bytes = offset_bytes * len(schema.texts) + _text_bytes_per_record(sniffed, schema.texts)
    return fixed + value_bytes + text_bytes


def _fit_float32(sniffed: Sniffed, schema: Schema) -> bool:
    """Return whether float32 holds all numbers of the first records exactly; then runs hold them so."""
    if any(column.reading == "datetime" for column in schema.numbers):
        return False  # seconds since 1970 have more digits
    places = [sniffed.names.index(column.name) for column in schema.numbers]
    rows = [row for row in sniffed.rows[:LOOKED_AT_RECORDS] if len(row) == len(sniffed.names)]
    texts = (row[place].strip(cells.BLANKS) for row in rows for place in places)
    values = np.array([float(text) for text in texts if cells.NUMBER.fullmatch(text)])
    return narrowed(values).dtype == np.float32


def _text_bytes_per_record(sniffed: Sniffed, texts: Sequence[Column]) -> float:
    """Return how many bytes of a record are in the columns `texts`, by the first records."""
    places = [sniffed.names.index(column.name) for column in texts if column.reading == "text"]
    rows = [row for row in sniffed.rows if len(row) == len(sniffed.names)]
    return sum(len(row[place].encode()) for row in rows for place in places) / max(len(rows), 1)


def _schema(sniffed: Sniffed, options: ConvertOptions) -> Schema:
    rule = options.identity.rule
    roles = with_role(assign_roles(sniffed.names, options.roles), rule)
    try:
        found = columns.held(sniffed.names, sniffed.rows)
    except FieldCountError as error:
        error.line = sniffed.lines[0]
        raise
    whole = {name for name, column in found.items() if column.whole and column.reading != "text"}
    readings: dict[str, Reading] = {name: column.reading for name, column in found.items()}
    readings |= dict.fromkeys(options.roles.datetime, "datetime")
    label = next(name for name, role in roles.items() if role == "label")
    at = sniffed.names.index(label)
    labels = [row[at] for row in sniffed.rows if len(row) == len(sniffed.names)]
    kind = _label_kind(label, labels, readings[label], options)
    try:
        schema = with_split_column(build_schema(roles, readings, label_kind=kind, whole=whole), rule)
    except TextColumnError as error:
        _point_at_text(error, sniffed)
        others = [name for name, role in roles.items() if role == "feature" and readings[name] == "text"]
        if len(others) > 1 and error.hint != cells.SEPARATED_HINT:
            error.hint += f"; {len(others)} columns hold text: pipeline inspect SOURCE has a command for all"
        raise
    if rule.name == "stratify" and kind == "number":
        raise LabelError(
            "--stratify needs classes, and the label is a number",
            column=label,
            hint="pass --label-kind classes if it holds classes",
        )
    return schema


def _point_at_text(error: TextColumnError, sniffed: Sniffed) -> None:
    """Add to an error the first cell of its column that is text, and the line of it."""
    at = sniffed.names.index(error.column or "")
    for line, row in zip(sniffed.lines, sniffed.rows, strict=True):
        if len(row) == len(sniffed.names) and not columns.is_number(row[at]):
            error.line = line
            error.message += f" such as {cells.shortened(row[at])!r}"
            if cells.number_hint(row[at].strip()) == cells.SEPARATED_HINT:
                error.hint = cells.SEPARATED_HINT
            elif cells.DATETIME.fullmatch(row[at].strip(cells.BLANKS)):
                word = shlex.quote(error.column or "")
                error.hint = f"pass --datetime {word}, or {UNUSED.format(word)}"
            return


def _label_kind(name: str, labels: list[str], reading: Reading, options: ConvertOptions) -> LabelKind:
    if options.label_kind == "auto":
        return columns.label_kind(labels, reading)
    if options.label_kind == "number" and reading in {"text", "boolean"}:
        raise LabelError("the label holds text", column=name, hint="pass --label-kind classes")
    return options.label_kind


def _estimate(
    files: Sequence[SourceFile], sniffed: Sniffed, schema: Schema, options: ConvertOptions
) -> Estimates:
    range_bytes = options.identity.range_bytes
    sizes = [sniffing.expected_text_bytes(file) for file in files]
    text_bytes = sum(sizes)
    num_header = sum(file.text_offset for file in files)
    num_records = max(1, round((text_bytes - num_header) / sniffed.mean_record_bytes))
    per_record = record_bytes(schema)
    split = split_sizes(num_records, options.identity.split)
    specs = cut_shards(split, shard_bytes=options.identity.shard_bytes, num_bytes_per_record=per_record)
    return Estimates(
        text_bytes=text_bytes,
        num_records=num_records,
        num_ranges=sum(-(-size // range_bytes) for size in sizes),
        shard_bytes=num_records * per_record,
        num_shards={spec.split: spec.num_shards for spec in specs},
        run_bytes=round(num_records * _run_bytes_per_record(sniffed, schema, options)),
    )
