"""Owns the Dask engine: a function mapped over tasks by the processes of a cluster.

Retries, queues and the death of workers are Dask's business. Tasks and results pass through the scheduler, so
both must be small: bytes travel between workers and storage alone. Neighbours: `convert.cluster` says what a
task is; `local` is the engine of threads.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import queue
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import MissingExtraError, WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager

    from distributed import Client

Task = TypeVar("Task")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

PATIENCE_SECONDS = 60  # for a scheduler to answer, and with a cluster that has lost all its workers
LOOK_SECONDS = 1
MAX_DEATHS = 3  # of workers at the same task
TASKS_PER_WORKER = 2  # handed out at a time: one at work, one waiting, so that no worker idles between them
SINGLE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class DaskEngine:
    """Maps functions over tasks on the workers of a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._abandoned: set[str] = set()

    @property
    def num_workers(self) -> int:
        """The number of tasks that the cluster can do at the same time, at least 1."""
        return max(1, int(sum(self._client.nthreads().values())))

    def as_current(self) -> AbstractContextManager[object]:
        """Return a context in which Dask's own functions find this cluster."""
        current: AbstractContextManager[object] = self._client.as_current()
        return current

    def map_tasks(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Iterable[Task]
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield (index, `function(shared, task)`) for every task, each as soon as it is done.

        All of it must be picklable. `shared` is sent to each worker once. An error of a task is raised when
        it is found; tasks that are not begun are cancelled then.

        Raises:
            WorkersLostError: workers died at the same task three times, or all are gone, or the scheduler is.
        """
        remaining = enumerate(tasks)
        # Not scattered: what is scattered is lost with the worker that holds it.
        handed_out = self._client.submit(_itself, shared, pure=False)
        running: dict[str, tuple[int, Any]] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit(index: int, task: Task) -> None:
            future = self._client.submit(function, handed_out, task, pure=False)
            running[future.key] = index, future
            future.add_done_callback(done.put)

        try:
            for index, task in itertools.islice(remaining, TASKS_PER_WORKER * self.num_workers):
                submit(index, task)
            while running:
                future = self._next_done(done)
                result = self._result(future)
                yield running.pop(future.key)[0], result
                for index, task in itertools.islice(remaining, 1):
                    submit(index, task)
        finally:
            self._abandoned |= running.keys()
            with suppress(Exception):  # of a cluster that is gone
                self._client.cancel([future for _, future in running.values()], force=True)

    def _next_done(self, done: queue.SimpleQueue[Any]) -> Any:  # noqa: ANN401  # a future
        """Return the next future that is done; not without patience, if there is nobody to do it."""
        last_seen = time.monotonic()
        while True:
            with suppress(queue.Empty):
                return done.get(timeout=LOOK_SECONDS)
            if self._client.status != "running":
                raise _scheduler_lost()
            if self._client.nthreads():
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
        """Wait until no worker is at a task that was begun and then cancelled, for a minute at the most."""
        with suppress(Exception):  # of workers, or a cluster, that are gone
            self._client.run(_wait_until_idle, keys=frozenset(self._abandoned), seconds=PATIENCE_SECONDS)
        self._abandoned.clear()


def _itself(value: Shared) -> Shared:
    return value


async def _wait_until_idle(dask_worker: Any, *, keys: frozenset[str], seconds: float) -> None:  # noqa: ANN401  # Dask's
    """Wait until none of the tasks `keys` is in work on this worker."""
    until = time.monotonic() + seconds
    while keys.intersection(dask_worker.active_threads.values()):  # Dask has no event for it
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.05)


def _scheduler_lost() -> WorkersLostError:
    return WorkersLostError(
        "the connection to the scheduler is lost",
        hint="run the same command again when it is back: it continues",
    )


@contextmanager
def local_cluster(num_workers: int, *, prepare: Callable[[], None]) -> Iterator[DaskEngine]:
    """Start a cluster of single-threaded processes on this machine, loopback only and without a dashboard.

    Each worker calls `prepare` before its first task.

    Raises:
        MissingExtraError: Dask is not installed.
    """
    distributed = _distributed()
    import dask  # noqa: PLC0415

    settings = {
        "distributed.worker.daemon": True,
        "distributed.scheduler.allowed-failures": MAX_DEATHS - 1,
        # Thousands of columns or files make a large plan, which is sent once.
        "distributed.admin.large-graph-warning-threshold": "1GiB",
    }
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-dask-", ignore_cleanup_errors=True) as scratch,
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            memory_limit=0,  # our own division keeps within --memory; Dask would pause tasks far below it
            local_directory=scratch,
            env=SINGLE_THREAD,
            silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.register_worker_callbacks(prepare)
        yield DaskEngine(client)


@contextmanager
def existing_cluster(scheduler: str) -> Iterator[DaskEngine]:
    """Join the cluster whose scheduler listens at `scheduler`, such as tcp://host:8786 or tls://host:8786.

    Raises:
        MissingExtraError: Dask is not installed.
        WorkersLostError: nobody answers there, or there are no workers.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        said = " ".join(str(error).split())
        raise WorkersLostError(
            f"no scheduler answers: {said}", path=scheduler, hint="start one: dask scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
        except TimeoutError:
            raise WorkersLostError(
                "the scheduler has no workers", path=scheduler, hint=f"start some: dask worker {scheduler}"
            ) from None
        yield DaskEngine(client)


@contextmanager
def reported(engine: DaskEngine, path: str | None) -> Iterator[None]:
    """Write Dask's own performance report, HTML, to `path` when done; nothing if that is None.

    Raises:
        MissingExtraError: what draws it is not installed.
    """
    if path is None:
        yield
        return
    if importlib.util.find_spec("bokeh") is None:  # Dask would ask for it when all is done
        raise MissingExtraError("--performance-report needs Bokeh", hint="pip install bokeh")
    with engine.as_current(), _distributed().performance_report(filename=path):
        yield


def _distributed() -> Any:  # noqa: ANN401  # a module
    try:
        import distributed  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError.of("Dask", "dask") from None
    return distributed
