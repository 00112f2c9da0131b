"""Faults in the processes of a cluster, or in its client: a `Fault` happens at a moment of the work.

A process with the name of a file in FAULTS lets happen what is written there: workers load this module before
their first task (Dask's `preload`), a client runs it:

    PIPELINE_TEST_FAULTS=fault.json python -m support.cluster_faults convert raw.csv shards

Moments are counted over all processes, by files in a folder that they share.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import itertools
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = "PIPELINE_TEST_FAULTS"
SLOW_SECONDS = 2
MOMENTS = {
    "parsing": "a byte range has been read, and is not yet in a run",
    "spilling": "a run is written, and does not yet have its name",
    "spilled": "a run is safe, and nobody has been told",
    "gathering": "the moments of some row groups are about to be taken",
    "finalizing": "a shard is written, and does not yet have its name",
    "finalized": "a shard is safe, and nobody has been told",
    "noted run": "the client has noted a run",
    "noted shard": "the client has noted a shard",
    "manifest": "the manifest is written beside the target",
    "publishing": "the client has the receipt, and the target is next",
    "clearing": "the target is there, and the staging folder is about to go",
}
SHARDS = ("train-", "val-", "test-")
MOMENTS_OF_FILES: dict[str, str | tuple[str, ...]] = {
    "spilling": "run-",
    "spilled": "run-",
    "finalizing": SHARDS,
    "finalized": SHARDS,
    "manifest": "manifest.json",
    "publishing": "receipt.json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens at the `at`-th (from 1) such `moment` and at the next ones, `times` in all.

    how       exit, segfault, kill: the process ends so; interrupt: SIGINT to all of its group; fail: the disk
              fails; slow: nothing happens for a while; a number: the process with that id gets SIGKILL
    folder    where the moments are counted
    only      of them only those that have this in the name of the range, run or shard
    """

    moment: str
    how: str
    folder: str
    at: int = 1
    times: int = 1
    only: str = ""

    @property
    def count(self) -> int:
        """How many of the moments there have been."""
        folder = Path(self.folder)
        return len(list(folder.iterdir())) if folder.exists() else 0

    def reach(self, moment: str, name: str) -> None:
        """Let it happen, if it is to happen now."""
        if moment != self.moment or self.only not in name:
            return
        if self.at <= _next_number(Path(self.folder)) < self.at + self.times:
            self._happen()

    def _happen(self) -> None:
        if self.how == "exit":
            os._exit(1)
        elif self.how == "segfault":
            ctypes.string_at(0)
        elif self.how == "interrupt":
            os.killpg(os.getpgid(0), signal.SIGINT)
        elif self.how == "fail":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        elif self.how == "slow":
            time.sleep(SLOW_SECONDS)
        else:
            os.kill(os.getpid() if self.how == "kill" else int(self.how), signal.SIGKILL)


def _next_number(folder: Path) -> int:
    """Return the next number, from 1, that no process has had."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        try:
            os.close(os.open(folder / str(number), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return number
    raise AssertionError


def _after(function: Callable[..., Any], act: Callable[..., None]) -> Callable[..., Any]:
    """Return `function`, followed by `act` on its arguments."""

    def both(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        act(*given, **named)
        return result

    return both


def _before(function: Callable[..., Any], act: Callable[..., None]) -> Callable[..., Any]:
    """Return `function`, preceded by `act` on its arguments."""

    def both(*given: Any, **named: Any) -> Any:
        act(*given, **named)
        return function(*given, **named)

    return both


def arrange(path: Path, *faults: Fault) -> None:
    """Write `faults` to `path`, for the processes that look there."""
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps([dataclasses.asdict(fault) for fault in faults]), encoding="utf-8")
    aside.replace(path)


def install(path: Path) -> None:
    """Let the faults that are written in the file `path`, if there are any, happen in this process."""
    from pipeline.convert import cluster_tasks  # noqa: PLC0415  # only where faults are wanted
    from pipeline.convert.journal import Journal  # noqa: PLC0415
    from pipeline.storage.files import WholeFile  # noqa: PLC0415
    from pipeline.storage.publication import Staging  # noqa: PLC0415
    from pipeline.storage.store import StoreStaging  # noqa: PLC0415

    def reach(moment: str) -> Callable[..., None]:
        def act(*given: Any, **_: Any) -> None:
            name = f"range {getattr(given[0], 'range_index', '')}"
            if isinstance(given[0], WholeFile):
                name = given[0]._path.name
                if moment not in MOMENTS_OF_FILES or not name.startswith(MOMENTS_OF_FILES[moment]):
                    return
            for fault in json.loads(path.read_text(encoding="utf-8")) if path.exists() else ():
                Fault(**fault).reach(moment, name)

        return act

    patch: Any = setattr
    patch(cluster_tasks, "read_range", _after(cluster_tasks.read_range, reach("parsing")))
    patch(cluster_tasks, "moments_of_batches", _before(cluster_tasks.moments_of_batches, reach("gathering")))
    for moment in ("spilling", "finalizing"):
        patch(WholeFile, "publish", _before(WholeFile.publish, reach(moment)))
    for moment in ("spilled", "finalized", "manifest", "publishing"):
        patch(WholeFile, "publish", _after(WholeFile.publish, reach(moment)))
    patch(Journal, "add_run", _after(Journal.add_run, reach("noted run")))
    patch(Journal, "add_shard", _after(Journal.add_shard, reach("noted shard")))
    for kind in (Staging, StoreStaging):
        patch(kind, "discard", _before(kind.discard, reach("clearing")))


def dask_setup(_worker: Any) -> None:
    """Do what a worker of Dask is to do before its first task."""
    if path := os.environ.get(FAULTS):
        install(Path(path))


if __name__ == "__main__":
    from support import small_scale

    small_scale.shrink()
    dask_setup(None)
    small_scale.main()
