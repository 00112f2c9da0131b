"""Records in the order of split and key: whatever the runs, cells and windows, it is that of one sort."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DiskError
from pipeline.keys import key_order
from pipeline.runs.ranks import RankIndex, ReadAhead
from pipeline.runs.run import Run, build_run
from pipeline.runs.spilled import cell_edges, spill
from pipeline.runs.splits import Census, SplitIndex
from pipeline.runs.surveys import stretches, surveyed
from pipeline.splitting.division import Axis, Division

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Row = tuple[int, float, int, str]  # key, a number, the split value, a text
DIVISION = Division(axis=Axis(), cuts=np.array([[5], [7]]))  # values up to 5 are train, up to 7 val
BY_CLASS = Division(axis=Axis(strata=np.arange(10)), cuts=np.array([[0] * 10, [1 << 61] * 10]))
NUM_RECORDS = 600


def run_of(rows: Sequence[Row]) -> Run:
    """Return a run with a column of integers before the split values."""
    keys = np.array([row[0] for row in rows], np.uint64)
    values = [row[2] for row in rows]
    return build_run(
        keys,
        key_order(keys),
        numbers=np.array([[row[1] for row in rows]], np.float64),
        integers=np.array([[-value for value in values], values], np.int64),
        texts=[pa.array([row[3] for row in rows], pa.large_string())],
    )


def random_rows(*, seed: int) -> list[Row]:
    """Return rows with keys of 64 bits and split values from 0 to 9."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, NUM_RECORDS, dtype=np.uint64).tolist()
    return [
        (key, at / 7, int(value), f"t{at}")
        for at, (key, value) in enumerate(zip(keys, rng.integers(0, 10, len(keys)), strict=True))
    ]


def split_of(row: Row, division: Division) -> int:
    """Return the split of one record."""
    return int(division.split_of(np.array([row[0]], np.uint64), np.array([row[2]], np.int64))[0])


def rows_of(pieces: Sequence[Run]) -> list[Row]:
    """Return the records of pieces, one after the other."""
    return [
        row
        for piece in pieces
        for row in zip(
            piece.keys.tolist(),
            piece.numbers[0].tolist(),
            piece.integers[1].tolist(),
            piece.texts[0].to_pylist(),
            strict=True,
        )
    ]


def index_of(rows: Sequence[Row], folder: Path, *, cell_bits: int, num_spilled: int) -> RankIndex:
    """Return the index of five runs, some of them as files."""
    runs = [run_of(rows[at::5]) for at in range(5)]
    folder.mkdir(exist_ok=True, parents=True)
    files = [
        spill([run], folder / f"run-{at}", cell_edges(cell_bits)) for at, run in enumerate(runs[:num_spilled])
    ]
    return RankIndex(runs[num_spilled:], files, cell_bits=cell_bits)


def divided(index: RankIndex, division: Division) -> SplitIndex:
    """Return the index by split, its census taken at once."""
    return SplitIndex(index, division, surveyed(index, (0, index.num_cells), Census(division=division)))


@pytest.mark.parametrize("division", [DIVISION, BY_CLASS], ids=["values", "keys"])
@pytest.mark.parametrize("num_spilled", [0, 2, 5])
@pytest.mark.parametrize("cell_bits", [0, 3, 7])
def test_any_interval_is_that_of_one_sort(
    tmp_path: Path, division: Division, num_spilled: int, cell_bits: int
) -> None:
    """Splits one after the other, keys ascending in each; read ahead or not, across splits too."""
    rows = random_rows(seed=cell_bits)
    index = divided(index_of(rows, tmp_path, cell_bits=cell_bits, num_spilled=num_spilled), division)
    expected = sorted(rows, key=lambda row: (split_of(row, division), row[0]))
    sizes = np.bincount([split_of(row, division) for row in rows], minlength=3).tolist()
    assert list(index.sizes) == sizes
    assert (index.num_records, index.shape) == (NUM_RECORDS, (1, 2, 1))
    for begin, end in [(0, NUM_RECORDS), (0, sizes[0]), (sizes[0] - 3, sizes[0] + 40), (500, 501), (7, 7)]:
        for ahead in (None, ReadAhead(num_bytes=900, end=end), ReadAhead(num_bytes=1 << 20, end=NUM_RECORDS)):
            batches = list(index.batches(begin, end, 64, ahead=ahead))
            assert [row for pieces in batches for row in rows_of(pieces)] == expected[begin:end]
            counts = [sum(piece.num_records for piece in pieces) for pieces in batches]
            assert all(count == 64 for count in counts[:-1])


@given(num_tasks=st.integers(1, 40), cell_bits=st.integers(0, 6))
def test_stretches_cover_every_cell_once(
    fresh_folder: Callable[[], Path], num_tasks: int, cell_bits: int
) -> None:
    """However many are asked for, they follow each other from the first cell to the last, none empty."""
    index = index_of(random_rows(seed=1), fresh_folder(), cell_bits=cell_bits, num_spilled=1)
    found = stretches(index, num_tasks)
    assert [first for first, _ in found] == [0, *(last for _, last in found[:-1])]
    assert found[-1][1] == index.num_cells == 1 << cell_bits
    assert all(first < last for first, last in found)
    assert len(found) <= num_tasks


class Everything:
    """The survey that sees every key with its value."""

    def look(self, keys: NDArray[np.uint64], values: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return them as pairs."""
        return list(zip(keys.tolist(), values.tolist(), strict=True))

    def merge(self, left: list[tuple[int, int]], right: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return both."""
        return left + right


@pytest.mark.parametrize("num_spilled", [0, 3, 5])
def test_a_survey_sees_every_record_once(tmp_path: Path, num_spilled: int) -> None:
    """Cell by cell, in memory and in files, whatever is read ahead."""
    rows = random_rows(seed=2)
    index = index_of(rows, tmp_path, cell_bits=4, num_spilled=num_spilled)
    for num_bytes in (1, 5000, 1 << 20):
        ahead = ReadAhead(num_bytes=num_bytes, end=NUM_RECORDS)
        seen = surveyed(index, (0, 16), Everything(), ahead=ahead)
        assert sorted(seen) == sorted((row[0], row[2]) for row in rows)
    some = surveyed(index, (3, 5), Everything())
    assert sorted(some) == sorted((row[0], row[2]) for row in rows if 3 <= row[0] >> 60 < 5)


def test_records_that_are_not_those_counted_are_noticed(tmp_path: Path) -> None:
    """A census that does not fit what is gathered is an error, not a shard of another size."""
    index = index_of(random_rows(seed=3), tmp_path, cell_bits=2, num_spilled=5)
    counts = surveyed(index, (0, 4), Census(division=DIVISION))
    counts[1] += [1, -1, 0]
    with pytest.raises(DiskError, match="other records than were written"):
        list(SplitIndex(index, DIVISION, counts).batches(0, NUM_RECORDS, 100))
