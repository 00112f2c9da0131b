"""Where does the time of a conversion go, step by step, and what is the least it could take?

Method: one conversion within this process, one worker, everything in memory. Functions of the program are
wrapped for the length of a round; each is charged the processor time of the whole process between its
beginning and its end, without that of wrapped functions inside it. One worker, so that nothing else runs
meanwhile; Polars, too, has one thread. Starting is measured apart, as a process that only imports what a
conversion needs. The median of the rounds.

Conclusion: benchmarks/README.md. Parsing and reading the text are most of it; starting is the largest part
that cannot run in parallel.
"""

from __future__ import annotations

import functools
import importlib
import os
import statistics
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import jobs
from measure import Job, finish, measure, median, parse_arguments
from sources import simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sources import Source

SINGLE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
STEPS = {
    "reading the text from the page cache, its digest": ("pipeline.source.ranges:StoredRange.load",),
    "Polars parses the text": ("polars:read_csv",),
    "one matrix of all numbers": ("pipeline.source.fast:_stack",),
    "checks of what was parsed": ("pipeline.source.fast:parse",),
    "keys, and their order": ("pipeline.keys:record_keys", "pipeline.keys:key_order"),
    "float32 where lossless": ("pipeline.convert.reading:narrowed",),
    "moments": ("pipeline.moments:of_batch", "pipeline.convert.writing:moments_of_ranks"),
    "putting a range in order": ("pipeline.convert.reading:build_run",),
    "gathering the cells": ("pipeline.runs.ranks:RankIndex._cell",),
    "standardizing": ("pipeline.convert.writing:finished",),
    "Parquet encoding, page checksums": ("pipeline.formats.parquet:ShardWriter.write",),
    "SHA-256, writing": ("pipeline.storage:HashedFile.write", "pipeline.storage:HashedFile.publish"),
    "all else": ("pipeline.convert:convert",),
}
IMPORTS = "import pipeline.cli.convert, pipeline.convert, pipeline.formats.parquet"
START = "starting: the interpreter and the libraries"


class Clock:
    """Charges processor time to steps; of steps within steps, to the innermost."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def charging(self, step: str) -> Iterator[None]:
        """Charge what happens inside to `step`."""
        self._switch()
        self._running.append(step)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def _switch(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def charged(clock: Clock, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, charging `step`."""

    @functools.wraps(function)
    def run(*args: object, **named: object) -> Any:  # noqa: ANN401  # stands for any function
        with clock.charging(step):
            return function(*args, **named)

    return run


def convert_once(source: Source) -> dict[str, float]:
    """Return the processor seconds of each step of one conversion."""
    from pipeline.convert import convert  # noqa: PLC0415  # after the number of threads is set
    from pipeline.plan import ConvertOptions  # noqa: PLC0415

    clock = Clock()
    with ExitStack() as stack:
        for step, places in STEPS.items():
            for place in places:
                module_name, _, path = place.partition(":")
                owner: Any = importlib.import_module(module_name)
                *parents, name = path.split(".")
                for parent in parents:
                    owner = getattr(owner, parent)
                function = charged(clock, step, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, function))
        run = charged(clock, "all else", convert)
        run(source.path, jobs.OUTPUT, ConvertOptions(num_workers=1, memory_bytes=8 << 30, overwrite=True))
    return dict(clock.seconds)


def main() -> None:
    """Measure, print the steps, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000_000)
    os.environ |= SINGLE_THREAD
    source = simulated(given.rows)
    start = Job(
        name=START,
        command=(sys.executable, "-c", IMPORTS),
        output=jobs.OUTPUT,
        check=lambda _: None,
        facts={"num_records": 0, "source_bytes": 0, "does": "start"},
    )
    results = measure([start, jobs.peer(jobs.POLARS_PARSE, source)], rounds=given.rounds)
    rounds = [convert_once(source) for _ in range(given.rounds + 1)][1:]  # the first warms up
    seconds = {step: statistics.median(each.get(step, 0.0) for each in rounds) for step in STEPS}
    starting, total = median(results[0], "seconds"), sum(seconds.values())
    for step, taken in seconds.items():
        print(f"{taken:8.3f} s  {taken / total:5.1%}  {step}")
    floor = median(results[1], "cpu_seconds")
    two = starting + total / 2
    figures = {
        "steps, CPU s": total,
        "starting, s": starting,
        "parse-only floor, CPU s": floor,
        "least time on two workers, s": two,
        "greatest possible speed-up of two workers": (starting + total) / two,
        "share of reading and parsing": sum(list(seconds.values())[:2]) / total,
        "share of the checks": seconds["checks of what was parsed"] / total,
    }
    finish(
        given,
        [{"name": step, "cpu_seconds": [each.get(step, 0.0) for each in rounds]} for step in STEPS],
        figures,
    )


if __name__ == "__main__":
    main()
