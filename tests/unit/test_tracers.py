"""Tests of pipeline.convert.tracers: which records are followed, and that what is told of them is true."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.convert import convert, writing
from pipeline.convert.tracers import MAX_HELD, MAX_TRACERS, MIN_OFFERED, Tracers, offered, traced
from pipeline.errors import DiskError
from pipeline.runs.run import Run
from pipeline.splitting.rule import SplitRule
from support.datasets import Dataset, convert_text, make_options
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUM_RECORDS = 3000


@given(sizes=st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=40), min_size=1, max_size=5))
@settings(max_examples=30)
def test_tracers_are_spread_evenly(sizes: list[list[int]]) -> None:
    """Of any files in any ranges: all records if they are few, else enough of them, with no long gaps."""
    tracers, num_read = Tracers(), 0
    for file_index, ranges in enumerate(sizes):
        for range_index, num_records in enumerate(ranges):
            places = offered(num_records, file_index=file_index, range_index=range_index)
            assert len(places) <= max(MIN_OFFERED, MAX_TRACERS)
            tracers.add(np.stack([places, num_read + places]).astype(np.uint64), records_before=num_read)
            num_read += num_records
    positions, keys = tracers.chosen().tolist()
    assert len(positions) <= MAX_TRACERS
    assert positions == sorted(set(positions))
    assert keys == positions
    largest = max(max(ranges) for ranges in sizes)
    gaps = np.diff([-1, *positions, num_read])
    # Two parts of the source, or of a range of which 16 are offered, lie between neighbours at most.
    assert max(gaps) <= 2 * max(num_read / MAX_TRACERS, largest / MIN_OFFERED, 1) + 2


def test_a_long_source_takes_bounded_memory() -> None:
    """However many ranges there are, little is held on the way, and what is chosen lies evenly."""
    tracers, most = Tracers(), 0
    num_ranges, num_records = 5000, 20_000
    for index in range(num_ranges):
        places = offered(num_records, file_index=0, range_index=index)
        tracers.add(np.stack([places, places]).astype(np.uint64), records_before=index * num_records)
        most = max(most, tracers.num_held)
    assert most <= MAX_HELD
    positions = tracers.chosen()[0].astype(np.int64)
    assert len(positions) == MAX_TRACERS
    step = num_ranges * num_records / MAX_TRACERS
    assert np.diff(positions).max() < 2.5 * step
    assert np.diff(positions).min() > 0.2 * step


@given(keys=st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=1), data=st.data())
def test_ranks_are_found_in_pieces(keys: list[int], data: st.DataObject) -> None:
    """Whatever pieces the records come in, each tracer among them is told with its place in the order."""
    followed = data.draw(st.sets(st.sampled_from(keys)))
    strangers = data.draw(st.sets(st.integers(0, 2**64 - 1).filter(lambda key: key not in keys)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(keys)), max_size=4)))
    ordered = np.array(sorted(keys), np.uint64)
    pieces = [
        Run(
            keys=ordered[begin:end],
            numbers=np.empty((0, end - begin)),
            integers=np.empty((0, end - begin), np.int64),
            texts=(),
        )
        for begin, end in zip([0, *cuts], [*cuts, len(keys)], strict=True)
    ]
    found = traced(pieces, np.array(sorted(followed | strangers), np.uint64), 1000)
    assert found == [(key, 1000 + index) for index, key in enumerate(sorted(keys)) if key in followed]


def assert_true(dataset: Dataset, numbers: list[int]) -> None:
    """Fail unless every tracer's record, by its number, stands where the manifest says on either side.

    `numbers[i]` is the number in the row that was read as the i-th.
    """
    shuffle = dataset.manifest["shuffle"]
    in_order = dataset.column("id")
    assert len(shuffle["positions"]) == len(shuffle["ranks"]) > 0
    for position, rank in zip(shuffle["positions"], shuffle["ranks"], strict=True):
        assert in_order[rank] == numbers[position]


@pytest.mark.parametrize("range_bytes", [2000, 8 << 20])
def test_tracers_stand_where_the_manifest_says(fresh_folder: Callable[[], Path], range_bytes: int) -> None:
    """Of two files, one packed, with rows set aside: the record read there is the one in that place."""
    header, *rows = numbered_text(NUM_RECORDS).splitlines()
    for place in (3, 700, 701, 2500):
        rows[place] = f"1,{place}"  # too few fields: read, and set aside
    folder = fresh_folder()
    folder.mkdir()
    (folder / "a.csv").write_text("\n".join([header, *rows[:1100]]) + "\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(("\n".join([header, *rows[1100:]]) + "\n").encode()))
    options = make_options(range_bytes=range_bytes, keep=("id",), on_bad_row="skip", shard_bytes=6000)
    convert([folder / "a.csv", folder / "b.csv.gz"], folder / "shards", options)
    dataset = Dataset(folder=folder / "shards")
    assert_true(dataset, list(range(NUM_RECORDS)))
    splits = np.searchsorted([2397, 2697], dataset.manifest["shuffle"]["ranks"], side="right")
    assert set(splits.tolist()) == {0, 1, 2}
    assert dataset.manifest["splits"]["train"]["records"] == 2397


@pytest.mark.parametrize(
    "rule",
    [
        SplitRule(name="stratify"),
        SplitRule(name="group", column="f1"),
        SplitRule(name="time", column="f0"),
    ],
    ids=lambda rule: rule.name,
)
def test_tracers_are_found_however_splits_are_made(fresh_folder: Callable[[], Path], rule: SplitRule) -> None:
    """Where splits are no intervals of keys, places are those in train, val and test all the same."""
    options = make_options(range_bytes=30_000, keep=("id",), shard_bytes=6000, rule=rule)
    assert_true(convert_text(numbered_text(NUM_RECORDS), fresh_folder(), options), list(range(NUM_RECORDS)))


def test_tracers_survive_a_continuation(
    fresh_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that an earlier process wrote have told their tracers to the journal: the same manifest."""
    text = numbered_text(NUM_RECORDS)
    options = make_options(range_bytes=4000, keep=("id",), shard_bytes=6000)
    expected = convert_text(text, fresh_folder(), options)
    assert_true(expected, list(range(NUM_RECORDS)))
    folder = fresh_folder()
    folder.mkdir()
    (folder / "source.csv").write_text(text)
    calls = []

    def failing(*args: object, **kwargs: object) -> list[tuple[int, int]]:
        calls.append(1)
        if len(calls) == 5:
            raise DiskError("full", path="x")
        return traced(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(writing, "traced", failing)
        with pytest.raises(DiskError):
            convert(folder / "source.csv", folder / "shards", options)
    assert "tracers" in (folder / "shards.incomplete" / "journal.jsonl").read_text()
    convert(folder / "source.csv", folder / "shards", options)
    assert Dataset(folder=folder / "shards").file_bytes() == expected.file_bytes()
