"""The model of an exchange: its sums add up, it grows as it should, and hopeless memory is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.convert import make_plan
from pipeline.convert.exchange import MIN_SLICE_BYTES, exchange_of
from pipeline.errors import MemoryBudgetError
from pipeline.plan import ConvertOptions
from support.texts import numbered_text

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.convert.exchange import Exchange
    from support.command import Command

GIB = 1 << 30


def sparse(folder: Path, num_bytes: int) -> Path:
    """Return a file that claims `num_bytes`, of which the disk holds the first records alone."""
    path = folder / "raw.csv"
    path.write_text(numbered_text(10_000, num_features=28), encoding="utf-8")
    with path.open("ab") as file:
        file.truncate(num_bytes)
    return path


def exchange(path: Path, *, memory: int = 4 * GIB, num_workers: int = 64) -> Exchange:
    """Return the exchange of `path` on a cluster."""
    options = ConvertOptions(engine="dask", memory_bytes=memory, num_workers=num_workers)
    return exchange_of(make_plan(path, options), num_workers)


@pytest.mark.parametrize("gigabytes", [1, 30, 1_000, 10_000])
def test_tasks_fit_the_memory_of_a_worker(tmp_path: Path, gigabytes: int) -> None:
    """A reading task fills it with a run, a writing task half of it with a window; all have work."""
    found = exchange(sparse(tmp_path, gigabytes * 10**9))
    run_bytes = found.run_bytes / found.num_reading_tasks
    assert run_bytes <= found.memory_bytes < 4 * GIB
    assert found.run_bytes / found.num_windows <= found.window_bytes <= found.memory_bytes / 2
    assert found.num_reading_tasks >= min(4 * 64, found.num_ranges) * 0.9
    assert found.num_slices == found.num_runs * found.num_windows
    assert found.num_reads >= 2 * found.num_slices
    assert found.moved_bytes == found.text_bytes + 2 * found.run_bytes + found.shard_bytes


def test_slices_shrink_with_the_size_and_grow_with_the_square_of_memory(tmp_path: Path) -> None:
    """So a larger --memory is what a larger source asks for."""
    path = sparse(tmp_path, 8_000 * 10**9)
    small, large = exchange(path, memory=4 * GIB), exchange(path, memory=8 * GIB)
    squared = (large.memory_bytes / small.memory_bytes) ** 2
    assert large.slice_bytes / small.slice_bytes == pytest.approx(squared, rel=0.25)
    half = exchange(sparse(tmp_path, 4_000 * 10**9))
    squared = (half.memory_bytes / small.memory_bytes) ** 2  # its cells are smaller, too
    assert half.slice_bytes / small.slice_bytes == pytest.approx(2 * squared, rel=0.25)


def test_memory_that_leaves_nothing_but_requests_is_refused(tmp_path: Path) -> None:
    """The error names the memory that would do, and that does."""
    path = sparse(tmp_path, 15_000 * 10**9)
    with pytest.raises(MemoryBudgetError, match="is too little for this source") as caught:
        exchange(path, memory=GIB)
    least = int(caught.value.hint.split()[2].removesuffix("MiB"))
    with pytest.raises(MemoryBudgetError, match=r"workers would exchange records in [\d,]+ slices") as caught:
        exchange(path, memory=least << 20)
    needed = int(caught.value.hint.split()[2].removesuffix("GiB"))
    assert exchange(path, memory=needed * GIB).slice_bytes >= MIN_SLICE_BYTES


def test_a_dry_run_shows_the_exchange(tmp_path: Path, pipeline_command: Command) -> None:
    """As JSON and as a page, for as many workers as are asked for, with no cluster there."""
    command = ("convert", sparse(tmp_path, 10**12), "s3://bucket/shards", "--dry-run", "--engine", "dask")
    asked = ("--scheduler", "tcp://127.0.0.1:9", "--workers", "64", "--memory", "4GiB")
    expected = exchange(tmp_path / "raw.csv")
    found = json.loads(pipeline_command(*command, *asked, "--json").stdout)["estimated"]["exchange"]
    assert found["workers"] == 64
    assert found["slices"] == found["runs"] * found["windows"] == expected.num_slices
    assert found["reads"] == expected.num_reads
    page = pipeline_command(*command, *asked).stdout
    assert f"{expected.num_slices:,} slices of " in page
    assert f"{expected.num_reading_tasks:,} tasks, which write {expected.num_runs:,} runs of " in page
