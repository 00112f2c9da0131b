"""Owns the first half of a conversion: from a byte range to a sorted run and what must be known of it.

Runs in the workers of an engine. Neighbours: `source` parses, `keys` and `runs` order, `writing` is the
second half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import keys as record_keys
from pipeline import moments as moments_of
from pipeline.convert.split_values import split_values, tally_of
from pipeline.convert.tracers import offered
from pipeline.errors import LabelError, NonFiniteError, PipelineError
from pipeline.runs.run import Run, build_run, narrowed, text_bytes
from pipeline.source import careful, cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.convert.split_values import Tally
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, Identity
    from pipeline.source.parsed import ParsedRange, Reject
    from pipeline.source.ranges import RangeTask, RangeText

MAX_CLASSES = 10_000  # more distinct labels than this are no classes
MAX_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeSummary:
    """What one byte range adds to the accounts; small, whatever the range holds.

    `moments` are those of the numeric columns over the records that are in the train split for certain;
    `labels` the distinct labels, if they are classes; `inexact` the columns with integers that doubles cannot
    tell apart; `kept_text_bytes` the size of the text columns but the
    categories, which shards hold as integers; `begin` the offset of the range in the text;
    `ends_open` whether its last line has no line end; `tracers` are a few records, uint64 (2, n): places and
    keys; `tally` is that of the split values.
    """

    file_index: int
    range_index: int
    num_text_bytes: int
    digest: bytes
    num_records: int
    num_kept: int
    num_blank: int
    num_lines: int
    rejects: tuple[Reject, ...]
    moments: Moments
    labels: frozenset[float | str]
    inexact: frozenset[str]
    kept_text_bytes: int
    begin: int
    ends_open: bool
    tracers: NDArray[np.uint64]
    tally: Tally = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeResult:
    """The run made of a byte range, and its summary."""

    summary: RangeSummary
    run: Run


def read_range(task: RangeTask, plan: ConvertPlan) -> RangeResult:
    """Read, parse, key and order one byte range.

    Raises:
        InputError: a fault in the text; its line counts from 1 at the start of the range.
        CutInsideQuotesError: a plain file has to be cut by streaming.
    """
    # Here, not above: it loads Polars, which is for processes that read and never for one that is forked.
    from pipeline.source import fast  # noqa: PLC0415

    text, parsed = fast.parse_task(task, plan)
    try:
        labels = _labels(parsed, text, plan)
        _check_float32(parsed, text, plan)
    except PipelineError as error:
        error.path = str(plan.files[text.file_index].path)
        raise
    return _ordered(parsed, labels, text, plan)


def _ordered(
    parsed: ParsedRange, labels: frozenset[float | str], text: RangeText, plan: ConvertPlan
) -> RangeResult:
    identity = plan.options.identity
    keys = record_keys.record_keys(
        seed=identity.seed,
        file_index=text.file_index,
        range_index=text.range_index,
        num_records=parsed.num_records,
    )
    if parsed.kept is not None:
        keys = keys[parsed.kept]
    order = record_keys.key_order(keys)
    values = split_values(parsed, plan)
    integers = parsed.integers if values is None else np.vstack([parsed.integers, values])
    run = build_run(keys, order, numbers=narrowed(parsed.numbers), integers=integers, texts=parsed.texts)
    summary = RangeSummary(
        file_index=text.file_index,
        range_index=text.range_index,
        num_text_bytes=len(text.text),
        digest=text.digest,
        num_records=parsed.num_records,
        num_kept=parsed.num_kept,
        num_blank=parsed.num_blank,
        num_lines=parsed.num_lines,
        rejects=parsed.rejects,
        moments=moments_of.of_batch(run.numbers[:, : _num_certain(run, identity)].astype(np.float64)),
        labels=labels,
        tally=tally_of(values, identity.rule.name),
        inexact=_inexact(parsed, plan),
        kept_text_bytes=sum(
            text_bytes(values)
            for column, values in zip(plan.schema.texts, parsed.texts, strict=True)
            if column.role != "category"
        ),
        begin=text.begin,
        ends_open=bool(text.text) and not text.text.endswith(b"\n"),
        tracers=_tracers(keys, parsed, text),
    )
    return RangeResult(summary=summary, run=run)


def _num_certain(run: Run, identity: Identity) -> int:
    """Return how many of the first records are in train for certain: none, if keys do not decide."""
    if identity.rule.name != "key":
        return 0
    certain = record_keys.certain_train_key(identity.split[0])
    return run.num_records if certain >> 64 else int(np.searchsorted(run.keys, np.uint64(certain)))


def _tracers(keys: NDArray[np.uint64], parsed: ParsedRange, text: RangeText) -> NDArray[np.uint64]:
    """Return the tracers that are offered; `keys` are those of the records that are kept."""
    places = offered(parsed.num_kept, file_index=text.file_index, range_index=text.range_index)
    records = places if parsed.kept is None else parsed.kept[places]
    # An array: thousands of pairs would set off the garbage collector, and that looks at all there is.
    return np.stack([records.astype(np.uint64), keys[places]])


def _labels(parsed: ParsedRange, text: RangeText, plan: ConvertPlan) -> frozenset[float | str]:
    """Return the distinct labels of the range if they are classes, else none."""
    schema = plan.schema
    if schema.label_kind == "number":
        return frozenset()
    if schema.label.reading == "text":
        index = schema.texts.index(schema.label)
        distinct: list[float | str] = parsed.texts[index].unique().to_pylist()
    else:
        index = schema.numbers.index(schema.label)
        values = parsed.numbers[index]
        whole = values == np.floor(values)
        if not whole.all():
            at = int(np.argmin(whole))
            raise LabelError(
                f"found {float(values[at])!r}, expected a whole number: the first labels are classes",
                line=_line_of(parsed, at, text, plan),
                column=schema.label.name,
                hint="pass --label-kind number if the label is a quantity",
            )
        if parsed.num_kept and np.abs(values).max() >= cells.MAX_EXACT:
            at = int(np.argmax(np.abs(values)))
            raise LabelError(
                f"found {values[at]:.0f}, too large for a class: integers are exact below 2**53",
                line=_line_of(parsed, at, text, plan),
                column=schema.label.name,
                hint="pass --label-kind number if the label is a quantity",
            )
        distinct = np.unique(values).tolist()
    check_classes(len(distinct), schema.label.name)
    return frozenset(distinct)


def _inexact(parsed: ParsedRange, plan: ConvertPlan) -> frozenset[str]:
    """Return the columns of whole numbers that are read as doubles and reach where those have gaps."""
    return frozenset(
        column.name
        for column, values in zip(plan.schema.numbers, parsed.numbers, strict=True)
        if column.whole and np.fmax.reduce(np.abs(values), initial=0.0) >= cells.MAX_EXACT
    )


def check_classes(num_classes: int, name: str) -> None:
    """Raise if labels have more distinct values than classes can have.

    Raises:
        LabelError: they have.
    """
    if num_classes > MAX_CLASSES:
        raise LabelError(
            f"more than {MAX_CLASSES} classes",
            column=name,
            hint="pass --label-kind number if the label is a quantity, or another --label",
        )


def _check_float32(parsed: ParsedRange, text: RangeText, plan: ConvertPlan) -> None:
    """Raise if a value that is stored as it is does not fit into float32."""
    raw_roles = {"weight"} if plan.options.identity.standardize else {"weight", "feature"}
    for index, column in enumerate(plan.schema.numbers):
        if column.role not in raw_roles or not parsed.num_kept:
            continue
        values: NDArray[np.float64] = np.abs(parsed.numbers[index])
        if np.fmax.reduce(values) > MAX_FLOAT32:
            at = int(np.nanargmax(values))
            raise NonFiniteError(
                f"{float(parsed.numbers[index, at])!r} is too large for float32",
                line=_line_of(parsed, at, text, plan),
                column=column.name,
                hint="drop the column, or standardize",
            )


def _line_of(parsed: ParsedRange, position: int, text: RangeText, plan: ConvertPlan) -> int:
    """Return the line, from 1 at the start of the range, of the record that is kept at `position`."""
    return careful.line_of(text.text, plan.dialect.delimiter, parsed.record_index(position))
