"""Owns the clusters of Dask that an engine works on: one of processes on this machine, or one that is there.

Neighbour: `dask` is the engine.
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import signal
import tempfile
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any

from pipeline.engine.dask import PATIENCE_SECONDS, DaskEngine
from pipeline.errors import MissingExtraError, WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client

GROWTH_SECONDS = 600  # for a cluster to get the workers that were asked for: machines have to start
TLS_HINT = (
    "name them in DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY: docs/scaling.md"
)
MAX_DEATHS = 3  # of workers at the same task
SINGLE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@contextmanager
def _silent() -> Iterator[None]:
    """Let Dask write no log in this process: what matters becomes an error, and it has two lines."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def _deaf() -> Iterator[None]:
    """Let threads and processes that are started meanwhile never hear of Ctrl-C.

    A terminal sends it to all of them, and it is this process that ends the others.
    """
    resource_tracker.ensure_running()  # whoever starts it lets the signal through afterwards
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def load_ahead(module: str) -> None:
    """Begin to load what the workers of a local cluster run, Dask and `module`; nothing if that has begun.

    It is loaded once for all of them, by a process in the background from which they are forked: so it must
    not start threads, which a fork would lose. That process ends with this one.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(["distributed", module])
    before = dict(os.environ)
    os.environ.update(SINGLE_THREAD)
    try:
        with _deaf():
            forkserver.ensure_running()
    finally:
        for key in SINGLE_THREAD.keys() - before.keys():
            del os.environ[key]
        os.environ.update(before)


@contextmanager
def local_cluster(num_workers: int, *, name: str, prepare: Callable[[], None]) -> Iterator[DaskEngine]:
    """Start a cluster of single-threaded processes on this machine, loopback only and without a dashboard.

    Each worker calls `prepare` before its first task. `name` is that of the engine.

    Raises:
        MissingExtraError: Dask is not installed.
    """
    load_ahead(prepare.__module__)
    distributed = _distributed()
    import dask  # noqa: PLC0415

    distributed.utils._forkserver_preload_set = True  # noqa: SLF001  # Dask would load pandas, and more, itself
    settings = {
        "distributed.worker.daemon": True,
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.scheduler.allowed-failures": MAX_DEATHS - 1,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        # Dask has the allocator give everything back at once: a third of the time went into fetching it anew.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
        # Thousands of columns or files make a large plan, which is sent once.
        "distributed.admin.large-graph-warning-threshold": "1GiB",
    }
    with (
        _silent(),
        tempfile.TemporaryDirectory(prefix="pipeline-dask-", ignore_cleanup_errors=True) as scratch,
        dask.config.set(settings),
        _started(
            n_workers=num_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            # Its server listens even without it: at any port, since 8787 may be taken.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            memory_limit=0,  # our own division keeps within --memory; Dask would pause tasks far below it
            local_directory=scratch,
            env=SINGLE_THREAD,
            silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.register_worker_callbacks(prepare)
        yield DaskEngine(client, name)


def _started(**given: Any) -> Any:  # noqa: ANN401  # Dask's
    with _deaf():
        return _distributed().LocalCluster(**given)


@contextmanager
def existing_cluster(scheduler: str, *, name: str, num_workers: int = 1) -> Iterator[DaskEngine]:
    """Join the cluster whose scheduler listens at `scheduler`, such as tcp://host:8786 or tls://host:8786.

    Waits until it has `num_workers` processes, and until none is at work for an earlier client of this name.

    Raises:
        MissingExtraError: Dask is not installed.
        WorkersLostError: nobody answers there, or there are too few workers.
    """
    distributed = _distributed()
    with _silent():
        try:
            client = distributed.Client(scheduler, timeout=PATIENCE_SECONDS, set_as_default=False)
        except TypeError:  # so Dask tells that it has no certificates
            if not scheduler.startswith("tls://"):
                raise
            raise WorkersLostError("no certificates for TLS", path=scheduler, hint=TLS_HINT) from None
        except (OSError, TimeoutError, ValueError) as error:
            said = " ".join(str(error).split())
            raise WorkersLostError(
                f"no scheduler answers: {said}", path=scheduler, hint="start one: dask scheduler"
            ) from None
        with client:
            _wait_for_workers(client, scheduler, num_workers)
            engine = DaskEngine(client, name)
            engine.wait_for_stragglers()
            yield engine


def _wait_for_workers(client: Client, scheduler: str, num_workers: int) -> None:
    for count, seconds in ((1, PATIENCE_SECONDS), (num_workers, GROWTH_SECONDS)):
        try:
            client.wait_for_workers(count, timeout=seconds)
        except TimeoutError:
            found = len(client.nthreads())
            raise WorkersLostError(
                f"the scheduler has {found} of {count} workers" if found else "the scheduler has no workers",
                path=scheduler,
                hint=f"start some: dask worker {scheduler}",
            ) from None


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
