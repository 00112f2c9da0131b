"""Every fixture is read, or refused, as it says: however its text is cut, by however many workers."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.convert import convert, make_plan
from pipeline.errors import InputError, PipelineError
from support.datasets import Dataset, make_options
from support.fixtures import Fixture, Records, Refused, all_fixtures
from support.hard_texts import names_of
from support.our_reading import Grid, bits, read_ours
from support.plain_csv import read_plainly

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.plan import ConvertOptions

FIXTURES = all_fixtures()
READ_LINE_BY_LINE = [
    name
    for name, fixture in FIXTURES.items()
    if isinstance(fixture.expected, Records)
    or not (
        fixture.expected.when_planned or fixture.expected.when_labelled or fixture.expected.code == "E113"
    )
]
LARGE = 10_000  # bytes: with tiny ranges, larger texts would take minutes
GRIDS = (Grid(), Grid(range_bytes=29), Grid(range_bytes=64, streamed=True))
LARGE_GRIDS = (Grid(), Grid(range_bytes=300_001, streamed=True))
ALL_SIZES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 1000)
ALL_LARGE_SIZES = (10_007, 65_536, 262_147, 1 << 20)


def options_of(fixture: Fixture, grid: Grid = GRIDS[0]) -> ConvertOptions:
    """Return the options with which a fixture is to be read."""
    excused = fixture.excused
    named = {
        kind: tuple(
            names_of(fixture.kinds[:8])[at]
            for at, found in enumerate(fixture.kinds[:8])
            if found.startswith(kind)
        )
        for kind in ("kept", "dropped")
    }
    return make_options(
        label=fixture.label,
        keep=named["kept"],
        drop=named["dropped"],
        delimiter=fixture.delimiter,
        has_header=fixture.has_header,
        on_bad_row="skip" if excused.bad_rows else "error",
        on_missing="drop" if excused.missing else "mean" if excused.fill else "error",
        on_nonfinite="drop" if excused.nonfinite else "error",
        standardize=False,
        range_bytes=grid.range_bytes,
        num_workers=grid.num_workers,
    )


def stored(fixture: Fixture, folder: Path) -> Path:
    """Write a fixture to a file and return its path."""
    path = folder / f"raw{fixture.suffix}"
    path.write_bytes(fixture.stored)
    return path


def by_column(rows: Any) -> list[Any]:
    """Return rows by column, in a form that compares floats to the last bit."""
    return [bits(list(column)) for column in zip(*rows, strict=True)]


def test_there_are_enough_of_them() -> None:
    """At least 150 files, each with a name of its own that tells its topic, of records and of refusals."""
    assert len(FIXTURES) >= 150
    kinds = Counter(type(fixture.expected) for fixture in FIXTURES.values())
    assert min(kinds.values()) >= 60
    assert len({fixture.topic for fixture in FIXTURES.values()}) >= 20


@pytest.mark.parametrize("name", READ_LINE_BY_LINE)
def test_the_oracle_agrees(name: str) -> None:
    """What a fixture claims is what `csv` and `float` make of it: records, rejects, blank lines, faults."""
    fixture, expected = FIXTURES[name], FIXTURES[name].expected
    plain = read_plainly(
        fixture.text,
        fixture.kinds,
        delimiter=fixture.delimiter or ",",
        has_header=fixture.has_header,
        excused=fixture.excused,
    )
    if isinstance(expected, Refused):
        assert plain.fault == (expected.line, expected.code)
    else:
        assert plain.fault is None
        assert by_column(values for _, values in plain.records) == by_column(expected.rows)
        assert tuple(plain.rejects) == expected.rejects
        assert plain.num_blank == expected.num_blank


def check_error(error: PipelineError, expected: Refused) -> None:
    """Fail unless the error is the one expected, with its place and wording."""
    assert (error.code, error.line, error.column) == (expected.code, expected.line, expected.column)
    assert expected.says in str(error)


def check_reading(fixture: Fixture, path: Path, grid: Grid) -> None:
    """Fail unless our reader, cutting in this way, gives what the fixture says."""
    expected = fixture.expected
    if isinstance(expected, Refused) and expected.when_planned:
        with pytest.raises(InputError) as caught:
            make_plan(path, options_of(fixture))
        check_error(caught.value, expected)
        return
    plan = make_plan(path, options_of(fixture))
    found = read_ours(plan, grid)
    if isinstance(expected, Refused):
        assert expected.when_labelled or found.fault == (expected.line, expected.code)
        return
    assert found.fault is None
    names = [name for name, kind in zip(plan.schema.names, fixture.kinds, strict=True) if kind != "dropped"]
    assert [found.columns[name] for name in names] == by_column(expected.rows)
    assert tuple(found.rejects) == expected.rejects
    assert found.num_blank == expected.num_blank


@pytest.mark.parametrize("name", FIXTURES)
def test_however_it_is_cut(name: str, tmp_path: Path) -> None:
    """The records, in their order and to the last bit, or the fault and its line, at some ways of cutting."""
    path = stored(FIXTURES[name], tmp_path)
    for grid in GRIDS if len(FIXTURES[name].text) < LARGE else LARGE_GRIDS:
        check_reading(FIXTURES[name], path, grid)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXTURES)
def test_at_every_size_of_range(name: str, tmp_path: Path) -> None:
    """The same at byte ranges from one byte upward, in parallel and streamed, with 1, 2 and 4 workers."""
    fixture = FIXTURES[name]
    path = stored(fixture, tmp_path)
    sizes = ALL_SIZES if len(fixture.text) < LARGE else ALL_LARGE_SIZES
    for size, workers, streamed in itertools.product(sizes, (1, 2, 4), (False, True)):
        check_reading(fixture, path, Grid(range_bytes=size, num_workers=workers, streamed=streamed))


def check_conversion(fixture: Fixture, folder: Path, grid: Grid) -> None:
    """Fail unless a conversion writes the records, rejects and warnings of the fixture, or its error."""
    expected = fixture.expected
    folder.mkdir()
    if isinstance(expected, Refused):
        with pytest.raises(PipelineError) as caught:
            convert(stored(fixture, folder), folder / "shards", options_of(fixture, grid))
        check_error(caught.value, expected)
        assert [path.name for path in folder.iterdir()] == [f"raw{fixture.suffix}"]
        return
    convert(stored(fixture, folder), folder / "shards", options_of(fixture, grid))
    dataset = Dataset(folder=folder / "shards")
    assert Counter(written(dataset)) == Counter(as_written(fixture, expected))
    counts = dataset.manifest["records"]
    assert (
        counts["read"] == counts["written"] + counts["rejected"] == len(expected.rows) + len(expected.rejects)
    )
    assert counts["blank"] == expected.num_blank
    assert tuple((reject["line"], reject["code"]) for reject in dataset.rejects()) == expected.rejects
    warnings = dataset.manifest["warnings"]
    assert any(expected.warning in warning for warning in warnings) if expected.warning else True
    for line in (folder / "shards" / "rejects.jsonl").read_bytes().splitlines() if expected.rejects else []:
        assert len(line) < 8000
        assert line.isascii()
        assert json.loads(line)["text"].isprintable() or b"\\u" in line


def written(dataset: Dataset) -> list[tuple[Any, ...]]:
    """Return the records of a dataset as they stood in the source, features in float32."""
    classes = dataset.manifest["label"]["classes"]
    at = next(i for i, column in enumerate(dataset.manifest["columns"]) if column["role"] == "label")
    rows = dataset.all_rows()
    return [(*row[:at], classes[row[at]] if classes else row[at], *row[at + 1 :]) for row in rows]


def as_written(fixture: Fixture, expected: Records) -> list[tuple[Any, ...]]:
    """Return the records of a fixture as a dataset has them: features in float32."""
    used = [kind for kind in fixture.kinds if kind != "dropped"]
    columns = []
    for kind, column in zip(used, zip(*expected.rows, strict=True), strict=True):
        is_feature = kind == "feature"
        columns.append([float(np.float32(value)) for value in column] if is_feature else list(column))
    return list(zip(*columns, strict=True))


def is_filled(fixture: Fixture) -> bool:
    """Whether a value of a fixture is NaN: in a shard its mean stands there, which is for another test."""
    expected = fixture.expected
    if isinstance(expected, Refused):
        return False
    return any(isinstance(value, float) and math.isnan(value) for row in expected.rows for value in row)


@pytest.mark.parametrize("name", [name for name, fixture in FIXTURES.items() if not is_filled(fixture)])
def test_converted(name: str, tmp_path: Path) -> None:
    """A conversion writes these records and says these warnings, or ends in this error and leaves nothing."""
    check_conversion(FIXTURES[name], tmp_path / "once", Grid(num_workers=2))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, fixture in FIXTURES.items() if not is_filled(fixture)])
def test_converted_at_many_sizes_of_range(name: str, tmp_path: Path) -> None:
    """So it does at other ranges and numbers of workers."""
    fixture = FIXTURES[name]
    sizes = (5, 30, 300) if len(fixture.text) < LARGE else (65_536, 1 << 20)
    for number, (size, workers) in enumerate(itertools.product(sizes, (1, 2, 4))):
        check_conversion(fixture, tmp_path / str(number), Grid(range_bytes=size, num_workers=workers))
