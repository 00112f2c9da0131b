"""The local engine maps in order, draws tasks as they are needed, and raises the first error."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.engine.local import map_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_results_come_in_the_order_of_the_tasks(num_workers: int) -> None:
    """Whoever is done first, the results are those of the tasks in order."""

    def slow_if_even(task: int) -> int:
        time.sleep(0.003 if task % 2 == 0 else 0)
        return task * task

    found = list(map_tasks(slow_if_even, range(20), num_workers=num_workers))
    assert found == [task * task for task in range(20)]


def test_no_tasks_give_no_results() -> None:
    """An empty list of tasks is fine."""
    assert list(map_tasks(str, [], num_workers=3)) == []


@pytest.mark.parametrize("num_workers", [1, 3])
def test_tasks_are_drawn_as_results_are_taken(num_workers: int) -> None:
    """At most one more task than workers is ahead of what was taken: memory stays bounded."""
    drawn = 0

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for task in range(50):
            drawn += 1
            yield task

    for taken, _ in enumerate(map_tasks(str, tasks(), num_workers=num_workers)):
        assert drawn <= taken + num_workers + 1
    assert drawn == 50


def test_tasks_run_at_the_same_time() -> None:
    """Two workers work on two tasks at once."""
    both = threading.Barrier(2, timeout=10)
    assert sorted(map_tasks(lambda _: both.wait(), range(2), num_workers=2)) == [0, 1]


@pytest.mark.parametrize("num_workers", [1, 4])
def test_the_first_error_in_order_is_raised(num_workers: int) -> None:
    """However fast a later task fails, the error raised is that of the first faulty task."""
    started = []

    def fail_late(task: int) -> int:
        started.append(task)
        if task == 2:
            time.sleep(0.02)
        if task >= 2:
            raise ValueError(task)
        return task

    with pytest.raises(ValueError, match="2"):
        list(map_tasks(fail_late, range(100), num_workers=num_workers))
    assert max(started) < 10
    assert threading.active_count() < 5


def test_results_before_an_error_are_handed_out() -> None:
    """What was done before the fault reaches the caller."""

    def fail_at_three(task: int) -> int:
        if task == 3:
            raise ValueError(task)
        return task

    results = map_tasks(fail_at_three, range(9), num_workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)


def test_an_error_of_the_tasks_themselves_is_raised() -> None:
    """If drawing a task fails, the caller learns of it."""

    def tasks() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(map_tasks(str, tasks(), num_workers=2))


def test_who_stops_taking_leaves_no_threads() -> None:
    """Abandoning the results ends the workers."""
    before = threading.active_count()
    results = map_tasks(str, range(100), num_workers=3)
    assert next(results) == "0"
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert threading.active_count() == before
