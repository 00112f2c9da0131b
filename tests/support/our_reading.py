"""Reads a source as a conversion does, up to its records, and lays the oracle's reading out alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.engine.local import map_tasks
from pipeline.errors import InputError
from pipeline.source.fast import parse_task
from pipeline.source.ranges import CutInsideQuotesError, ranges_of
from support.datasets import make_options
from support.hard_texts import names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.plan import ConvertOptions, ConvertPlan
    from pipeline.source.parsed import ParsedRange
    from pipeline.source.ranges import RangeTask, RangeText
    from support.plain_csv import Excused, Kind, PlainReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One way of cutting and reading a file: as it lies there, in parallel, or as it streams by."""

    range_bytes: int = 8 << 20
    num_workers: int = 1
    streamed: bool = False


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a reader makes of a file: columns by name, and rows set aside as (line, code); or a fault."""

    columns: dict[str, Any] = field(default_factory=dict)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    num_blank: int = 0
    fault: tuple[int | None, str] | None = None


def options_for(kinds: Sequence[Kind], delimiter: str, excused: Excused, grid: Grid) -> ConvertOptions:
    """Return the options that give columns of these kinds their roles."""
    names = dict(zip(names_of(kinds), kinds, strict=True))
    return make_options(
        keep=tuple(name for name, kind in names.items() if kind.startswith("kept")),
        categorical=tuple(name for name, kind in names.items() if kind == "category"),
        datetime=tuple(name for name, kind in names.items() if kind == "datetime"),
        drop=tuple(name for name, kind in names.items() if kind == "dropped"),
        delimiter=delimiter,
        label_kind="classes" if "text label" in kinds else "number",
        on_bad_row="skip" if excused.bad_rows else "error",
        on_missing="drop" if excused.missing else "mean" if excused.fill else "error",
        on_nonfinite="drop" if excused.nonfinite else "error",
        range_bytes=grid.range_bytes,
        num_workers=grid.num_workers,
        standardize=False,
    )


def read_ours(plan: ConvertPlan, grid: Grid) -> Reading:
    """Return what our reader makes of the plan's source, its ranges cut and read in this way."""
    try:
        return _read(plan, grid, streamed=grid.streamed)
    except CutInsideQuotesError:
        return _read(plan, grid, streamed=True)


def _read(plan: ConvertPlan, grid: Grid, *, streamed: bool) -> Reading:
    (file,), schema = plan.files, plan.schema
    found = Reading(num_blank=file.num_blank)
    groups = (schema.numbers, schema.integers, schema.texts)
    values: dict[str, list[Any]] = {column.name: [] for group in groups for column in group}
    num_lines = file.header_lines
    text = Path(str(file.path)).read_bytes()
    tasks = ranges_of(file, 0, grid.range_bytes, delimiter=plan.dialect.delimiter, streamed=streamed)

    def parse(task: RangeTask) -> tuple[RangeText, ParsedRange]:
        return parse_task(task, plan)

    # Without threads where one is enough: most of the time would be theirs.
    several = grid.num_workers > 1
    results = map_tasks(parse, tasks, num_workers=grid.num_workers) if several else map(parse, tasks)
    try:
        for cut, parsed in results:
            for group, part in zip(groups, (parsed.numbers, parsed.integers, parsed.texts), strict=True):
                for column, cells in zip(group, part, strict=True):
                    values[column.name] += cells.tolist()
            for reject in parsed.rejects:
                found.rejects.append((reject.line + num_lines, reject.code))
                begin = cut.begin + reject.byte_offset
                at_row = begin == file.text_offset or text[begin - 1 : begin] in {b"\n", b"\r"}
                assert file.compression != "none" or at_row
            found.num_blank += parsed.num_blank
            num_lines += parsed.num_lines
    except InputError as error:
        return Reading(fault=(error.line and error.line + num_lines, error.code))
    found.columns = {name: bits(column) for name, column in values.items()}
    return found


def as_columns(plain: PlainReading, kinds: Sequence[Kind], names: Sequence[str] = ()) -> Reading:
    """Return the oracle's reading by columns, called by letters unless they have names."""
    if plain.fault:
        return Reading(fault=plain.fault)
    all_names = names or names_of(kinds)
    names = [name for name, kind in zip(all_names, kinds, strict=True) if kind != "dropped"]
    columns = {name: bits([values[at] for _, values in plain.records]) for at, name in enumerate(names)}
    return Reading(columns=columns, rejects=plain.rejects, num_blank=plain.num_blank)


def bits(values: list[Any]) -> Any:
    """Return something that compares equal only for the same values, floats to the last bit."""
    if values and isinstance(values[0], float):
        return np.array(values, np.float64).tobytes()
    return values
