"""Owns the Dask engine: a function mapped over tasks by the processes of a cluster.

Retries, queues and the death of workers are Dask's business. Tasks and results pass through the scheduler, so
both must be small: bytes travel between workers and storage alone. Neighbours: `clusters` starts or joins
them; `convert.cluster` says what a task is; `local` is the engine of threads.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import queue
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from contextlib import AbstractContextManager

    from distributed import Client

Task = TypeVar("Task")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

PATIENCE_SECONDS = 60  # for a scheduler to answer, and with a cluster that has lost all its workers
LOOK_SECONDS = 1
MAX_RETRIES = (
    2  # of a task that raises: of a store that fails for a while, or a disk that only one worker has
)
MAX_INLINE_BYTES = 32 << 10  # a plan of 29 columns has 2 kB, with the places of a hundred runs 24
TASKS_PER_WORKER = 2  # handed out at a time: one at work, one waiting, so that no worker idles between them


class DaskEngine:
    """Maps functions over tasks on the workers of a cluster.

    `name` says what they work on: tasks of clients with the same name are told from all others.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def num_workers(self) -> int:
        """The number of tasks that the cluster can do at the same time, at least 1."""
        return max(1, sum(self._threads().values()))

    def _threads(self) -> dict[str, int]:
        """Return the number of threads of each worker."""
        try:
            found: dict[str, int] = self._client.nthreads()
        except OSError:
            raise _scheduler_lost() from None
        return found

    def as_current(self) -> AbstractContextManager[object]:
        """Return a context in which Dask's own functions find this cluster."""
        current: AbstractContextManager[object] = self._client.as_current()
        return current

    def map_tasks(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Iterable[Task]
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield (index, `function(shared, task)`) for every task, each as soon as it is done.

        All of it must be picklable. `shared` is sent with each task if it is small, else to each worker once.
        A task that raises is done anew by Dask, twice; its last error is raised when it is found, and tasks
        that are not begun are cancelled.

        Raises:
            WorkersLostError: workers died at the same task three times, or all are gone, or the scheduler is.
        """
        remaining = enumerate(tasks)
        handed_out = self._handed_out(shared)
        running: dict[str, tuple[int, Any]] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit(index: int, task: Task) -> None:
            key = f"{function.__name__}-{self._name}-{uuid.uuid4().hex}"
            future = self._client.submit(function, handed_out, task, key=key, retries=MAX_RETRIES)
            running[key] = index, future
            future.add_done_callback(done.put)

        try:
            while True:
                # Asked for each time: a cluster may have grown.
                missing = TASKS_PER_WORKER * self.num_workers - len(running)
                for index, task in itertools.islice(remaining, max(0, missing)):
                    submit(index, task)
                if not running:
                    return
                future = self._next_done(done)
                result = self._result(future)
                yield running.pop(future.key)[0], result
        finally:
            with suppress(Exception):  # of a cluster that is gone
                self._client.cancel([future for _, future in running.values()], force=True)

    def _handed_out(self, shared: Shared) -> Any:  # noqa: ANN401  # itself, or a future of it
        # What tasks depend on is on one worker first, and the scheduler would rather have that one do them
        # all than send it to another: it wrote all shards of a small source alone.
        if len(pickle.dumps(shared)) <= MAX_INLINE_BYTES:
            return shared
        # Not scattered: what is scattered is lost with the worker that holds it.
        return self._client.submit(_itself, shared, pure=False)

    def _next_done(self, done: queue.SimpleQueue[Any]) -> Any:  # noqa: ANN401  # a future
        """Return the next future that is done; not without patience, if there is nobody to do it."""
        last_seen = time.monotonic()
        while True:
            with suppress(queue.Empty):
                return done.get(timeout=LOOK_SECONDS)
            if self._client.status != "running":
                raise _scheduler_lost()
            if self._threads():
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > PATIENCE_SECONDS:
                raise WorkersLostError(
                    "all workers are gone", hint="start some, and run it again: it continues"
                )

    def _result(self, future: Any) -> Any:  # noqa: ANN401  # of any task
        from distributed import KilledWorker  # noqa: PLC0415
        from distributed.client import FutureCancelledError  # noqa: PLC0415

        try:
            return future.result()
        except KilledWorker as error:
            raise WorkersLostError(
                f"workers died at the same task again and again, the last one at {error.last_worker.address}",
                hint="its log says why; often it is memory: pass a smaller --memory, or take larger workers",
            ) from None
        except (FutureCancelledError, asyncio.CancelledError):
            raise _scheduler_lost() from None
        except OSError:
            if self._client.status == "running":
                raise  # of the task
            raise _scheduler_lost() from None

    def wait_for_stragglers(self) -> None:
        """Wait until no worker is at a task of this name, for a minute at the most.

        Such tasks were begun and then cancelled, or left by a client that was killed.
        """
        self._on_workers(_wait_until_idle, name=self._name, seconds=PATIENCE_SECONDS)

    def of_workers(self, function: Callable[[], Result]) -> list[Result]:
        """Return what `function` says in each worker process that answers."""
        return list(self._on_workers(function).values())

    def _on_workers(self, function: Callable[..., Any], **given: Any) -> dict[str, Any]:  # noqa: ANN401  # its own
        with suppress(Exception):  # of workers, or a cluster, that are gone
            found: dict[str, Any] = self._client.run(function, on_error="ignore", **given)
            return found
        return {}


def _itself(value: Shared) -> Shared:
    return value


async def _wait_until_idle(dask_worker: Any, *, name: str, seconds: float) -> None:  # noqa: ANN401  # Dask's
    """Wait until none of the tasks called `name` is in work on this worker."""
    until = time.monotonic() + seconds
    while any(name in str(key) for key in dask_worker.active_threads.values()):  # Dask has no event for it
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.05)


def _scheduler_lost() -> WorkersLostError:
    return WorkersLostError(
        "the connection to the scheduler is lost",
        hint="run the same command again when it is back: it continues",
    )
