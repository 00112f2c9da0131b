"""Owns the local engine: a thread pool. Polars, NumPy, Arrow and hashing release the interpreter lock."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, num_workers: int
) -> Generator[Result, None, None]:
    """Yield `function(task)` for every task, in the order of the tasks.

    At most `num_workers + 1` tasks are drawn from `tasks` and not yet yielded, so a generator of large tasks
    keeps memory bounded. The first error in the order of the tasks is raised; later tasks are cancelled.
    """
    remaining = iter(tasks)
    with ThreadPoolExecutor(num_workers, thread_name_prefix="pipeline") as pool:
        running: deque[Future[Result]] = deque()
        try:
            for task in itertools.islice(remaining, num_workers + 1):
                running.append(pool.submit(function, task))
            while running:
                yield running.popleft().result()
                for task in itertools.islice(remaining, 1):
                    running.append(pool.submit(function, task))
        finally:
            for future in running:
                future.cancel()
