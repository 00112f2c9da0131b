"""A cluster of one's own: its workers are forked from a process that has loaded what they run."""

from __future__ import annotations

import json
import subprocess
import sys

from support.clusters import command_environment

# Arrow's allocator has a thread, and reckons with forks.
HARMLESS = {"python", "jemalloc_bg_thd"}


def test_workers_are_forked_from_a_process_without_threads() -> None:
    """It has loaded Arrow but not Polars, whose threads a fork would lose; each worker loads that itself."""
    done = subprocess.run(
        [sys.executable, "-m", "support.forked_workers"],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=command_environment(),
    )
    told = json.loads(done.stdout)
    workers = told["workers"]
    assert len({worker["process"] for worker in workers}) == 2
    (parent,) = {worker["parent"] for worker in workers}
    assert parent != told["client"]
    for worker in workers:
        assert worker["loaded"] == ["numpy", "pyarrow"]
        assert worker["has_polars"]
        assert {name.partition(".")[0] for name in worker["threads"]} <= HARMLESS
        assert worker["environment"] == {"POLARS_MAX_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": None}
    assert told["environment kept"]
