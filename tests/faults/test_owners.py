"""A target has one owner at a time, and a dead one owns nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.command import ROOT
from support.forked import KILLED, TIMEOUT_SECONDS, Accident, Forker
from support.unfinished import STAGING, TARGET, Scene, command, files, names, wait_until_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Outcome


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the conversion of `folder` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "support.small_scale", *command(*options)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def stopped_midway(scene: Scene, folder: Path) -> Iterator[tuple[int, Future[Outcome]]]:
    """The pid of a conversion in `folder` that is stopped while it spills, and what will come of it."""
    at = next(n for n, o in enumerate(scene.operations, 1) if o.path.endswith("run-00002.partial"))
    with Forker() as server, ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(server.run, *command(), cwd=folder, accident=Accident(kind="stop", at=at))
        pid = wait_until_stopped(folder)
        try:
            yield pid, outcome
        finally:
            if not outcome.done():
                os.kill(pid, signal.SIGKILL)


def test_a_second_run_is_told_who_owns_the_target(scene: Scene, tmp_path: Path) -> None:
    """While one runs, another is refused with its pid and time; the first one ends well."""
    place = scene.copied(tmp_path / "place")
    with stopped_midway(scene, place) as (pid, first):
        before = names(place / STAGING)
        second = scene.run(place)
        assert second.status == 6
        said = rf"error\[E601\] \S+{STAGING}: busy: pid {pid} since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\n"
        assert re.fullmatch(said + "  hint: wait until it ends, or end it\n", second.stderr)
        assert names(place / STAGING) == before
        os.kill(pid, signal.SIGCONT)
        assert first.result(TIMEOUT_SECONDS).status == 0
    assert files(place / TARGET) == scene.whole
    assert names(place) == ["raw.csv", TARGET]


def test_the_lock_of_a_dead_owner_is_free(scene: Scene, tmp_path: Path) -> None:
    """When the owner is killed, the next run takes over at once and continues."""
    place = scene.copied(tmp_path / "place")
    with stopped_midway(scene, place) as (pid, first):
        os.kill(pid, signal.SIGKILL)
        assert first.result(TIMEOUT_SECONDS).status == KILLED
        scene.assert_continues(place)


def test_of_many_that_start_at_once_one_works(scene: Scene, tmp_path: Path) -> None:
    """Started at the same moment, each ends well, is told of the other, or finds the target made."""
    place = scene.copied(tmp_path / "place")
    processes = [start(place) for _ in range(4)]
    said = [process.communicate(timeout=TIMEOUT_SECONDS)[1] for process in processes]
    statuses = [process.returncode for process in processes]
    assert 0 in statuses
    for status, text in zip(statuses, said, strict=True):
        wording = {0: "", 2: "error[E202]", 6: "error[E601]"}[status]
        assert text.startswith(wording)
        assert status == 0 or text.count("\n") == 2
    assert statuses.count(0) == 1
    assert files(place / TARGET) == scene.whole
    assert names(place) == ["raw.csv", TARGET]
