"""Owns the Dask engine: a function mapped over tasks by the processes of a cluster.

Retries, queues and the death of workers are Dask's business. Tasks and results pass through the scheduler, so
both must be small: bytes travel between workers and storage alone. Neighbours: `convert.cluster` says what a
task is; `local` is the engine of threads.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import MissingExtraError, WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from distributed import Client

Task = TypeVar("Task")
Result = TypeVar("Result")

PATIENCE_SECONDS = 60  # for a scheduler to answer, and for its first worker
TASKS_PER_WORKER = 2  # handed out at a time: one at work, one waiting, so that no worker idles between them
SINGLE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class DaskEngine:
    """Maps functions over tasks on the workers of a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def num_workers(self) -> int:
        """The number of tasks that the cluster can do at the same time, at least 1."""
        return max(1, int(sum(self._client.nthreads().values())))

    def map_tasks(
        self, function: Callable[[Any, Task], Result], shared: object, tasks: Iterable[Task]
    ) -> Iterator[Result]:
        """Yield `function(shared, task)` for every task, in the order of the tasks.

        All of it must be picklable. `shared` is sent to each worker once. The first error in the order of
        the tasks is raised; tasks that are not done are cancelled.

        Raises:
            WorkersLostError: workers died at the same task three times, or the scheduler is gone.
        """
        from distributed import KilledWorker  # noqa: PLC0415
        from distributed.client import FutureCancelledError  # noqa: PLC0415

        remaining = iter(tasks)
        handed_out = self._client.scatter(shared, hash=False, broadcast=False)
        running: deque[Any] = deque()

        def submit(task: Task) -> None:
            running.append(self._client.submit(function, handed_out, task, pure=False))

        try:
            for task in itertools.islice(remaining, TASKS_PER_WORKER * self.num_workers):
                submit(task)
            while running:
                yield running[0].result()
                running.popleft()
                for task in itertools.islice(remaining, 1):
                    submit(task)
        except KilledWorker as error:
            raise WorkersLostError(
                f"workers died at the same task again and again, the last one at {error.last_worker.address}",
                hint="its log says why; often it is memory: pass a smaller --memory, or larger workers",
            ) from None
        except (FutureCancelledError, asyncio.CancelledError, OSError) as error:
            if self._client.status == "running" and isinstance(error, OSError):
                raise  # of a task
            raise WorkersLostError(
                "the connection to the scheduler is lost",
                hint="run the same command again when it is back: it continues",
            ) from None
        finally:
            with suppress(Exception):  # of a cluster that is gone
                self._client.cancel(list(running), force=True)


@contextmanager
def local_cluster(num_workers: int) -> Iterator[DaskEngine]:
    """Start a cluster of single-threaded processes on this machine, loopback only and without a dashboard.

    Raises:
        MissingExtraError: Dask is not installed.
    """
    distributed = _distributed()
    import dask  # noqa: PLC0415

    quiet = {"distributed.worker.daemon": True, "distributed.admin.log-format": "%(message)s"}
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-dask-") as scratch,
        dask.config.set(quiet),
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
def reported(path: str | None) -> Iterator[None]:
    """Write Dask's own performance report, HTML, to `path` when done; nothing if that is None."""
    if path is None:
        yield
        return
    with _distributed().performance_report(filename=path):
        yield


def _distributed() -> Any:  # noqa: ANN401  # a module
    try:
        import distributed  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(
            "--engine dask needs Dask", hint='pip install "csv-shard-pipeline[dask]"'
        ) from None
    return distributed
