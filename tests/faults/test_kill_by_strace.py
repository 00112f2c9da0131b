"""Killed by the kernel itself in front of a system call, a conversion leaves no half dataset, and continues.

The same promise as in test_kill_sweep.py, seen from outside the process; skipped where strace is not there or
not allowed. A few points by default, all of them with `make test-all`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.command import ROOT
from support.forked import KILLED, TIMEOUT_SECONDS
from support.unfinished import STAGING, Scene, command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CALLS = ("openat", "write", "fsync", "rename", "renameat2", "mkdir")
KINDS = {"openat": "open", "renameat2": "exchange"}  # as `file_operations` calls them
EVERY = 7
SHORT_POINTS = 3


def strace(folder: Path, *options: str) -> int:
    """Convert in `folder` under strace; return the status, negative for a signal."""
    program = [sys.executable, "-m", "support.small_scale", *command()]
    return subprocess.run(
        ["strace", "-f", "-qqq", *options, *program],
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdin=subprocess.DEVNULL,
        timeout=10 * TIMEOUT_SECONDS,  # some machines stop for a while
    ).returncode


def can_strace() -> bool:
    """Whether strace is there, may be used, and can end a process."""
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-f", "-o", os.devnull, "-e", "trace=openat"]
    probe += ["-e", "inject=openat:signal=SIGKILL:when=1", "true"]
    return subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode == KILLED


pytestmark = pytest.mark.skipif(not can_strace(), reason="strace is not there, or not allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The `when`-th call of `call` on `path`, relative to the working folder, by the same thread."""

    call: str
    path: str
    when: int
    changes: bool  # something on the disk, or may


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


@pytest.fixture(scope="module")
def calls(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    """Every call of an uninterrupted conversion on what lies in the staging folder, or is the target."""
    folder = tmp_path_factory.mktemp("calls")
    place = scene.copied(folder / "place")
    options = ("-y", "-s", "0", "-o", str(folder / "log"), "-e", f"trace={','.join(CALLS)}")
    assert strace(place, *options) == 0
    found: list[Point] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in (folder / "log").read_text(encoding="utf-8").splitlines():
        match = re.match(rf'(\d+) +(\w+)\(.*?["<]{re.escape(str(place))}/({STAGING}[^">]*)', line)
        if match and "ENOENT" not in line:
            thread, call, path = match.groups()
            counts[thread, call, path] += 1
            changes = call != "openat" or "O_RDONLY" not in line
            found.append(Point(call=call, path=path, when=counts[thread, call, path], changes=changes))
    return found


def sweep(scene: Scene, points: Sequence[Point], folder: Path) -> None:
    """Fail unless after each kill the target is absent or valid, and the same command continues."""
    for point in points:
        place = scene.copied(folder / "place")
        inject = f"inject={point.call}:signal=SIGKILL:when={point.when}"
        # Only calls that name this path are counted, those of each thread by themselves. Where two threads
        # come to the same number, the first one is killed.
        only = ("-P", str(place / point.path), "-e", f"trace={point.call}", "-e", inject)
        assert strace(place, "-o", os.devnull, *only) == KILLED, point
        try:
            scene.assert_absent_or_valid(place)
            scene.assert_continues(place)
        except AssertionError as error:
            error.add_note(str(point))
            raise
        shutil.rmtree(place)


def test_nothing_reaches_the_disk_unwatched(scene: Scene, calls: list[Point]) -> None:
    """What strace sees of writes, fsync, renames and new folders is what `file_operations` told."""
    seen = Counter((KINDS.get(point.call, point.call), point.path) for point in calls)
    told = Counter(
        (operation.kind, str(operation.path).removeprefix(f"{scene.place}/"))
        for operation in scene.operations
    )
    kinds = ("write", "fsync", "rename", "mkdir")
    assert sum(seen.values()) > 100
    for kind in kinds:
        mine = {path: count for (k, path), count in told.items() if k == kind and path.startswith(STAGING)}
        assert mine == {path: count for (k, path), count in seen.items() if k == kind}


def test_killed_in_front_of_some_calls(scene: Scene, calls: list[Point], tmp_path: Path) -> None:
    """At calls spread over the conversion, and at the rename that publishes, no harm is done."""
    [publication] = [call for call in calls if (call.call, call.path) == ("rename", f"{STAGING}/dataset")]
    step = len(calls) // SHORT_POINTS
    sweep(scene, [*calls[step - 1 :: step], publication], tmp_path)


@pytest.mark.slow
def test_killed_in_front_of_every_call(
    scene: Scene,
    calls: list[Point],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """At every call that changes the disk but most writes, and at every k-th other one, no harm is done."""
    many = [point for point in calls if point.call == "write" or not point.changes]
    points = sorted({*calls} - {*many}, key=calls.index) + many[::EVERY]
    sweep(scene, points, tmp_path)
    record_property("points", len(points))
    counts = Counter(point.call for point in points)
    print(f"{len(points)} points: {dict(counts)}")  # noqa: T201  # the report, seen with -s
