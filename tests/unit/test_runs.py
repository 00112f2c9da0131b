"""However records are spread over runs, in memory or on disk, any interval of ranks is that of one sort."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DiskError
from pipeline.keys import key_order
from pipeline.runs.ranks import RankIndex
from pipeline.runs.run import Run, build_run, join_slices, merge_runs, narrowed
from pipeline.runs.spilled import SpilledRun, cell_edges, spill
from pipeline.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Row = tuple[int, float, float, int, str]


def run_of(rows: Sequence[Row], *, narrow: bool = False) -> Run:
    """Return a run of rows of key, two numbers, an integer and a text."""
    keys = np.array([row[0] for row in rows], np.uint64)
    numbers = np.array([[row[1] for row in rows], [row[2] for row in rows]], np.float64)
    return build_run(
        keys,
        key_order(keys),
        numbers=narrowed(numbers) if narrow else numbers,
        integers=np.array([[row[3] for row in rows]], np.int64),
        texts=[pa.array([row[4] for row in rows], pa.large_string())],
    )


def rows_of(run: Run) -> list[Row]:
    """Return the records of a run as rows."""
    return list(
        zip(
            run.keys.tolist(),
            run.numbers[0].astype(np.float64).tolist(),
            run.numbers[1].astype(np.float64).tolist(),
            run.integers[0].tolist(),
            run.texts[0].to_pylist(),
            strict=True,
        )
    )


def random_rows(num_records: int, *, seed: int) -> list[Row]:
    """Return rows with keys of 64 bits and values that only float64 holds."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, num_records, dtype=np.uint64).tolist()
    return [
        (key, float(rng.normal()), 1e9 + index / 8, 2**53 + index, f"é{index}" * (index % 3))
        for index, key in enumerate(keys)
    ]


def test_a_run_is_ordered_by_key() -> None:
    """Building puts numbers, integers and texts of each record in the order of the keys."""
    rows = random_rows(100, seed=1)
    assert rows_of(run_of(rows)) == sorted(rows)


def test_a_slice_is_a_run_of_its_records() -> None:
    """A slice holds the records between two positions."""
    run = run_of(random_rows(20, seed=1))
    assert rows_of(run.between(3, 9)) == rows_of(run)[3:9]
    assert run.between(5, 5).num_records == 0
    assert run.shape == (2, 1, 1)
    assert run.num_bytes >= 20 * 32


def test_slices_are_joined_as_they_stand() -> None:
    """Joined slices are the records of each, one after the other, exact where runs of both widths meet."""
    runs = [run_of(random_rows(20, seed=1)), run_of([(5, 0.5, 2.0, 3, "x")], narrow=True)]
    assert {run.numbers.dtype for run in runs} == {np.dtype(np.float64), np.dtype(np.float32)}
    joined = join_slices(runs, [(3, 9), (0, 1)])
    assert rows_of(joined) == [*rows_of(runs[0])[3:9], *rows_of(runs[1])]
    assert joined.shape == runs[0].shape
    assert join_slices(runs, [(4, 4), (0, 0)]).num_records == 0


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.5, -1.0, np.nan, -0.0], "float32"),
        ([float(np.float32(0.1)), float(np.float32(3e38))], "float32"),
        ([0.1], "float64"),
        ([1.7e9 + 1], "float64"),
        ([1e39], "float64"),
        ([1e-50, 1.0], "float64"),
        ([0.5, 2.0**24 + 1], "float64"),
    ],
)
def test_numbers_are_narrowed_only_without_loss(values: list[float], dtype: str) -> None:
    """float32 where every value survives it, else the doubles as they are; either way the same values."""
    found = narrowed(np.array([values]))
    assert found.dtype.name == dtype
    np.testing.assert_array_equal(found.astype(np.float64), [values])
    np.testing.assert_array_equal(np.signbit(found), np.signbit([values]))


def test_merging_is_one_sort() -> None:
    """Merged runs are the run of all their records, float32 and float64 beside each other."""
    plain = [(key, 0.5, 0.25, number, text) for key, _, _, number, text in random_rows(50, seed=2)]
    fine = random_rows(70, seed=3)
    merged = merge_runs([run_of(plain, narrow=True), run_of(fine), run_of([])])
    assert rows_of(merged) == sorted(plain + fine)


def test_equal_keys_are_ordered_by_value_alone() -> None:
    """Where keys are equal, how the records were spread over runs leaves no trace."""
    rows: list[Row] = [
        (7, 1.0, 2.0, 3, "b"),
        (7, 1.0, 2.0, 3, "a"),
        (7, 0.5, 9.0, 1, "c"),
        (6, 9.0, 9.0, 9, "z"),
    ]
    rows += [(7, 1.0, 2.0, 2, "a")]
    spreads = [
        [rows[:2], rows[2:]],
        [rows[2:], rows[:2]],
        [rows[::2], rows[1::2]],
        [rows[4:], rows[:1], rows[1:4]],
    ]
    found = [rows_of(merge_runs([run_of(part) for part in spread])) for spread in spreads]
    assert all(other == found[0] for other in found)
    assert sorted(found[0]) == sorted(rows)


@pytest.mark.parametrize("cell_bits", [0, 1, 3, 9])
@pytest.mark.parametrize("num_spilled", [0, 2, 4])
def test_ranks_are_those_of_one_sort(tmp_path: Path, cell_bits: int, num_spilled: int) -> None:
    """Every interval, in batches of any size, is cut out of the sorted whole, from memory and disk alike."""
    rows = random_rows(300, seed=4)
    parts = [rows[:50], rows[50:51], rows[51:200], rows[200:]]
    edges = cell_edges(cell_bits)
    spilled = [
        spill([run_of(part)], tmp_path / str(number), edges)
        for number, part in enumerate(parts[:num_spilled])
    ]
    index = RankIndex([run_of(part) for part in parts[num_spilled:]], spilled, cell_bits=cell_bits)
    expected = sorted(rows)
    assert index.num_records == 300
    assert index.shape == (2, 1, 1)
    for begin, end in ((0, 300), (0, 0), (17, 18), (100, 299), (299, 300)):
        for batch_records in (1, 7, 64, 1000):
            batches = [
                [row for piece in batch for row in rows_of(piece)]
                for batch in index.batches(begin, end, batch_records)
            ]
            assert [row for batch in batches for row in batch] == expected[begin:end]
            assert all(len(batch) == batch_records for batch in batches[:-1])


@given(
    keys=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30),
    bounds=st.lists(st.integers(0, 2**64), min_size=1, max_size=5),
    cell_bits=st.integers(0, 6),
)
def test_the_rank_of_a_key_counts_the_smaller_ones(
    keys: list[int], bounds: list[int], cell_bits: int
) -> None:
    """The rank of a bound is the number of keys below it, at the ends of the key space too."""
    rows: list[Row] = [(key, 0.0, 0.0, 0, "") for key in keys]
    index = RankIndex([run_of(rows[::2]), run_of(rows[1::2])], [], cell_bits=cell_bits)
    for bound in [*bounds, 0, 2**64, *keys]:
        assert index.rank_of(bound) == sum(1 for key in keys if key < bound)


def test_changed_bytes_on_disk_are_noticed(tmp_path: Path) -> None:
    """A run file that gives back other bytes than were written is an error, not other numbers."""
    path = tmp_path / "run"
    spilled = spill([run_of(random_rows(100, seed=5))], path, cell_edges(2))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    index = RankIndex([], [spilled], cell_bits=2)
    with pytest.raises(DiskError, match="other bytes") as caught:
        list(index.batches(0, 100, 10))
    assert caught.value.path == str(path)


@pytest.mark.parametrize("budget_bytes", [8, 4000, 20_000, 10**9])
@pytest.mark.parametrize("num_threads", [1, 4])
def test_any_budget_holds_all_records(tmp_path: Path, budget_bytes: int, num_threads: int) -> None:
    """Whatever fits in memory, from any number of threads: all records are there, once, with their notes."""
    rows = random_rows(1000, seed=6)
    parts = [rows[begin : begin + 40] for begin in range(0, 1000, 40)]
    told: list[int] = []
    files: list[SpilledRun] = []

    def on_spill(run: SpilledRun, notes: Sequence[int]) -> None:
        assert run.path.exists()
        files.append(run)
        told.extend(notes)

    store: RunStore[int] = RunStore(tmp_path, budget_bytes=budget_bytes, cell_bits=3, on_spill=on_spill)
    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(lambda number: store.add(run_of(parts[number]), number), range(len(parts))))
    index = store.index()
    pieces = [piece for batch in index.batches(0, 1000, 100) for piece in batch]
    assert [row for piece in pieces for row in rows_of(piece)] == sorted(rows)
    assert store.num_spilled == len(files)
    assert (store.num_spilled == 0) == (budget_bytes == 10**9)
    assert len(set(told)) == len(told)
    assert sum(int(run.counts().sum()) for run in files) == 40 * len(told)


def test_a_failing_disk_reaches_every_thread(tmp_path: Path) -> None:
    """When spilling fails, the thread that spilled gets the error, and no other waits forever."""

    def fail(_run: SpilledRun, _notes: Sequence[int]) -> None:
        raise OSError("no space left")

    store: RunStore[int] = RunStore(tmp_path, budget_bytes=1000, cell_bits=1, on_spill=fail)
    failures: list[BaseException | None] = []
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(store.add, run_of(random_rows(40, seed=seed)), seed) for seed in range(9)]
        failures = [future.exception(timeout=20) for future in waiting]
    assert any(isinstance(failure, OSError) for failure in failures)


def test_no_columns_of_a_kind_are_fine(tmp_path: Path) -> None:
    """Runs without integers or texts, spilled or not, are gathered like any other."""
    make: Callable[[int], Run] = lambda seed: build_run(  # noqa: E731  # used twice below
        np.array([seed + 2, seed], np.uint64),
        np.array([1, 0]),
        numbers=np.array([[1.0, 2.0]]),
        integers=np.empty((0, 2), np.int64),
        texts=[],
    )
    spilled = spill([make(1)], tmp_path / "run", cell_edges(1))
    index = RankIndex([make(2)], [spilled], cell_bits=1)
    (batch,) = index.batches(0, 4, 10)
    assert np.concatenate([piece.keys for piece in batch]).tolist() == [1, 2, 3, 4]
    assert index.shape == (1, 0, 0)
