"""Clusters of Dask as a person starts them: scheduler and workers, processes of their own, loopback only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from support.cluster_faults import FAULTS
from support.command import ROOT, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

TIMEOUT_SECONDS = 120
LOOK_SECONDS = 0.02
PRELOAD = "support.cluster_faults"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that runs: the `address` of its scheduler, and the processes by what they are."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: subprocess.Popen[bytes]

    def num_tasks(self) -> int:
        """Return how many tasks the scheduler knows."""
        from distributed import Client  # noqa: PLC0415  # late, as elsewhere

        with Client(self.address, set_as_default=False) as client:
            found: int = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        return found

    def worker_processes(self) -> list[psutil.Process]:
        """Return the processes that do tasks."""
        return [
            child
            for child in psutil.Process(self.workers.pid).children()
            if "spawn_main" in str(child.cmdline())
        ]


@contextmanager
def running_cluster(
    folder: Path,
    *,
    num_workers: int,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Cluster]:
    """Run a scheduler and single-threaded workers, which keep what they need in the new `folder`.

    `options` go to both.
    """
    folder.mkdir(parents=True)
    place, log = folder / "scheduler.json", folder / "log"
    both = ("--scheduler-file", str(place), "--host", "127.0.0.1", "--no-dashboard", *options)
    with log.open("wb") as said:
        scheduler = _started("scheduler", *both, "--port", "0", said=said, environment=environment)
        workers = None
        try:
            workers = _started(
                *("worker", *both, "--nworkers", str(num_workers), "--nthreads", "1", "--memory-limit", "0"),
                *("--local-directory", str(folder), "--preload", PRELOAD),
                said=said,
                environment=environment,
            )
            yield Cluster(address=_address(place, log), scheduler=scheduler, workers=workers)
        finally:
            for process in (workers, scheduler):
                end(process)


def _started(*arguments: str, said: object, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=command_environment() | dict(environment or {}),
        stdout=said,  # type: ignore[call-overload]
        stderr=said,
        start_new_session=True,
    )


def command_environment() -> dict[str, str]:
    """Return the environment in which this checkout and its tests' support are found, without any fault."""
    found = {name: value for name, value in os.environ.items() if name != FAULTS}
    return found | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


def _address(place: Path, log: Path) -> str:
    for _ in range(round(TIMEOUT_SECONDS / LOOK_SECONDS)):
        with suppress(FileNotFoundError, ValueError):
            return str(json.loads(place.read_text(encoding="utf-8"))["address"])
        time.sleep(LOOK_SECONDS)
    raise AssertionError(log.read_text(encoding="utf-8"))


def end(process: subprocess.Popen[bytes] | None) -> None:
    """End a process and all that it started."""
    if process is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOutcome(Outcome):
    """What a command left behind, its `session` of processes included."""

    session: int

    def survivors(self) -> list[str]:
        """Return the commands of the processes of its session that still run."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.session and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
        return found


def run_client(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> ClientOutcome:
    """Run `pipeline` with `arguments`, at the scale of `small_scale`, in a session of its own.

    A negative status is the signal that ended it.
    """
    # To files, not pipes: processes that outlive it would keep those open.
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", PRELOAD, *map(str, arguments)],
            cwd=cwd,
            env=command_environment() | dict(environment or {}),
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        status = process.wait(TIMEOUT_SECONDS)
        for file in (stdout, stderr):
            file.seek(0)
        return ClientOutcome(status=status, stdout=stdout.read(), stderr=stderr.read(), session=process.pid)
