"""--memory is divided by the formula in the docstring of pipeline.convert.memory, and never exceeded."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.convert import memory
from pipeline.convert.memory import divide
from pipeline.errors import MemoryBudgetError

MEBIBYTE = 1 << 20
# Of one range of HEPMASS: 11,320 records of 29 columns; row groups of 34,952 records.
HEPMASS: dict[str, Any] = {
    "num_cells_per_range": 11_320 * 29,
    "num_columns": 29,
    "range_bytes": 8 << 20,
    "text_bytes_per_range": 0,
    "row_group_bytes": 8 * 30 * 34_952,
    "num_row_groups": 29,
    "encodes_tfrecord": False,
}
WORK = st.fixed_dictionaries(
    {
        "num_cells_per_range": st.integers(1, 10_000_000),
        "num_columns": st.integers(2, 20_000),
        "range_bytes": st.integers(1, 8 << 20),
        "text_bytes_per_range": st.integers(0, 8 << 20),
        "row_group_bytes": st.integers(1, 64 << 20),
        "num_row_groups": st.integers(1, 100_000),
        "encodes_tfrecord": st.booleans(),
    }
)
BUDGETS = st.integers(1, 16 << 30)
WORKERS = st.integers(1, 64)


def worker_bytes(work: dict[str, Any]) -> int:
    """Return what the docstring says one worker takes."""
    reading = work["range_bytes"] + memory.TEXT_COPIES * work["text_bytes_per_range"]
    reading += memory.READING_BYTES_PER_CELL * work["num_cells_per_range"]
    # There are never more cells than 2**14: of a huge source they are larger than row groups.
    cell = work["row_group_bytes"] * work["num_row_groups"] // 2**memory.MAX_CELL_BITS
    writing = memory.WRITING_COPIES * max(work["row_group_bytes"], cell)
    writing += memory.ENCODER_BYTES if work["encodes_tfrecord"] else 0
    return int(max(reading, writing))


def base_bytes(work: dict[str, Any]) -> int:
    """Return what the docstring says the process takes before any work."""
    return memory.BASE_BYTES + memory.COLUMN_BYTES * int(work["num_columns"])


def named_number(error: MemoryBudgetError) -> int:
    """Return the memory that the hint of `error` names, in bytes."""
    found = re.search(r"--memory (\d+)MiB", str(error.hint))
    assert found
    return int(found[1]) * MEBIBYTE


def needed_bytes(work: dict[str, Any]) -> int:
    """Return the least memory for `work`, as the refusal names it."""
    with pytest.raises(MemoryBudgetError) as caught:
        divide(1, num_workers=1, **work)
    return named_number(caught.value)


@given(work=WORK, budget=BUDGETS, num_workers=WORKERS)
def test_parts_never_exceed_the_whole(work: dict[str, Any], budget: int, num_workers: int) -> None:
    """Base, workers and runs together come to no more than --memory, or the work is refused."""
    try:
        plan = divide(budget, num_workers=num_workers, **work)
    except MemoryBudgetError:
        return
    parts = base_bytes(work) + plan.num_threads * worker_bytes(work) + plan.runs_bytes
    assert parts <= budget * memory.SLACK
    assert 1 <= plan.num_workers <= num_workers
    assert plan.num_workers <= plan.num_threads <= plan.num_workers + 1
    assert plan.runs_bytes >= memory.MIN_RUNS_BYTES


@given(work=WORK, budget=BUDGETS, num_workers=WORKERS)
def test_nothing_is_left_over(work: dict[str, Any], budget: int, num_workers: int) -> None:
    """All memory goes to someone; a worker is only missing where it would not fit beside the runs."""
    try:
        plan = divide(budget, num_workers=num_workers, **work)
    except MemoryBudgetError:
        return
    parts = base_bytes(work) + plan.num_threads * worker_bytes(work) + plan.runs_bytes
    assert parts > budget * memory.SLACK - 1
    if plan.num_threads < num_workers + (num_workers > 1):
        assert plan.runs_bytes < memory.MIN_RUNS_BYTES + worker_bytes(work)


@given(work=WORK, budget=BUDGETS, more=st.integers(0, 1 << 30), num_workers=WORKERS)
def test_more_memory_never_means_less(work: dict[str, Any], budget: int, more: int, num_workers: int) -> None:
    """With more memory there are no fewer workers, and for as many workers no less room for runs."""
    try:
        little = divide(budget, num_workers=num_workers, **work)
    except MemoryBudgetError:
        return
    much = divide(budget + more, num_workers=num_workers, **work)
    assert much.num_workers >= little.num_workers
    if much.num_threads == little.num_threads:
        assert much.runs_bytes >= little.runs_bytes


@given(work=WORK, budget=BUDGETS, num_workers=WORKERS)
def test_fewer_workers_rather_than_refusal(work: dict[str, Any], budget: int, num_workers: int) -> None:
    """Work is refused only where not even one worker could do it, however many were asked for."""
    least = needed_bytes(work)
    if budget >= least:
        assert divide(budget, num_workers=num_workers, **work).num_workers >= 1
    else:
        with pytest.raises(MemoryBudgetError):
            divide(budget, num_workers=num_workers, **work)


@given(work=WORK)
def test_the_number_named_would_do(work: dict[str, Any]) -> None:
    """The memory that a refusal names is enough, and one mebibyte less is not."""
    least = needed_bytes(work)
    assert divide(least, num_workers=1, **work).num_workers == 1
    with pytest.raises(MemoryBudgetError) as caught:
        divide(least - MEBIBYTE, num_workers=1, **work)
    assert named_number(caught.value) == least


@given(work=WORK, num_workers=WORKERS, more=st.integers(0, 4 << 30))
def test_cells_follow_from_the_source_alone(work: dict[str, Any], num_workers: int, more: int) -> None:
    """The cells of runs do not depend on memory or workers: an unfinished run can go on with others."""
    least = needed_bytes(work)
    plans = [divide(least, num_workers=1, **work), divide(least + more, num_workers=num_workers, **work)]
    assert plans[0].cell_bits == plans[1].cell_bits
    num_cells = 1 << plans[0].cell_bits
    if plans[0].cell_bits < memory.MAX_CELL_BITS:
        assert 2 * work["num_row_groups"] <= num_cells < 4 * work["num_row_groups"]


@pytest.mark.parametrize(
    ("workers_asked", "room_for", "expected"), [(4, 1, 1), (4, 3, 3), (4, 4, 4), (4, 9, 4), (1, 9, 1)]
)
def test_as_many_workers_as_there_is_room_for(workers_asked: int, room_for: int, expected: int) -> None:
    """With room for three workers, four that are asked for become three, and one stays one."""
    worker = worker_bytes(HEPMASS)
    usable = base_bytes(HEPMASS) + memory.MIN_RUNS_BYTES + room_for * worker + worker // 2
    plan = divide(round(usable / memory.SLACK), num_workers=workers_asked, **HEPMASS)
    assert plan.num_workers == expected


def test_tfrecord_needs_its_encoder() -> None:
    """A budget that just suffices for Parquet is refused for TFRecord where writing takes the most."""
    work = HEPMASS | {"num_cells_per_range": 1, "range_bytes": 1}
    least = needed_bytes(work)
    with pytest.raises(MemoryBudgetError):
        divide(least, num_workers=1, **(work | {"encodes_tfrecord": True}))
